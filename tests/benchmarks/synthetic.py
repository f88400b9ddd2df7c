"""A Commons of any size that costs next to nothing: pictures are put together when they are asked for.

A file is a number and an edition: files that were uploaded again are another edition of the same numbers. Pictures are
330 × 220 pixels and some 23 KB as JPEG, no two alike; WIT rows are as long as real ones on average. It runs in a
process of its own, so that what it needs is not counted as part of a run, and says what was asked of it.
"""

import asyncio
import contextlib
import gzip
import hashlib
import io
import json
import multiprocessing
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import cv2
import numpy as np
from PIL import Image

from pipelines.commons.names import original_url
from pipelines.tables import WIT_COLUMNS

WIDTH, HEIGHT = 330, 220
_ORIGINAL = (2048, 1365)
_QUALITY = 87
_POOL = 64  # a power of two, so that each strip is as likely
_PAGES = ("de", "en", "fr", "nl", "ru", "zh")  # six rows for each image: 37 M rows for 6.5 M images
_WORDS = 190  # in the two context descriptions together: WIT's rows take some 700 bytes gzipped
_NUMBER = re.compile(r"Picture[ _](\d+)\.jpg")
_LICENCE = {
    "LicenseShortName": "CC BY-SA 4.0",
    "LicenseUrl": "https://creativecommons.org/licenses/by-sa/4.0",
    "Credit": '<span class="int-own-work" lang="en">Own work</span>',
    "AttributionRequired": "true",
    "UsageTerms": "Creative Commons Attribution-Share Alike 4.0",
}


@dataclass
class Asked:
    """What was asked of the servers: pictures and their bytes, queries of the API."""

    pictures: int = 0
    picture_bytes: int = 0
    queries: int = 0


@dataclass
class SyntheticCommons:
    """Serves the state of a Commons for the time of a ``with`` block.

    Args:
        images: how many files there are.
        again: numbers of those that were uploaded again.

    """

    images: int
    again: Collection[int] = ()
    url: str = ""
    _told: Connection = field(init=False, repr=False)
    _process: multiprocessing.process.BaseProcess = field(init=False, repr=False)

    def __enter__(self) -> "SyntheticCommons":
        self._told, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(self.images, frozenset(self.again), theirs), daemon=True
        )
        process.start()
        self._process = process
        self.url = f"http://127.0.0.1:{self._told.recv()}"
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._told.send("stop")
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()

    def asked(self) -> Asked:
        """Return what was asked since the last time."""
        self._told.send("asked")
        return Asked(**self._told.recv())

    def settings(self) -> dict[str, object]:
        """Return the settings that a release made from it needs."""
        return {
            "origin": "demo",
            "operator_contact": "someone@example.org",
            "media_url": self.url,
            "api_url": f"{self.url}/w/api.php",
            "face_model": "cascade-stand-in",
            "embedding_model": "resnet50-stand-in",
            "stand_in": True,
        }


def name_of(number: int) -> str:
    """Return a file's name."""
    return f"Picture_{number:07d}.jpg"


def write_wit(path: Path, images: int) -> Path:
    """Write a gzipped WIT file about so many images, in an order in which neighbours are of different partitions."""
    random = np.random.default_rng(3)
    words = np.array([f"wort{number:x}" for number in random.integers(0, 1 << 20, 4000)])
    texts = [" ".join(words[random.integers(0, len(words), _WORDS)]) for _ in range(997)]
    with gzip.open(path, "wt", compresslevel=1, encoding="utf-8", newline="") as file:
        file.write("\t".join(WIT_COLUMNS) + "\n")
        for number in range(images):
            url = original_url(name_of(number))
            for place, language in enumerate(_PAGES):
                text = texts[(number * 31 + place * 7) % len(texts)]
                at = 240 + number * 13 % 600
                title = f"Seite_{number // 3}_{place}"
                cells = (
                    *(language, f"https://{language}.wikipedia.org/wiki/{title}", url, title, "Abschnitt"),
                    *("Abschnitt", f"{text[: at % 60 + 20]} {number}", "English: a picture", "", "image/jpeg"),
                    *(str(_ORIGINAL[1]), str(_ORIGINAL[0]), "true", "true", "true", text[:at], text[at:]),
                )
                file.write("\t".join(cells) + "\n")
    return path


