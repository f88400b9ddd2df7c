"""File names and URLs of Wikimedia's media servers, both ways: URL → file name → original, thumbnail, file page.

A file is known by its decoded name with underscores. The two folders of its path are the first hex digits of the md5 of
that name, so a URL carries a checksum of the name it holds: a URL whose folders do not belong to its name is damaged
and is refused rather than guessed at, and a name that holds a raw ``?`` can be told from a query.
"""

import functools
import re
import unicodedata
from dataclasses import dataclass
from hashlib import md5
from urllib.parse import quote, unquote

UPLOAD = "https://upload.wikimedia.org"
COMMONS = "commons"
STANDARD_WIDTHS = (20, 40, 60, 120, 250, 330, 500, 960, 1280, 1920, 3840)
"""The only thumbnail widths that Wikimedia serves; any other is answered with 400 "Use thumbnail sizes listed on …"."""

_URL = re.compile(
    r"(?:https?:)?//(?:upload|thumb)\.wikimedia\.org(?::\d+)?/"
    r"(?P<project>[a-z]+)/(?P<wiki>[a-z][a-z0-9_-]*)/(?P<thumb>thumb/)?(?P<folders>[0-9a-f]/[0-9a-f]{2})/(?P<rest>.+)",
    re.IGNORECASE | re.DOTALL,
)
PLAIN = (
    r"://upload\.wikimedia\.org/wikipedia/commons/"
    r"(?P<folders>[0-9a-f]/[0-9a-f]{2})/(?P<name>[A-Z0-9][A-Za-z0-9.-]*(?:_[A-Za-z0-9.-]+)*)"
)
"""Most URLs after http or https: with a name in which there is nothing to normalise, to encode or to object to."""

_PLAIN = re.compile(f"https?{PLAIN}")

