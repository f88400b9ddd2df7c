"""Pictures of every kind, as they come: fetched, made ready for release, looked at."""

import io

import numpy as np
import pytest
from PIL import Image

from pipelines.vision.pictures import Undecodable, release_picture
from tests.shared import shared
from tests.vision.making import encoded, picture, real_mobilenet, seeded_mobilenet


def portrait() -> Image.Image:
    with Image.open(shared("faces/img11.jpg")) as opened:
        return opened.convert("RGB").resize((300, 400))


def saved(image: Image.Image, form: str) -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def sixteen_bits() -> Image.Image:
    return Image.fromarray(np.asarray(portrait().convert("L")).astype(np.uint16) * 257)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: saved(portrait(), "JPEG"), id="JPEG"),
        pytest.param(lambda: saved(portrait().convert("L"), "JPEG"), id="grey"),
        pytest.param(lambda: saved(portrait().convert("CMYK"), "JPEG"), id="CMYK"),
        pytest.param(lambda: saved(portrait().convert("RGBA"), "PNG"), id="alpha"),
        pytest.param(lambda: saved(sixteen_bits(), "PNG"), id="16 bits"),
        pytest.param(lambda: saved(portrait().quantize(64), "GIF"), id="GIF"),
        pytest.param(lambda: saved(portrait(), "WEBP"), id="WebP"),
    ],
)
def test_a_face_is_found_whatever_the_file_is(data, mobilenet_weights: None) -> None:  # type: ignore[no-untyped-def]
    (faces,) = real_mobilenet().detect([release_picture(data()).data])
    assert [face.score > 0.9 for face in faces] == [True]
    assert faces[0].x0 < 150 < faces[0].x1


@pytest.mark.parametrize("size", [(1, 1), (300, 1), (1, 300), (33, 33), (300, 9000)])
def test_no_shape_is_too_strange(size: tuple[int, int]) -> None:
    width, height = size
    (faces,) = seeded_mobilenet().detect_arrays([picture(width, height)])
    for face in faces:
        assert np.isfinite([face.x0, face.y0, face.x1, face.y1]).all()
        assert face.y0 < height + 600  # in pixels of the picture given, not of what the network was shown


@pytest.mark.parametrize("name", ["truncated.jpg", "corrupted.png", "empty.png"])
def test_damaged_pictures_are_refused(name: str) -> None:
    with pytest.raises(Undecodable):
        seeded_mobilenet().detect([shared(f"broken/{name}").read_bytes()])


def test_one_damaged_picture_does_not_hang_the_others_threads() -> None:
    pictures = [encoded(picture(60, 40, seed)) for seed in range(20)]
    detector = seeded_mobilenet()
    with pytest.raises(Undecodable):
        detector.detect([*pictures, b"\x89PNG nothing", *pictures])
    assert len(detector.detect(pictures)) == 20
