"""What is in the demo's catalogue: each image with its bytes, its marks, and what should become of it.

The names are made to be as awkward as real ones: six scripts, accents, commas, brackets, question marks,
apostrophes, one so long that its thumbnails go by another name.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from pipelines.commons.names import file_name
from pipelines.demo.artwork import drawing, portrait, svg, variant
from pipelines.demo.encodings import cut_off, document, encoded, oddities, overwritten
from pipelines.demo.subjects import ASTRONAUT, DRAWN, LANGUAGES, PHOTOGRAPHED, PLACES, Subject
from pipelines.tables import Outcome

_VARIANTS = 6
_DRAWINGS = 36
_SVGS = 20
_LARGE_FACES = 12
_SMALL_FACES = 8
_EXTENSIONS = ("jpg",) * 9 + ("JPG", "jpeg", "png", "PNG", "gif", "tif", "tiff", "tiff", "webp", "webp")
_DRAWN_EXTENSIONS = ("png", "png", "gif", "png", "jpg", "webp")


@dataclass(frozen=True, slots=True)
class DemoImage:
    """One image that WIT rows name.

    Args:
        name: the file name that WIT knows, decoded, with underscores.
        subject: what it shows.
        data: the original; None where there is none.
        expected: what should become of it.
        captioned: whether a row has a reference description; without one it is not selected.
        today: the name that the file was moved to; empty if it was not.
        site: ``commons``, or the local wiki that it is on.
        categories: that it is in, beside its subject's.
        template: that it transcludes.
        available: False where the media servers always fail.
    """

    name: str
    subject: Subject
    data: bytes | None
    expected: Outcome = Outcome.RELEASED
    captioned: bool = True
    today: str = ""
    site: str = "commons"
    categories: tuple[str, ...] = ()
    template: str = ""
    available: bool = True

    @property
    def title(self) -> str:
        """The title of the file as it is today."""
        return "File:" + (self.today or self.name)


def contents(random: Random) -> list[DemoImage]:
    """Return all images of the demo, in an order of no meaning."""
    namer = _Namer(random)
    images = [*_photographs(namer, random), *_drawings(namer, random), *_faces(namer, random), *_odd(namer)]
    return [*_marked(images, random), *_special(namer, random)]


class _Namer:
    """Gives out file names, none twice."""

    _PATTERNS = (
        "{word} {number}",
        "{word} ({place}), {year}",
        "{place} – {word} – {number}",
        "{year}-{number} {word}, {place}",
        "{word} d'après nature, {place}",
        "{word}? ({place}; {number})",
        "{word}!_{place}_&_{number}",
    )

    def __init__(self, random: Random) -> None:
        self._random = random
        self._number = 0

    def name(self, subject: Subject, extension: str, note: str = "") -> str:
        self._number += 1
        language = LANGUAGES[self._number % len(LANGUAGES)]
        pattern = self._PATTERNS[self._random.randrange(len(self._PATTERNS))]
        stem = pattern.format(
            word=subject.word(language),
            place=self._random.choice(PLACES),
            year=self._random.randint(1900, 2020),
            number=f"{self._number:03}",
        )
        if "{number}" not in pattern:
            stem += f" {self._number:03}"
        return file_name(f"{stem}{f' {note}' if note else ''}.{extension}")


def _photographs(namer: _Namer, random: Random) -> Iterator[DemoImage]:
    for subject in PHOTOGRAPHED:
        for number in range(_VARIANTS):
            extension = random.choice(_EXTENSIONS)
            data = encoded(variant(subject.source, number, random), extension, random)
            yield DemoImage(namer.name(subject, extension), subject, data)


def _drawings(namer: _Namer, random: Random) -> Iterator[DemoImage]:
    for number in range(_DRAWINGS):
        subject, extension = DRAWN[number % len(DRAWN)], random.choice(_DRAWN_EXTENSIONS)
        yield DemoImage(namer.name(subject, extension), subject, encoded(drawing(number, random), extension, random))
    for number in range(_SVGS):
        subject = DRAWN[number % len(DRAWN)]
        yield DemoImage(namer.name(subject, "svg"), subject, svg(number, random))


def _faces(namer: _Namer, random: Random) -> Iterator[DemoImage]:
    for number in range(_LARGE_FACES):
        extension = ("jpg", "png", "jpg", "webp")[number % 4]
        data = encoded(portrait(random.randint(170, 220), random), extension, random)
        yield DemoImage(namer.name(ASTRONAUT, extension, "portrait"), ASTRONAUT, data, Outcome.FACE)
    for _ in range(_SMALL_FACES):
        data = encoded(portrait(random.randint(400, 512), random), "jpg", random)
        yield DemoImage(namer.name(ASTRONAUT, "jpg"), ASTRONAUT, data)


def _odd(namer: _Namer) -> Iterator[DemoImage]:
    for words, data in oddities().items():
        note, _, extension = words.rpartition(".")
        yield DemoImage(namer.name(PHOTOGRAPHED[0], extension, note), PHOTOGRAPHED[0], data)


def _marked(images: list[DemoImage], random: Random) -> list[DemoImage]:
    """Make some images deletion candidates, in each of the ways; one of them shows a large face besides."""
    marks: list[dict[str, Any]] = [
        {"categories": ("Copyright violations",)},
        {"categories": ("Copyright violations", "Deletion requests November 2026")},
        {"categories": ("Other speedy deletions",)},
        {"categories": ("Duplicate",)},
        {"categories": ("Deletion requests November 2026",)},
        {"categories": ("Media missing permission as of 5 November 2026",)},
        {"categories": ("Media without a source as of 19 November 2026",)},
        {"template": "Delete"},
    ]
    plain = [number for number, image in enumerate(images) if image.expected is Outcome.RELEASED]
    chosen = random.sample(plain, len(marks))
    portraits = [number for number, image in enumerate(images) if image.expected is Outcome.FACE]
    for number, mark in zip(chosen, marks, strict=True):
        images[number] = replace(images[number], expected=Outcome.DELETION_CANDIDATE, **mark)
    both = portraits[0]
    images[both] = replace(
        images[both], expected=Outcome.DELETION_CANDIDATE, categories=("Personal files for speedy deletion",)
    )
    return images


def _special(namer: _Namer, random: Random) -> Iterator[DemoImage]:
    """Yield the images of which something else becomes, and those that look as if it would."""

    def named(subject: Subject, extension: str, note: str = "") -> str:
        return namer.name(subject, extension, note)

    def jpeg(subject: Subject) -> bytes:
        return encoded(variant(subject.source, 1, random), "jpg", random)

    cat, coffee, rocket, moon = PHOTOGRAPHED[0], PHOTOGRAPHED[1], PHOTOGRAPHED[2], PHOTOGRAPHED[11]
    for extension in ("jpg", "png", "svg"):
        yield DemoImage(named(moon, extension, "deleted"), moon, None, Outcome.MISSING)
    yield DemoImage(named(coffee, "jpg", "cut off"), coffee, cut_off(), Outcome.UNDECODABLE)
    yield DemoImage(named(coffee, "png", "overwritten"), coffee, overwritten(), Outcome.UNDECODABLE)
    yield DemoImage(named(rocket, "pdf"), rocket, document(), Outcome.UNSUPPORTED_TYPE)
    for site in ("en.wikipedia", "de.wikipedia"):
        yield DemoImage(named(rocket, "jpg", "poster"), rocket, None, Outcome.NOT_ON_COMMONS, site=site)
    narrow = encoded(portrait(500, random).resize((280, 280)), "jpg", random)  # no thumbnail to try as well
    yield DemoImage(named(ASTRONAUT, "jpg", "unavailable"), ASTRONAUT, narrow, Outcome.FETCH_FAILED, available=False)
    for subject in (cat, rocket):
        yield DemoImage(named(subject, "jpg"), subject, jpeg(subject), today=named(subject, "jpg", "moved"))
    long = file_name(f"{'Ein sehr langer Name ' * 9}{namer.name(cat, 'jpg')}")
    yield DemoImage(long, cat, jpeg(cat))
    for subject in (moon, coffee):
        yield DemoImage(named(subject, "jpg", "without caption"), subject, jpeg(subject), captioned=False)
