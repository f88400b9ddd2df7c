"""What a small Commons knows: its files, where they were moved, their categories, templates and licences.

A folder in this format is a wiki:

    originals/         the files under their names on Commons (underscores for spaces)
    catalogue.json     what is to be said of them; every key may be left out:
        categories     {category: ["File:…" or the name of a subcategory, …]}; circles are allowed
        templates      {template: ["File:…", …]}: the files that transclude Template:<template>
        licences       {"default" or "File:…": {extmetadata field: value}}; a file's own entry replaces the default
        timestamps     {"default" or "File:…": time of the newest upload, ISO 8601}
        missing        ["File:…", …]: deleted; the file need not be in originals/, and is not served if it is
        redirects      {"File:old": "File:new"}: moved; the API follows, the media servers answer 404 for the old name
        unavailable    ["File:…", …]: the media servers always answer 503
        unnormalisable ["File:…", …]: a query for thumbnails that holds one of these titles fails as a whole
        poisonous      ["File:…", …]: so does every query for imageinfo, whether it wants thumbnails or not
        described      {"File:…": {"width", "height", "size", "mime", "sha1"}}: files that only the API knows
"""

import hashlib
import io
import json
import threading
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from pipelines.commons.deletion import CandidateCategories
from pipelines.commons.names import normalise
from pipelines.demo.drawing import svg_size
from pipelines.errors import InputError

DEFAULT_TIMESTAMP = "2020-01-01T00:00:00Z"

_DEFAULT = "default"

_MIME = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "webp": "image/webp",
    "svg": "image/svg+xml",
    "pdf": "application/pdf",
    "djvu": "image/vnd.djvu",
    "ogv": "video/ogg",
    "webm": "video/webm",
}


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What the API says of a file: size in pixels (0 × 0 where it has none), bytes, type, sha1 in hex, upload time."""

    name: str
    width: int
    height: int
    size: int
    mime: str
    sha1: str
    timestamp: str


class Wiki:
    """A folder of originals and its catalogue, read once; files are measured when they are first asked for.

    Raises:
        InputError: the folder is not there, or its catalogue is not in the format above.

    """

    def __init__(self, folder: Path) -> None:
        self._originals = folder / "originals"
        if not self._originals.is_dir():
            raise InputError(f"{self._originals} is not there: a catalogue is a folder with originals/")
        about = _catalogue(folder / "catalogue.json")
        self._missing, self._unavailable, self._unnormalisable, self._poisonous = (
            frozenset(map(name_of, about.get(key, [])))
            for key in ("missing", "unavailable", "unnormalisable", "poisonous")
        )
        self._described: dict[str, dict[str, Any]] = _by_name(about.get("described", {}))
        self._redirects = {name_of(old): name_of(new) for old, new in about.get("redirects", {}).items()}
        self._licences: dict[str, dict[str, str]] = _by_name(about.get("licences", {}))
        self._timestamps: dict[str, str] = _by_name(about.get("timestamps", {}))
        self._templates = {
            _spaced(name): sorted(map(_spaced, files)) for name, files in about.get("templates", {}).items()
        }
        self._members = {_spaced(name): _sorted_members(names) for name, names in about.get("categories", {}).items()}
        self._categories = defaultdict[str, list[str]](list)
        for category in sorted(self._members):
            for title, _ in self._members[category]:
                self._categories[title].append(category)
        there = {path.name for path in self._originals.iterdir() if path.is_file()}
        self._names = frozenset((there | self._described.keys()) - self._missing)
        self._measured: dict[str, FileInfo] = {}
        self._lock = threading.Lock()

    @property
    def names(self) -> frozenset[str]:
        """The names of all files that exist."""
        return self._names

    def target(self, name: str) -> str:
        """Return the name that a file has today: its own, or the one it was moved to."""
        seen = {name}
        while (target := self._redirects.get(name)) and target not in seen:
            seen.add(target)
            name = target
        return name

    def unavailable(self, name: str) -> bool:
        """Say whether the media servers always fail for this file."""
        return name in self._unavailable

    def spoils(self, name: str, *, thumbnails: bool) -> bool:
        """Say whether a query for imageinfo fails as a whole because of this title."""
        return name in self._poisonous or (thumbnails and name in self._unnormalisable)

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes; None if there is no such file."""
        path = self._originals / name
        return path.read_bytes() if name in self._names and path.is_file() else None

    def info(self, name: str) -> FileInfo | None:
        """Return what is known of a file; None if it does not exist."""
        if name not in self._names:
            return None
        with self._lock:
            if name not in self._measured:
                self._measured[name] = self._measure(name)
            return self._measured[name]

    def _measure(self, name: str) -> FileInfo:
        timestamp = self._timestamps.get(name) or self._timestamps.get(_DEFAULT, DEFAULT_TIMESTAMP)
        mime = _MIME.get(name.rpartition(".")[2].lower(), "application/octet-stream")
        data = self.read(name)
        if data is None:
            said: dict[str, Any] = {
                "width": 0,
                "height": 0,
                "size": 0,
                "mime": mime,
                "sha1": "0" * 40,
            } | self._described[name]
            return FileInfo(name=name, timestamp=timestamp, **said)
        width, height = _size(data, mime)
        sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        return FileInfo(name, width, height, len(data), mime, sha1, timestamp)

    def licence(self, name: str) -> dict[str, str]:
        """Return the extmetadata fields of a file that speak of its licence and author."""
        return self._licences.get(name) or self._licences.get(_DEFAULT, {})

    def categories_of(self, name: str) -> list[str]:
        """Return the categories that a file is in, sorted."""
        return self._categories.get(title_of(name), [])

    def members(self, category: str, kinds: Collection[str]) -> list[str]:
        """Return the titles in a category that are of these kinds (file, subcat), subcategories first, sorted."""
        return [title for title, kind in self._members.get(_spaced(category), []) if kind in kinds]

    def has_page(self, title: str) -> bool:
        """Say whether a category or template is there; those that mark deletion candidates always are, if empty."""
        kind, _, name = _spaced(title).partition(":")
        known = self._members if kind == "Category" else self._templates
        return name in known or f"{kind}:{name}" in CandidateCategories().pages()

    def transcluding(self, template: str) -> list[str]:
        """Return the titles of the files that transclude a template, sorted."""
        return self._templates.get(_spaced(template), [])


