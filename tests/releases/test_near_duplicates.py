"""Near duplicates: found by the hash of what pictures look like, and nothing else is."""

import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from pipelines.releases.near_duplicates import MOST_BITS, near_duplicates, similar_pairs, worth_comparing
from pipelines.vision.decoding_kinds import Undecodable
from pipelines.vision.perceptual_hash import perceptual_hash
from tests.shared import shared

HASHES = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=30)
FLIPS = st.lists(st.tuples(st.integers(0, 29), st.integers(0, 63), st.integers(0, 63)), max_size=20)


def flipped(hashes: list[int], flips: list[tuple[int, int, int]]) -> list[int]:
    """Return hashes and some that differ from one of them in up to two bits."""
    return hashes + [hashes[at % len(hashes)] ^ (1 << first) ^ (1 << second) for at, first, second in flips]


@settings(deadline=None)
@given(HASHES, FLIPS)
def test_pairs_are_those_of_comparing_each_with_each(hashes: list[int], flips: list[tuple[int, int, int]]) -> None:
    unique = np.unique(np.array(flipped(hashes, flips), np.uint64))
    expected = [
        [first, second]
        for first, second in itertools.combinations(range(len(unique)), 2)
        if int(unique[first] ^ unique[second]).bit_count() <= MOST_BITS
    ]
    assert similar_pairs(unique).tolist() == expected


@settings(deadline=None)
@given(HASHES, FLIPS)
def test_the_url_is_the_smallest_of_those_that_look_the_same(
    hashes: list[int], flips: list[tuple[int, int, int]]
) -> None:
    every = flipped(hashes, flips)
    urls = [f"https://upload.wikimedia.org/{number * 7919 % 1000:03}" for number in range(len(every))]
    found = near_duplicates(urls, np.array(every, np.uint64))
    for url, value in zip(urls, every, strict=True):
        alike = [other for other, seen in zip(urls, every, strict=True) if (value ^ seen).bit_count() <= MOST_BITS]
        assert found.get(url, url) == min(alike)
    worth = worth_comparing(np.array(every, np.uint64))
    assert {url for url, compare in zip(urls, worth, strict=True) if compare} >= set(found) | set(found.values())


def encoded(image: Image.Image, kind: str = "JPEG", quality: int = 90, width: int = 300) -> bytes:
    file = io.BytesIO()
    size = (width, max(1, round(width * image.height / image.width)))
    image.resize(size, Image.Resampling.LANCZOS).save(file, kind, quality=quality)
    return file.getvalue()


@pytest.mark.parametrize("name", ["Carrie.jpg", "Rostockstein.jpg", "Hafnia_alvei.tif", "The_Poppet.jpg"])
def test_a_copy_has_nearly_the_same_hash(name: str) -> None:
    with Image.open(shared(f"commons/originals/{name}")) as opened:
        image = opened.convert("RGB")
    first = perceptual_hash(encoded(image))
    assert first is not None
    for copy in (encoded(image, quality=60), encoded(image, width=220), encoded(image, "PNG")):
        other = perceptual_hash(copy)
        assert other is not None
        assert (first ^ other).bit_count() <= MOST_BITS


def test_different_pictures_have_hashes_far_apart() -> None:
    hashes = [perceptual_hash(path.read_bytes()) for path in sorted(shared("faces/labelled").glob("*.jpg"))]
    known = [value for value in hashes if value is not None]
    assert len(known) == len(hashes) > 10
    assert min((a ^ b).bit_count() for a, b in itertools.combinations(known, 2)) > 10


def test_a_flat_surface_looks_like_nothing() -> None:
    assert perceptual_hash(encoded(Image.new("RGB", (300, 200), (200, 30, 30)))) is None
    assert perceptual_hash(encoded(Image.new("RGB", (300, 200), "white"), "PNG")) is None


def test_half_of_the_bits_are_set() -> None:
    value = perceptual_hash(shared("faces/test.jpg").read_bytes())
    assert value is not None
    assert value.bit_count() in range(30, 33)


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(Undecodable, match="cannot be decoded"):
        perceptual_hash(b"no picture")


def drawing(seed: int, under: str = "#0000", dot: str = "#000f") -> bytes:
    """Draw black lines as an SVG is drawn, on nothing or on a colour; `dot` is in the same place in all."""
    image = Image.new("RGBA", (300, 220), under)
    draw = ImageDraw.Draw(image)
    for points in np.random.default_rng(seed).integers(10, 210, (12, 4)).tolist():
        draw.line(points, "#000f", 4)
    draw.ellipse((230, 90, 270, 130), dot)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def apart(one: bytes, other: bytes) -> int:
    hashes = perceptual_hash(one), perceptual_hash(other)
    assert None not in hashes
    return ((hashes[0] or 0) ^ (hashes[1] or 0)).bit_count()


def test_different_drawings_on_nothing_are_told_apart() -> None:
    assert apart(drawing(1), drawing(2)) > 10
    assert apart(drawing(1, dot="#f00f"), drawing(2, dot="#f00f")) > 10


def test_a_drawing_on_nothing_looks_like_the_same_on_white() -> None:
    opaque = Image.open(io.BytesIO(drawing(1, "#ffff"))).convert("RGB")
    assert apart(drawing(1), encoded(opaque, "PNG")) <= MOST_BITS
    assert apart(drawing(1), encoded(opaque)) <= MOST_BITS


def test_a_grey_drawing_on_nothing_looks_like_the_same_in_colours() -> None:
    grey = io.BytesIO()
    Image.open(io.BytesIO(drawing(1))).convert("LA").save(grey, "PNG")
    assert apart(drawing(1), grey.getvalue()) <= MOST_BITS
