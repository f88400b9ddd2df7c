"""The media servers of a small Commons: a request's path in, status, headers and bytes out. No HTTP here.

Thumbnails are drawn when they are first asked for, each once however many ask for it at the same time, and kept in
memory up to a bound.
"""

import hashlib
import html
import re
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import unquote

from pipelines.commons.names import STANDARD_WIDTHS, original_path, thumbnail_name
from pipelines.demo.drawing import CannotDraw, draw_thumbnail
from pipelines.demo.wiki import FileInfo, Wiki

_THUMB = re.compile(r"/wikipedia/commons/thumb/(?P<folders>[0-9a-f]/[0-9a-f]{2})/(?P<name>[^/]+)/(?P<thumb>[^/]+)")
_ORIGINAL = re.compile(r"/wikipedia/commons/(?P<folders>[0-9a-f]/[0-9a-f]{2})/(?P<name>[^/]+)")
_WIDTH = re.compile(r"(?:lossy-page1-|lossless-page1-|page1-)?(\d+)px-")
_DRAWN = {
    "image/jpeg": "image/jpeg",
    "image/png": "image/png",
    "image/gif": "image/gif",
    "image/tiff": "image/jpeg",
    "image/webp": "image/png",
    "image/svg+xml": "image/png",
}
"""Types of which thumbnails are drawn, and what the thumbnails are."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server answers; ``headers`` are those beside the content type."""

    status: int
    body: bytes
    content_type: str
    headers: dict[str, str] = field(default_factory=dict)


class ThumbnailCache:
    """Bytes by key, made once per key, the least recently used dropped when there are more than ``limit`` bytes."""

    def __init__(self, limit: int = 256_000_000) -> None:
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._making: defaultdict[tuple[str, int], threading.Lock] = defaultdict(threading.Lock)

    def get(self, key: tuple[str, int], make: Callable[[], bytes]) -> bytes:
        """Return what is kept under ``key``, or make and keep it. Errors of ``make`` are raised and not kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            making = self._making[key]
        with making:
            with self._lock:
                if key in self._kept:
                    return self._kept[key]
            made = make()
            with self._lock:
                self._kept[key] = made
                self._size += len(made)
                while self._size > self._limit and len(self._kept) > 1:
                    self._size -= len(self._kept.popitem(last=False)[1])
                self._making.pop(key, None)
            return made


class Media:
    """Answers requests for originals and thumbnails of a wiki's files."""

    def __init__(self, wiki: Wiki) -> None:
        self._wiki = wiki
        self._cache = ThumbnailCache()

    def answer(self, raw_path: str) -> Reply:
        """Return the reply to a GET of this percent-encoded path.

        200 with the file; 400 for a width that is not standard, or a bitmap's thumbnail wider than its original;
        404 for what does not exist here (deleted and renamed files, local wikis, names in the wrong folder); 500
        where the original is too damaged to draw; 503 for what the catalogue calls unavailable.
        """
        if match := _THUMB.fullmatch(raw_path):
            name, thumb = unquote(match["name"]), unquote(match["thumb"])
        elif match := _ORIGINAL.fullmatch(raw_path):
            name, thumb = unquote(match["name"]), ""
        else:
            return _error(404, f"there is no {raw_path} here")
        info = self._wiki.info(name)
        if info is None or f"/{match['folders']}/" not in original_path(name):
            return _error(404, f"File not found: {raw_path}")
        return self._thumbnail(info, thumb) if thumb else self._original(info)

    def _original(self, info: FileInfo) -> Reply:
        if self._wiki.unavailable(info.name):
            return _UNAVAILABLE
        data = self._wiki.read(info.name)
        if data is None:
            return _error(404, f"{info.name} is only described here")
        return Reply(200, data, info.mime, _headers(info, data))

    def _thumbnail(self, info: FileInfo, thumb: str) -> Reply:
        match = _WIDTH.match(thumb)
        if match is None or len(match[1]) > 5:
            return _error(404, f"{thumb} is no thumbnail's name")
        width = int(match[1])
        if width not in STANDARD_WIDTHS:
            return _error(400, "Use thumbnail sizes listed on https://w.wiki/GHai")
        if thumb != thumbnail_name(info.name, width) or info.mime not in _DRAWN:
            return _error(404, f"{info.name} has no thumbnail of this name")
        if width > info.width and info.mime != "image/svg+xml" and info.width:
            return _error(400, f"The requested width of {width} px is greater than the original's of {info.width} px")
        if self._wiki.unavailable(info.name):
            return _UNAVAILABLE
        original = self._wiki.read(info.name)
        if original is None:
            return _error(404, f"{info.name} is only described here")
        comment = f"File source: http://commons.wikimedia.org/wiki/File:{info.name}"
        try:
            data = self._cache.get((info.name, width), lambda: draw_thumbnail(original, info.mime, width, comment))
        except CannotDraw as error:
            return _error(500, f"Error generating thumbnail: {error}")
        return Reply(200, data, _DRAWN[info.mime], _headers(info, data))


def _headers(info: FileInfo, data: bytes) -> dict[str, str]:
    changed = datetime.fromisoformat(info.timestamp)
    etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return {"ETag": f'"{etag}"', "Last-Modified": format_datetime(changed, usegmt=True)}


def _error(status: int, words: str) -> Reply:
    page = f"<!DOCTYPE html>\n<html><title>{status}</title><h1>Error</h1><p>{html.escape(words)}</p></html>\n"
    return Reply(status, page.encode(), "text/html; charset=utf-8")


_UNAVAILABLE = _error(503, "Our servers are currently under maintenance or experiencing a technical problem.")
