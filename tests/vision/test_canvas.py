"""Canvases: every picture lies on one, apart from all others, and no face depends on what lies beside it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.vision.canvas import COARSEST, HEIGHT, START, WIDTH, Masks, packed, single
from pipelines.vision.faces import Face
from pipelines.vision.retinaface import RetinaFaceDetector
from tests.vision.making import Pixels, picture, seeded_mobilenet

sizes = st.lists(st.tuples(st.integers(1, 700), st.integers(1, 700)), max_size=12)


def plain(width: int, height: int, value: int) -> Pixels:
    return np.full((height, width, 3), value, dtype=np.uint8)


@given(sizes, st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_every_picture_lies_whole_in_one_place_with_a_coarse_row_to_the_next(
    listed: list[tuple[int, int]], canvases: int
) -> None:
    pictures = [plain(*size, value) for value, size in enumerate(listed, start=1)]
    placed = []
    for batch in packed(pictures, canvases, height=736):
        pixels, table = (np.full(shape, 255, kind) for shape, kind in batch.shapes)
        batch.fill([pixels, table])
        taken = np.zeros(pixels.shape[:2], dtype=int)
        for place in batch.tag:
            rows = slice(place.row, place.row + place.height)
            assert place.row % COARSEST == 0
            assert (pixels[place.canvas, rows, : place.width] == pictures[place.picture]).all()
            assert (table[place.canvas, rows] == (place.width, place.row, place.height)).all()
            taken[place.canvas, rows] += 1
            placed.append(place.picture)
        assert taken.max(initial=0) <= 1
        assert (table[taken == 0] == 0).all()
        for canvas in table:
            coarse = canvas[::COARSEST]
            starts = [
                row for row in range(1, len(coarse)) if coarse[row, HEIGHT] and coarse[row, START] == row * COARSEST
            ]
            assert all(coarse[row - 1, HEIGHT] == 0 for row in starts)
    assert sorted(placed) == list(range(len(listed)))


@given(st.tuples(st.integers(1, 300), st.integers(1, 300)), st.sampled_from([1, 2, 4, 8, 16, 32]))
@settings(max_examples=30, deadline=None)
def test_a_mask_shows_at_each_stride_what_strided_convolutions_make_of_the_picture(
    size: tuple[int, int], stride: int
) -> None:
    (batch,) = packed([plain(*size, 1)], 1, height=736)
    pixels, table = (np.zeros(shape, kind) for shape, kind in batch.shapes)
    batch.fill([pixels, table])
    mask = Masks(torch.from_numpy(table), pixels.shape[2], torch.float32).at(stride)
    assert mask is not None
    expected = torch.from_numpy(pixels[:, ::stride, ::stride, :1] > 0).permute(0, 3, 1, 2)
    assert torch.equal(mask, expected.float())


def test_alone_a_picture_has_a_canvas_of_its_own_size_and_no_mask() -> None:
    (batch,) = single([plain(30, 20, 7)])
    assert [shape for shape, _ in batch.shapes] == [(1, 20, 30, 3), (1, 20, 3)]
    pixels, table = (np.empty(shape, kind) for shape, kind in batch.shapes)
    batch.fill([pixels, table])
    assert (pixels == 7).all()
    assert (table == (30, 0, 20)).all()
    assert WIDTH == 0
    assert Masks(None, 30, torch.float32).at(8) is None


PICTURES = [picture(300, 225, 1), picture(300, 200, 2), picture(120, 90, 3), picture(1, 1), picture(300, 401, 4)]


Alone = tuple[RetinaFaceDetector, list[list[Face]]]


@pytest.fixture(scope="module", params=[None, 1], ids=["own canvases", "shared canvases"])
def alone(request: pytest.FixtureRequest) -> Alone:
    """Give a detector, and the faces it finds on each picture alone."""
    detector = seeded_mobilenet(request.param)
    return detector, [detector.detect_arrays([pixels])[0] for pixels in PICTURES]


@pytest.mark.parametrize("chosen", [(4, 3, 2, 1, 0), (1, 1, 1, 1, 1, 1, 1), (0, 4)])
def test_faces_are_the_same_to_the_last_bit_in_any_company(alone: Alone, chosen: tuple[int, ...]) -> None:
    detector, faces = alone
    assert sum(map(len, faces)) > 20
    assert detector.detect_arrays([PICTURES[number] for number in chosen]) == [faces[number] for number in chosen]