def name_of(title: str) -> str:
    """Return the file name of a title: ``File:A b.jpg`` → ``A_b.jpg``."""
    return normalise(title.removeprefix("File:"))


def title_of(name: str) -> str:
    """Return the title of a file name: ``A_b.jpg`` → ``File:A b.jpg``."""
    return "File:" + name.replace("_", " ")


def _catalogue(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        about = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(about, dict):
        raise InputError(f"{path} must hold one JSON object, not a {type(about).__name__}")
    return about


def _by_name(said: dict[str, Any]) -> dict[str, Any]:
    return {title if title == _DEFAULT else name_of(title): value for title, value in said.items()}


def _sorted_members(names: list[str]) -> list[tuple[str, str]]:
    kinds = {}
    for name in map(_spaced, names):
        is_file = name.startswith("File:")
        title = name if is_file else "Category:" + name.removeprefix("Category:")
        kinds[title] = "file" if is_file else "subcat"
    return sorted(kinds.items(), key=lambda item: (item[1] == "file", item[0]))


def _spaced(title: str) -> str:
    return title.replace("_", " ")


def _size(data: bytes, mime: str) -> tuple[int, int]:
    """Return width and height after Exif rotation; 0 × 0 for what has none or is damaged beyond its header."""
    if mime == "image/svg+xml":
        return svg_size(data)
    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.format == "PNG":  # its Exif block may come last, and reading it decodes the whole picture
                return picture.size
            turned = picture.getexif().get(0x0112, 1) >= 5
            return picture.size[::-1] if turned else picture.size
    except (OSError, SyntaxError, ValueError):
        return 0, 0
