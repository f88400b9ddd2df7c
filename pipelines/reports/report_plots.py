"""Plots as SVG inside of a page: text stays text, and colours are the page's own, in light, in dark and on paper."""

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

_WIDTH = 4.6  # inches; drawn at 30 rem at most, so that its text has the size of the page's
_BINS = 30

_COLOURS = {"#010203": "var(--text)", "#010204": "var(--mark)", "#010205": "var(--line)", "#010206": "var(--bad)"}
"""Stand for the page's colours, which Matplotlib cannot name."""

_TEXT, _MARK, _LINE, _BAD = _COLOURS

_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "wit-release",  # instead of random names
    "text.parse_math": False,  # a licence may hold a dollar
    "font.size": 9,
    "text.color": _TEXT,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
}


def bars(name: str, alt: str, labels: Sequence[str], values: Sequence[float], shown: Sequence[str]) -> str:
    """Draw horizontal bars, the first at the top.

    Args:
        name: unique in the page.
        alt: what the plot shows, for those who do not see it.
        labels: of the bars; long ones are cut.
        values: their lengths.
        shown: what stands beside them.

    Returns:
        An ``<svg>`` element.

    """

    def draw(axes: Any) -> None:
        places = range(len(labels))
        drawn = axes.barh(places, values, color=_MARK, height=0.7)
        axes.bar_label(drawn, labels=list(shown), padding=3, color=_TEXT)
        axes.set_yticks(places, [_cut(label) for label in labels])
        axes.invert_yaxis()
        axes.set_xlim(0, max([*values, 1e-9]) * 1.32)
        axes.xaxis.set_visible(False)
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(axis="y", length=0)

    return _svg(name, alt, draw, height=0.4 + 0.24 * max(len(labels), 1))


def histogram(
    name: str, alt: str, values: np.ndarray, unit: str, *, logarithmic: bool = False, threshold: float | None = None
) -> str:
    """Draw a histogram.

    Args:
        name: unique in the page.
        alt: what the plot shows, for those who do not see it.
        values: (n,) numbers; may be empty.
        unit: of the horizontal axis.
        logarithmic: horizontal axis; values must be above 0 then.
        threshold: where a line is drawn; what lies above it has another colour. Counts are then on a logarithmic axis.

    Returns:
        An ``<svg>`` element.

    """

    def draw(axes: Any) -> None:
        low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
        if threshold is not None:
            low, high = 0.0, max(1.0, high)
        if low == high:
            high = low * 1.5 + 1e-9
        edges = np.geomspace(low, high, _BINS + 1) if logarithmic else np.linspace(low, high, _BINS + 1)
        _, _, drawn = axes.hist(values, bins=edges, color=_MARK)
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            axes.xaxis.set_minor_formatter(lambda value, _: "")
        axes.yaxis.get_major_locator().set_params(integer=True)
        if threshold is not None:
            axes.set_yscale("symlog", linthresh=1)
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            axes.axvline(threshold, color=_BAD, linewidth=1.5)
            axes.annotate(
                f"threshold {threshold:.0%}",
                (threshold, 1),
                xycoords=("data", "axes fraction"),
                xytext=(4, -8),
                textcoords="offset points",
                color=_BAD,
            )
            for left, bar in zip(edges, drawn, strict=False):
                bar.set_color(_BAD if left >= threshold else _MARK)
        axes.set_xlabel(unit)
        axes.set_ylabel("images")

    return _svg(name, alt, draw, height=2.6)


def _svg(name: str, alt: str, draw: Callable[[Any], None], height: float) -> str:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _for_page(buffer.getvalue(), name, alt)


def _for_page(svg: str, name: str, alt: str) -> str:
    """Make a picture of its own a part of a page: colours, names that clash with no other, text for screen readers."""
    from html import escape

    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = svg.replace("url(#", f"url(#{name}-")
    for stand_in, colour in _COLOURS.items():
        svg = svg.replace(stand_in, colour)
    opening, rest = svg.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', opening)
    assert box is not None
    # The namespaces are only for files of their own.
    return (
        f'<svg {box[0]} role="img" aria-label="{escape(alt)}" xmlns:xlink="http://www.w3.org/1999/xlink">{rest.strip()}'
    )


def _cut(label: str) -> str:
    return label if len(label) <= 26 else label[:25] + "…"
