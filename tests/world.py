"""A small Commons that changes: files are uploaded, replaced, moved, deleted, nominated; and WIT's rows about them."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image
from skimage import data

from pipelines.demo.server import DemoCommons
from tests.stages.making import url_of, write_wit

LICENCES = ("CC BY-SA 4.0", "CC0", "Public domain")


@dataclass
class File:
    """A file: what is drawn in it, when it was uploaded, and what is said of it."""

    seed: int
    uploaded: int = 0
    licence: str = LICENCES[0]
    caption: int = 0
    face: bool = False
    damaged: bool = False


@dataclass
class World:
    """The state of Commons and of WIT. Names are those that WIT knows; a moved file has another one on Commons.

    WIT may have forgotten a file, have lost its captions, or know a moved one under both of its names.
    """

    files: dict[str, File] = field(default_factory=dict)
    nominated: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    moved: dict[str, str] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    uncaptioned: set[str] = field(default_factory=set)
    known_twice: set[str] = field(default_factory=set)
    _made: int = 0

    def upload(self, count: int) -> list[str]:
        """Upload new files; WIT knows them at once."""
        names = [f"Picture_{self._made + number:05d}.jpg" for number in range(count)]
        for name in names:
            self.files[name] = File(seed=self._made)
            self._made += 1
        return names

    def upload_again(self, name: str, *, face: bool = False, damaged: bool = False) -> None:
        """Replace a file's content: by another picture, one of a person, or bytes that are none."""
        self.files[name].seed = 1_000_000 + self._made
        self.files[name].face, self.files[name].damaged = face, damaged
        self.files[name].uploaded += 1
        self._made += 1

    def revert(self, name: str) -> None:
        """Upload a file's first content again."""
        self.files[name].seed = int(name[8:13])
        self.files[name].face = self.files[name].damaged = False
        self.files[name].uploaded += 1

    def move(self, name: str) -> None:
        """Give a file another name."""
        self.moved[name] = "Moved_" + name

    def write(self, folder: Path) -> Path:
        """Write a folder for the demo Commons; return the WIT file."""
        originals = folder / "originals"
        originals.mkdir(parents=True, exist_ok=True)
        there = {self.moved.get(name, name): about for name, about in self.files.items() if name not in self.deleted}
        for path in originals.iterdir():
            if path.name not in there:
                path.unlink()
        for name, about in there.items():
            (originals / name).write_bytes(content(about))
        catalogue = {
            "categories": {"Copyright violations": [f"File:{self.moved.get(name, name)}" for name in self.nominated]},
            "licences": {f"File:{name}": {"LicenseShortName": about.licence} for name, about in there.items()},
            "timestamps": {f"File:{name}": f"2020-01-01T00:00:{about.uploaded:02d}Z" for name, about in there.items()},
            "redirects": {f"File:{old}": f"File:{new}" for old, new in self.moved.items()},
        }
        (folder / "catalogue.json").write_text(json.dumps(catalogue))
        rows = [
            {
                "language": language,
                "image_url": url_of(known_as),
                "page_title": name,
                "caption_reference_description": ""
                if name in self.uncaptioned
                else f"Caption {about.caption} of {name}",
                "mime_type": "image/jpeg",
                "original_width": "64",
                "original_height": "48",
            }
            for name, about in self.files.items()
            if name not in self.forgotten
            for known_as in ([name, self.moved.get(name, name)] if name in self.known_twice else [name])
            for language in ("en", "de")
        ]
        write_wit(folder / "wit.tsv.gz", *rows)
        return folder / "wit.tsv.gz"

    @contextmanager
    def served(self, folder: Path, port: int = 0, media_delay: float = 0.0) -> Iterator[dict[str, object]]:
        """Serve this state; give the settings that a release made from it needs, and keep the requests in a log."""
        wit = self.write(folder)
        with DemoCommons(folder, port=port, request_log=folder / "requests.jsonl", media_delay=media_delay) as server:
            yield {
                "wit_files": [str(wit)],
                "origin": "demo",
                "operator_contact": "someone@example.org",
                "media_url": server.url,
                "api_url": server.api_url,
                "face_model": "cascade-stand-in",
                "embedding_model": "resnet50-stand-in",
                "stand_in": True,
            }


def downloads(folder: Path) -> list[str]:
    """Return the paths that were asked for at the media servers while `folder` was served."""
    lines = (folder / "requests.jsonl").read_text().splitlines()
    return [path for path in (json.loads(line)["path"] for line in lines) if path.startswith("/wikipedia/")]


def content(file: File) -> bytes:
    """Return a file's bytes."""
    if file.damaged:
        return b"damaged" + drawn(file.seed)[7:200]
    return portrait(file.seed) if file.face else drawn(file.seed)


def portrait(seed: int) -> bytes:
    """Return a picture that a face covers a good part of; no two are the same."""
    pixels = np.array(Image.fromarray(data.astronaut()[:220, 120:340]).resize((96, 96)))
    pixels[:4, :4] = [seed % 256, seed // 256 % 256, seed // 65536 % 256]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


def drawn(seed: int) -> bytes:
    """Return a picture like no other: a few coloured rectangles, 64 × 48 pixels."""
    random = Random(seed)
    pixels = np.zeros((48, 64, 3), np.uint8)
    for _ in range(12):
        x, y = random.randrange(60), random.randrange(44)
        colour = [random.randrange(256) for _ in range(3)]
        pixels[y : y + random.randrange(4, 30), x : x + random.randrange(4, 40)] = colour
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()