class Drawn:
    """Puts pictures together from strips that were encoded before, which takes microseconds.

    A JPEG with a restart marker after every row of blocks is a header and strips that know nothing of each other. Large
    blots of colour tell the pictures apart, and a grain as photographs have it makes them as heavy.
    """

    def __init__(self) -> None:
        random = np.random.default_rng(5)
        pool = [self._strips(random) for _ in range(_POOL)]
        self._head = pool[0][0]
        self._rows = [list(row) for row in zip(*(strips for _, strips in pool), strict=True)]

    def _strips(self, random: np.random.Generator) -> tuple[bytes, list[bytes]]:
        blots = random.integers(20, 235, (4, 6, 3)).astype(np.float32)
        pixels = cv2.resize(blots, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        pixels += random.normal(0, 11, pixels.shape)
        file = io.BytesIO()
        picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        picture.save(file, "JPEG", quality=_QUALITY, restart_marker_rows=1)
        head, scan = re.fullmatch(rb"(.*\xff\xda.{12})(.*)\xff\xd9", file.getvalue(), re.DOTALL).groups()  # type: ignore[union-attr]
        return head, re.split(rb"(?=\xff[\xd0-\xd7])", scan)

    def picture(self, number: int, edition: int) -> bytes:
        """Return an edition of a picture as JPEG."""
        chosen = hashlib.blake2b(b"%d %d" % (number, edition)).digest()
        strips = (row[choice % _POOL] for row, choice in zip(self._rows, chosen, strict=False))
        return b"".join((self._head, *strips, b"\xff\xd9"))


def _serve(images: int, again: frozenset[int], told: Connection) -> None:
    asyncio.run(_Server(images, again).run(told))


class _Server:
    """Answers requests; raw HTTP, since a client that is measured should wait for nothing."""

    def __init__(self, images: int, again: frozenset[int]) -> None:
        self._images = images
        self._again = again
        self._drawn = Drawn()
        self.asked: Counter[str] = Counter()

    async def run(self, told: Connection) -> None:
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()

        def listen() -> None:
            if not told.poll():
                return
            if told.recv() == "stop":
                stopping.set()
            else:
                told.send({name: self.asked[name] for name in ("pictures", "picture_bytes", "queries")})
                self.asked.clear()

        loop.add_reader(told.fileno(), listen)
        await stopping.wait()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = re.search(r"content-length: *(\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(length[1])) if length else b""
                kind, content = self._answer(head.split(" ", 2)[1], body.decode())
                status = b"200 OK" if content else b"404 Not Found"
                writer.write(
                    b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (status, kind, len(content))
                    + content
                )
                await writer.drain()
        writer.close()

    def _answer(self, target: str, body: str) -> tuple[bytes, bytes]:
        parts = urlsplit(target)
        if parts.path == "/w/api.php":
            self.asked["queries"] += 1
            asked = {name: values[-1] for name, values in parse_qs(body or parts.query).items()}
            return b"application/json", json.dumps(self._describe(asked)).encode()
        number = self._number(unquote(parts.path.rpartition("/")[2]))
        if number is None:
            return b"text/plain", b""
        picture = self._drawn.picture(number, int(number in self._again))
        self.asked["pictures"] += 1
        self.asked["picture_bytes"] += len(picture)
        return b"image/jpeg", picture

    def _number(self, name: str) -> int | None:
        found = _NUMBER.search(name)
        return int(found[1]) if found and int(found[1]) < self._images else None

    def _describe(self, asked: dict[str, str]) -> dict[str, object]:
        if "titles" not in asked:
            return {"batchcomplete": True, "query": {asked.get("list", "pages"): []}}
        titles = asked["titles"].split("|")
        normalized = [{"fromencoded": False, "from": title, "to": title.replace("_", " ")} for title in titles]
        pages = [self._page(title) for title in titles]
        return {"batchcomplete": True, "query": {"normalized": normalized, "pages": pages}}

    def _page(self, title: str) -> dict[str, object]:
        number = self._number(title)
        shown = title.replace("_", " ")
        if number is None:
            return {"ns": 6, "title": shown, "missing": True}
        edition = int(number in self._again)
        author = f'<a href="//commons.wikimedia.org/wiki/User:Author_{number % 5000}">Author {number % 5000}</a>'
        about = {
            "timestamp": f"2020-01-0{1 + edition}T00:00:00Z",
            "size": 1_400_000 + number,
            "width": _ORIGINAL[0],
            "height": _ORIGINAL[1],
            "sha1": hashlib.sha1(f"{number} {edition}".encode()).hexdigest(),
            "mime": "image/jpeg",
            "extmetadata": {
                key: {"value": value, "source": "commons-desc-page", "hidden": ""}
                for key, value in {**_LICENCE, "Artist": author}.items()
            },
        }
        return {"pageid": number + 1, "ns": 6, "title": shown, "imageinfo": [about]}


@contextlib.contextmanager
def served(images: int, again: Collection[int] = ()) -> Iterator[SyntheticCommons]:
    """Serve a Commons in which some files were uploaded again."""
    with SyntheticCommons(images, again) as commons:
        yield commons
