"""HTML as Commons' file pages carry it, reduced to a line of text and a link that is safe to show.

Authors, credits and licences are written by anyone, so nothing of their markup survives: text is text (whoever shows it
escapes it), and only http and https links to a host are links.
"""

import re
from html.parser import HTMLParser
from urllib.parse import urlsplit, urlunsplit

LONGEST = 1000
"""Characters of text that are kept: some credits hold whole essays."""

_SILENT = frozenset({"style", "script", "template", "noscript", "head", "title"})
_BREAKS = frozenset({"br", "p", "div", "li", "tr", "td", "th", "dd", "dt", "ul", "ol", "table", "hr"})
_EMPTY = frozenset({"br", "hr", "img", "input", "wbr", "link", "meta"})
_HIDDEN = re.compile(r"display:\s*none", re.IGNORECASE)
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\uffff\ud800-\udfff]+"
)
_JOINERS = "\u200c\u200d"  # between letters they are spelling, in Persian and in India's scripts; elsewhere padding
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f<>\"'`\\{}|^\u2028-\u202e\ud800-\udfff]")
_BASE_SCHEME = "https:"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.link: str | None = None
        self._silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        hidden = tag not in _EMPTY and _HIDDEN.search(values.get("style") or "")
        if tag in self._silent[:1] or (not self._silent and (tag in _SILENT or hidden)):
            self._silent.append(tag)
        if tag in _BREAKS:
            self.parts.append(" ")
        if tag == "a" and self.link is None and not self._silent:
            self.link = safe_link(values.get("href") or "")

    def handle_endtag(self, tag: str) -> None:
        if self._silent and self._silent[-1] == tag:
            self._silent.pop()
        if tag in _BREAKS:
            self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data)


def to_text(html: str) -> str:
    """Return the visible text of a fragment of HTML as one line, at most `LONGEST` characters."""
    return _read(html)[0]


def to_text_and_link(html: str) -> tuple[str, str | None]:
    """Return the visible text of a fragment of HTML as one line, and the first safe link in it."""
    return _read(html)


def _read(html: str) -> tuple[str, str | None]:
    reader = _Reader()
    reader.feed(html[: LONGEST * 100])
    reader.close()
    words = _INVISIBLE.sub(" ", "".join(reader.parts)).split()
    text = " ".join(word for word in words if word.strip(_JOINERS)).strip(_JOINERS)
    return (text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"), reader.link


def safe_link(href: str) -> str | None:
    """Return an http or https URL with nothing in it that could end an attribute; None: it is no such link."""
    href = href.strip()
    if href.startswith("//"):
        href = _BASE_SCHEME + href
    if _FORBIDDEN.search(href) or len(href) > 2000:
        return None
    try:
        parts = urlsplit(href)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        return None
    return urlunsplit(parts)
