"""report.html: a release to look at, in one file that needs neither internet nor scripts.

It is made of the release's own files and of the verdict on them, so that the same release has the same report. How long
the stages took is no property of a release and differs each time: a second report, kept with the run, shows that too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined

from pipelines.engine.step import Context, release_path
from pipelines.pipeline import STAGES
from pipelines.quality.verdict import Verdict, read_verdict
from pipelines.releases.versions import run_path
from pipelines.reports.facts import Facts, gather
from pipelines.reports.report_groups import groups
from pipelines.reports.report_numbers import Spread, funnel, spread
from pipelines.reports.report_plots import bars, histogram
from pipelines.reports.report_sample import Picture, sample
from pipelines.reports.report_template import STYLE, TEMPLATE
from pipelines.storage.store import Written
from pipelines.vision.weights_registry import STAND_INS, lookup

REPORT = "report.html"

_SHOWN = 15  # bars in a plot; the rest is added up


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot, and the numbers in it for those who want them as text."""

    title: str
    svg: str
    numbers: Sequence[tuple[str, str]]


def write_report(context: Context, facts: Facts | None = None) -> Written:
    """Write the report of a validated release, and the one of its making.

    Args:
        context: of the release.
        facts: of the release; gathered if None.

    Returns:
        What was written to the release.

    Raises:
        ReleaseError: the release was not validated, or its files do not fit together.
        StoreError: a file is not there, or cannot be written.

    """
    facts = facts or gather(context)
    verdict = read_verdict(context.store, context.version)
    pictures, alike = sample(context), groups(context)
    plots = _plots(facts, spread(context))
    store, version = context.store, context.version
    making = _page(facts, verdict, [*plots, *_times(context)], pictures, alike)
    store.write_text(run_path(version, REPORT), making)
    return store.write_text(release_path(version, REPORT), _page(facts, verdict, plots, pictures, alike))


def _page(
    facts: Facts,
    verdict: Verdict,
    plots: Sequence[Plot],
    pictures: Sequence[Picture],
    alike: Sequence[Sequence[Picture]],
) -> str:
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(TEMPLATE)
    return template.render(
        style=STYLE,
        facts=facts,
        verdict=verdict,
        holding=sum(one.success for one in verdict.expectations),
        weights=[(name, _terms(name)) for name in (facts.config.face_model, facts.config.embedding_model)],
        funnel=funnel(facts),
        plots=plots,
        pictures=pictures,
        alike=alike,
    )


def _terms(model: str) -> str:
    return f"none: {STAND_INS[model]}" if model in STAND_INS else lookup(model).licence


def _plots(facts: Facts, spread: Spread) -> list[Plot]:
    threshold = facts.config.face_threshold
    above = int((spread.faces > threshold).sum())
    what = "the largest face" if facts.config.face_rule == "largest" else "all faces together"
    return [
        _counted("outcomes", "Images by outcome", facts.outcomes),
        _counted("licences", "Released pictures by licence", facts.licences),
        _counted("languages", "Captions by language", facts.languages),
        _counted("formats", "Released pictures by format", facts.formats),
        Plot(
            f"Share of a picture that {what} covers",
            histogram(
                "faces",
                f"Histogram of the share of a picture that {what} covers, for {spread.faces.size:,} pictures, with the "
                f"threshold at {threshold:.0%}: {above:,} pictures lie above it.",
                spread.faces,
                "share of the picture",
                threshold=threshold,
            ),
            [("pictures measured", f"{spread.faces.size:,}"), ("above the threshold", f"{above:,}")],
        ),
        _spread("widths", "Width of the originals", spread.widths, "pixels", logarithmic=True),
        _spread("aspects", "Width over height", spread.aspects, "width / height"),
        _spread("bytes", "Size of the released pictures", spread.bytes / 1000, "kB"),
    ]


def _counted(name: str, title: str, counts: Mapping[str, int]) -> Plot:
    listed = [(label or "(none stated)", count) for label, count in counts.items()]
    shown, rest = listed[:_SHOWN], listed[_SHOWN:]
    if rest:
        shown = [*shown, (f"{len(rest)} others", sum(count for _, count in rest))]
    everything = sum(counts.values()) or 1
    texts = [f"{count:,} ({count / everything:.1%})" for _, count in shown]
    alt = f"Bars: {title}. " + ", ".join(f"{label} {count:,}" for label, count in shown) + "."
    svg = bars(name, alt, [label for label, _ in shown], [float(count) for _, count in shown], texts)
    return Plot(title, svg, [(label, f"{count:,}") for label, count in listed])


def _spread(name: str, title: str, values: np.ndarray, unit: str, *, logarithmic: bool = False) -> Plot:
    numbers: list[tuple[str, str]] = [("pictures", f"{values.size:,}")]
    if values.size:
        parts = (("least", 0), ("a quarter is below", 25), ("half is below", 50), ("most", 100))
        numbers += [(part, f"{np.percentile(values, percent):,.4g} {unit}") for part, percent in parts]
    alt = f"Histogram: {title}. " + ", ".join(" ".join(number) for number in numbers) + "."
    return Plot(title, histogram(name, alt, values, unit, logarithmic=logarithmic), numbers)


def _times(context: Context) -> list[Plot]:
    """Draw how long the last run of each stage took; what was done already was skipped in it."""
    read = {name: context.store.read_json(run_path(context.version, f"stages/{name}.json")) for name in STAGES}
    times = [_stage_time(name, record) for name, record in read.items() if record is not None]
    if not times:
        return []
    title = "Seconds of each stage in its last run, and rows per second"
    texts = [f"{seconds:,.1f} s, {rows / max(seconds, 1e-3):,.0f}/s" for _, seconds, _, rows in times]
    alt = f"Bars: {title}. " + ", ".join(f"{time[0]} {text}" for time, text in zip(times, texts, strict=True)) + "."
    svg = bars("times", alt, [time[0] for time in times], [time[1] for time in times], texts)
    return [Plot(title, svg, [(f"{time[0]}, seconds of all workers", f"{time[2]:,.1f}") for time in times])]


def _stage_time(name: str, record: Mapping[str, Any]) -> tuple[str, float, float, int]:
    steps = record["steps"]
    return (
        name,
        sum(step["seconds"] for step in steps),
        sum(step["worker_seconds"] for step in steps),
        sum(step["rows"] for step in steps),
    )
