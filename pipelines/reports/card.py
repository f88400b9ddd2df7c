"""README.md of a release: its dataset card, for people who have only the folder in front of them.

The head is Hugging Face's, so that the folder can be uploaded there as it is; the sections are those of a datasheet
(Gebru et al., Datasheets for Datasets, 2018). Whatever comes from outside (licences, names) is shown as text.
"""

import html
import re
from collections.abc import Iterator
from typing import Any

import yaml  # type: ignore[import-untyped]

from pipelines.reports.card_texts import (
    CITATION,
    COLLECTION,
    COLUMNS,
    FILES,
    LIMITS,
    MEANINGS,
    MOTIVATION,
    ORIGINS,
    READING,
    REMOVALS,
    RENEWED,
    STAND_IN,
    TEXT_LICENCE,
    USES,
)
from pipelines.reports.facts import EMBEDDED_ANEW, Facts

_SHOWN = 15
_SIZES = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"), (1e7, "1M<n<10M"))


def card(facts: Facts) -> str:
    """Return the text of the card."""
    head = yaml.safe_dump(_head(facts), allow_unicode=True, sort_keys=False, width=1000)
    return f"---\n{head}---\n\n" + "\n\n".join(_sections(facts)) + "\n"


def _head(facts: Facts) -> dict[str, Any]:
    """Return what Hugging Face reads: https://huggingface.co/docs/hub/datasets-cards."""
    size = next((name for limit, name in _SIZES if facts.released < limit), "10M<n<100M")
    return {
        "pretty_name": f"Wikipedia images with captions and embeddings, {facts.version}",
        "license": "other",
        "license_name": "as-stated-for-each-picture",
        "license_link": "README.md",
        "language": [code for code in facts.languages if re.fullmatch("[a-z]{2,3}", code)],
        "multilinguality": ["multilingual" if len(facts.languages) > 1 else "monolingual"],
        "size_categories": [size],
        "source_datasets": ["extended|wit"],
        "task_categories": ["image-to-text", "text-to-image", "image-feature-extraction"],
        "tags": ["image", "wikipedia", "wikimedia-commons", "wit", *(["stand-in"] if facts.config.stand_in else [])],
        "configs": [
            {"config_name": "images", "data_files": "parquet/*.parquet", "default": True},
            {"config_name": "ledger", "data_files": "ledger/*.parquet"},
        ],
    }


def _sections(facts: Facts) -> Iterator[str]:
    config = facts.config
    yield f"# Wikipedia images with captions and embeddings, release {facts.version}"
    if config.stand_in:
        yield STAND_IN
    if facts.accepted:
        yield _accepted(facts)
    yield (
        f"{facts.released:,} pictures of Wikimedia Commons, {config.image_width} px wide, that illustrate Wikipedia "
        f"articles; {sum(facts.languages.values()):,} captions of them in {len(facts.languages)} languages; and the "
        f"2,048 features that a ResNet-50 finds in each."
    )
    yield f"## Motivation\n\n{MOTIVATION}"
    yield f"## Composition\n\n{FILES}\n\n{COLUMNS}"
    yield _numbers("Languages of the captions", "language", "rows", facts.languages)
    yield _numbers("Formats", "format", "pictures", facts.formats)
    if facts.near_duplicates:
        yield f"{facts.near_duplicates:,} pictures look like another one (`near_duplicate_of`)."
    yield f"## Collection\n\n{COLLECTION} {ORIGINS[config.origin]}\n\n{_inputs(facts)}"
    yield f"## Filters\n\n{_funnel(facts)}"
    if facts.changes:
        yield f"## Changes\n\n{_changes(facts)}"
    yield f"## Uses\n\n{USES}\n\n{READING}"
    yield f"## Known biases and limits\n\n{LIMITS}"
    yield f"## Licences\n\n{_rights(facts)}"
    yield f"## Removals\n\n{REMOVALS}"
    yield f"## Citation\n\nName the release, {facts.version}, and cite WIT:\n\n```bibtex\n{CITATION}\n```"
    yield f"## Contact\n\n{_contact(facts)}"