_BLANKS = re.compile("[ _\u00a0\u1680\u180e\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
_BIDI = re.compile("[\u200e\u200f\u202a-\u202e]+")
_ILLEGAL = re.compile("[\x00-\x1f\x7f#<>\\[\\]|{}/\ufffd\ud800-\udfff]|%[0-9A-Fa-f]{2}")
LONGEST = 255
"""Bytes of a file name: the width of MediaWiki's page_title and img_name."""

_ABBREVIATED = (
    160  # bytes: above it, thumbnails are called thumbnail.ext (MediaWiki's abbrvThreshold, as Wikimedia set it)
)
_LOSSY_PAGE = frozenset({"tif", "tiff"})
_PAGED = frozenset({"pdf", "djvu"})
_VIDEO = frozenset({"webm", "ogv", "ogg", "mpg", "mpeg"})
_AS_PNG = frozenset({"svg", "webp", "xcf"})
_WIKIMEDIA_HOSTS = frozenset({"commons", "meta", "incubator", "species", "outreach"})


class MalformedUrl(ValueError):
    """A URL that names no file on Wikimedia's media servers, or a name that cannot be one there."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url!r}: {reason}")
        self.url = url
        self.reason = reason

    def __reduce__(self) -> tuple[type["MalformedUrl"], tuple[str, str]]:
        """Travel between processes with both arguments."""
        return MalformedUrl, (self.url, self.reason)


@dataclass(frozen=True, slots=True)
class ImageUrl:
    """A file on a wiki.

    Args:
        site: ``commons``, or a local wiki such as ``en.wikipedia``.
        name: the decoded file name with underscores, first letter in upper case.

    """

    site: str
    name: str


def normalise(name: str) -> str:
    """Bring a file name into the form that MediaWiki files it under, without judging whether it is a legal one.

    As MediaWiki's title codec does: NFC, no bidirectional marks, runs of blanks as one underscore, none at the ends,
    and the first letter in upper case where that is one letter (ß stays, and so do Georgian letters).
    """
    if not name.isascii():
        name = _BIDI.sub("", unicodedata.normalize("NFC", name))
    name = _BLANKS.sub("_", name).strip("_")
    first = name[:1].upper()
    return first + name[1:] if len(first) == 1 and not "\u1c90" <= first <= "\u1cbf" else name


def file_name(title: str) -> str:
    """Return the file name of a page title: ``File:Ab c.jpg`` → ``Ab_c.jpg``.

    Raises:
        MalformedUrl: the name is empty, too long or holds characters that no title may hold.

    """
    name = normalise(re.sub(r"^\s*(?:file|image)\s*:", "", title, flags=re.IGNORECASE))
    if reason := _objection(name):
        raise MalformedUrl(title, reason)
    return name


def parse_image_url(url: str) -> ImageUrl:
    """Return the file that a media URL names.

    Takes http and https, percent-encoded and raw UTF-8, with or without a query, originals and thumbnails, Commons and
    local wikis.

    Raises:
        MalformedUrl: the URL is none of these; it says why.

    """
    plain = _plain_name(url)
    return ImageUrl(COMMONS, plain) if plain else _parse(url)


def _plain_name(url: str) -> str:
    """Return the file name of a URL with nothing to decode; empty: it is no such URL."""
    plain = _PLAIN.fullmatch(url)
    if plain is None:
        return ""
    name = plain["name"]
    return name if len(name) <= LONGEST and plain["folders"] == _folders(name) else ""


def _parse(url: str) -> ImageUrl:
    """Read a URL of any other spelling; see `parse_image_url`."""
    match = _URL.fullmatch(url.strip())
    if match is None:
        raise MalformedUrl(url, "not a file on upload.wikimedia.org")
    project, wiki, folders = match["project"].lower(), match["wiki"].lower(), match["folders"].lower()
    site = COMMONS if wiki == COMMONS else f"{wiki}.{project}"
    reason = ""
    for raw in _spellings(match["rest"], thumb=bool(match["thumb"])):
        try:
            name = normalise(unquote(raw, errors="strict"))
            wanted = _folders(name)
        except UnicodeError:
            reason = reason or "the file name is not valid UTF-8"
            continue
        if objection := _objection(name):
            reason = reason or objection
        elif wanted == folders:
            return ImageUrl(site, name)
        else:
            reason = reason or f"the folders {folders} do not belong to the name {name!r}, whose folders are {wanted}"
    raise MalformedUrl(url, reason or "no file name after the folders")


def _spellings(rest: str, thumb: bool) -> list[str]:
    """Return what may be the file name, likeliest first: a name can hold a raw ``?`` that looks like a query."""
    if thumb:
        name, slash, thumbnail = rest.partition("/")
        return [name] if slash and thumbnail else []
    cuts = [match.start() for match in re.finditer(r"[?#]", rest)]
    return [rest[:cut] for cut in cuts[:8]] + [rest]


def _objection(name: str) -> str:
    """Say why a normalised name can be no file name on a wiki; empty if it can."""
    if not name or not name.strip("."):
        return "the file name is empty"
    if illegal := _ILLEGAL.search(name):
        return f"a file name may not hold {illegal.group()!r}"
    if len(name.encode()) > LONGEST:
        return f"the file name is longer than {LONGEST} bytes"
    return ""


def _folders(name: str) -> str:
    digest = _digest(name)[:1].hex()
    return f"{digest[0]}/{digest}"


@functools.lru_cache(maxsize=64)  # what is asked for several times is asked for at once
def _digest(name: str) -> bytes:
    return md5(name.encode(), usedforsecurity=False).digest()


def partition_of(name: str, partitions: int = 200) -> int:
    """Return the shard of a file name: md5 of the name, as Commons itself files, modulo the number of partitions."""
    return int.from_bytes(_digest(name)) % partitions


def _image(image: ImageUrl | str) -> ImageUrl:
    return ImageUrl(COMMONS, image) if isinstance(image, str) else image


def _path(image: ImageUrl, folder: str = "") -> str:
    if image.site == COMMONS:
        project, wiki = "wikipedia", COMMONS
    else:
        wiki, _, project = image.site.partition(".")
    return f"/{project}/{wiki}/{folder}{_folders(image.name)}/{quote(image.name)}"


def original_path(image: ImageUrl | str) -> str:
    """Return the path of a file on the media servers; a plain name is one on Commons."""
    return _path(_image(image))


def original_url(image: ImageUrl | str, base: str = UPLOAD) -> str:
    """Return the canonical URL of a file: https, percent-encoded, no query. It is the join key of the whole release."""
    return base + _path(_image(image))


def file_page_url(image: ImageUrl | str) -> str:
    """Return the URL of a file's page on its wiki."""
    image = _image(image)
    wiki, _, project = image.site.replace("_", "-").partition(".")
    host = f"{wiki}.wikimedia" if wiki in _WIKIMEDIA_HOSTS else f"{wiki}.{project}"
    return f"https://{host}.org/wiki/File:{quote(image.name)}"


def thumbnail_name(name: str, width: int) -> str:
    """Return what Wikimedia's thumbnail service calls a thumbnail.

    Args:
        name: file name of the original.
        width: in pixels; only ``STANDARD_WIDTHS`` are served.

    """
    stem, dot, extension = name.rpartition(".")
    shown = name
    if len(name.encode()) > _ABBREVIATED:
        shown = f"thumbnail.{extension}" if dot and stem else "thumbnail"
    kind = extension.lower()
    if kind in _LOSSY_PAGE:
        return f"lossy-page1-{width}px-{shown}.jpg"
    if kind in _PAGED:
        return f"page1-{width}px-{shown}.jpg"
    if kind in _VIDEO:
        return f"{width}px--{shown}.jpg"
    return f"{width}px-{shown}.png" if kind in _AS_PNG else f"{width}px-{shown}"


def thumbnail_path(image: ImageUrl | str, width: int) -> str:
    """Return the path of a thumbnail on the media servers."""
    image = _image(image)
    return f"{_path(image, 'thumb/')}/{quote(thumbnail_name(image.name, width))}"


def thumbnail_url(image: ImageUrl | str, width: int, base: str = UPLOAD) -> str:
    """Return the URL of a thumbnail."""
    return base + thumbnail_path(image, width)
