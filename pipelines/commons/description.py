"""A file's description: read out of the Action API's answers, in all their shapes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.commons.markup import safe_link, to_text, to_text_and_link
from pipelines.commons.names import MalformedUrl, file_name

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Description:
    """What Commons says of a file. What it does not say is None.

    Args:
        exists: there is such a file today.
        title: its name today, with underscores; another one than was asked for after a move.
        sha1: of the original, in hex.
        mime: its type.
        bytes: its size.
        width: in pixels.
        height: in pixels.
        timestamp: of the newest upload, ISO 8601.
        licence: short name.
        licence_url: http or https; often absent for public domain and CC0.
        author: plain text.
        author_url: http or https.
        credit: plain text.
        attribution_required: whether the licence asks for it.
        problem: why the API could not say more.

    """

    exists: bool
    title: str | None = None
    sha1: str | None = None
    mime: str | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    timestamp: str | None = None
    licence: str | None = None
    licence_url: str | None = None
    author: str | None = None
    author_url: str | None = None
    credit: str | None = None
    attribution_required: bool | None = None
    problem: str | None = None


def described(titles: Sequence[str], answers: Sequence[Json]) -> dict[str, Description]:
    """Return the description of each title out of the answers to one query."""
    return {title: describe(page) for title, page in pages_of(titles, answers).items()}


def pages_of(titles: Sequence[str], answers: Sequence[Json]) -> dict[str, Json]:
    """Return the page that each title leads to, its parts put together; empty where the answers know none."""
    moved: dict[str, str] = {}
    pages: dict[str, dict[str, Any]] = {}
    for answer in answers:
        query = answer.get("query", {})
        for change in (*query.get("normalized", ()), *query.get("redirects", ())):
            moved[change["from"]] = change["to"]
        found = query.get("pages", ())
        for page in found.values() if isinstance(found, Mapping) else found:
            pages.setdefault(page["title"], {}).update(page)
    return {title: pages.get(_follow(title, moved), {}) for title in titles}


def _follow(title: str, moved: Mapping[str, str]) -> str:
    seen = {title}
    while (following := moved.get(title)) and following not in seen:
        title = following
        seen.add(title)
    return title


def is_there(page: Json) -> bool:
    """Say whether a page exists."""
    return bool(page) and not any(mark in page and page[mark] is not False for mark in ("missing", "invalid"))


def page_name(page: Json) -> str | None:
    """Return the file name that a page's title holds; None: it is no file's page."""
    try:
        return file_name(str(page.get("title", "")))
    except MalformedUrl:
        return None


def describe(page: Json) -> Description:
    """Read a file's description out of its page; a page without a file is no file."""
    info = next(iter(page.get("imageinfo") or ()), None)
    if not is_there(page) or info is None or info.get("filemissing"):
        return Description(exists=False)
    said = info.get("extmetadata") or {}
    author, author_url = to_text_and_link(_value(said, "Artist"))
    return Description(
        exists=True,
        title=page_name(page),
        sha1=_text(info, "sha1"),
        mime=_text(info, "mime"),
        bytes=_number(info, "size", 1 << 63),
        width=_number(info, "width"),
        height=_number(info, "height"),
        timestamp=_text(info, "timestamp"),
        licence=to_text(_value(said, "LicenseShortName")) or to_text(_value(said, "UsageTerms")) or None,
        licence_url=safe_link(_value(said, "LicenseUrl")),
        author=author or None,
        author_url=author_url,
        credit=to_text(_value(said, "Credit")) or None,
        attribution_required={"true": True, "false": False}.get(_value(said, "AttributionRequired").strip().lower()),
    )


def _value(said: Json, field: str) -> str:
    """Return a field of the extended metadata, in which numbers and booleans occur where text should be."""
    entry = said.get(field)
    value = entry.get("value") if isinstance(entry, Mapping) else None
    return "" if value is None else str(value)


def _text(info: Json, field: str) -> str | None:
    value = info.get(field)
    return to_text(value) or None if isinstance(value, str) else None


def _number(info: Json, field: str, limit: int = 1 << 31) -> int | None:
    """Return a number that a table can hold."""
    value = info.get(field)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < limit else None