def _accepted(facts: Facts) -> str:
    listed = "\n".join(f"> - {_text(about)} (`{name}`)" for name, about in facts.accepted.items())
    return (
        f"> **Published in spite of warnings.** Expected, and not met:\n>\n{listed}\n>\n"
        f"> The reason to publish it nevertheless: {_text(facts.config.accept)}"
    )


def _changes(facts: Facts) -> str:
    lines = [
        f"Against release {facts.base}; image by image in `changes/`. An image that changed in several ways counts "
        f"once for each.",
        "",
        "| change | images | of them |",
        "| --- | ---: | --- |",
    ]
    lines += [
        f"| {change} | {counted.images:,} | {', '.join(f'{why}: {n:,}' for why, n in counted.by.items())} |"
        for change, counted in facts.changes.items()
    ]
    if EMBEDDED_ANEW in facts.changes:
        lines += ["", RENEWED]
    return "\n".join(lines)


def _inputs(facts: Facts) -> str:
    lines = ["| WIT file | rows | malformed | without image_url | sha256 |", "| --- | ---: | ---: | ---: | --- |"]
    lines += [
        f"| {_text(one.name)} | {one.rows:,} | {one.malformed:,} | {one.without_image_url:,} | {_digest(one.sha256)} |"
        for one in facts.inputs
    ]
    return "\n".join(lines)


def _digest(sha256: str | None) -> str:
    return f"`{sha256[:16]}…`" if sha256 else "(not read to its end)"


def _funnel(facts: Facts) -> str:
    lines = ["| outcome | images | share | meaning |", "| --- | ---: | ---: | --- |"]
    for outcome, meaning in MEANINGS.items():
        count = facts.outcomes[outcome]
        lines.append(f"| {outcome} | {count:,} | {count / max(facts.images, 1):.1%} | {meaning} |")
    lines.append(f"| **all** | **{facts.images:,}** | | |")
    config = facts.config
    rule = "its largest face covers" if config.face_rule == "largest" else "its faces cover"
    return (
        "An image of WIT is considered when at least one of its rows has a reference description. Each has exactly one "
        "outcome, in the ledger, with the detail in words:\n\n"
        + "\n".join(lines)
        + f"\n\nA picture is dropped when {rule} more than {config.face_threshold:.0%} of it, as measured by "
        f"`{config.face_model}`; the measured shares are in the ledger. The models:\n\n{_models(facts)}"
    )


def _models(facts: Facts) -> str:
    lines = ["| model | weights | pictures, and what it ran on | terms |", "| --- | --- | --- | --- |"]
    for one in facts.models:
        ran = ", ".join(f"{count:,} {processor}" for processor, count in facts.processors[one.name].items())
        lines.append(f"| {one.name} | sha256 {_digest(one.sha256)} | {ran} | {_text(one.licence)} |")
    return "\n".join(lines)


def _numbers(title: str, what: str, unit: str, counts: Any) -> str:
    listed = list(counts.items())
    lines = [f"**{title}**\n", f"| {what} | {unit} |", "| --- | ---: |"]
    lines += [f"| {_text(name) or '(none stated)'} | {count:,} |" for name, count in listed[:_SHOWN]]
    rest = listed[_SHOWN:]
    if rest:
        lines.append(f"| {len(rest)} others | {sum(count for _, count in rest):,} |")
    return "\n".join(lines)


def _rights(facts: Facts) -> str:
    return (
        "Each picture has a licence and an author of its own: `licence`, `licence_url`, `author` and `credit` in "
        "`parquet/` and in the ledger, as its file page on Commons (`metadata_url`) stated them. Who shows a picture "
        "must follow its licence. Captions and context are Wikipedia's of 2020, under CC BY-SA 3.0: "
        f"{TEXT_LICENCE}\n\n"
        + _numbers("Licences of the pictures", "licence", "pictures", facts.licences)
        + "\n\n"
        + _numbers("Texts of these licences", "licence_url", "pictures", facts.licence_urls)
    )


def _contact(facts: Facts) -> str:
    config = facts.config
    known = [config.operator_name, config.operator_url, config.operator_contact]
    return " · ".join(_text(part) for part in known if part)


def _text(value: str) -> str:
    """Return text as Markdown shows it letter by letter, in a cell of a table, too."""
    plain = " ".join(html.escape(value, quote=False).split())
    return re.sub(r"([\\`*_{}\[\]|~])", r"\\\1", plain)
