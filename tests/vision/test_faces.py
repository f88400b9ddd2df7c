"""How much of a picture faces cover; and that asking for a detector costs nothing until one is loaded."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.vision.faces import Face, default_score, face_ratio, face_union, load_detector
from pipelines.vision.weights_errors import StandInRefused, UnknownModel

WIDTH, HEIGHT = 30, 20

faces = st.lists(
    st.builds(
        lambda x, y, wide, high, score: Face(x, y, x + wide, y + high, score),
        st.integers(-10, WIDTH + 5),
        st.integers(-10, HEIGHT + 5),
        st.integers(0, 40),
        st.integers(0, 40),
        st.sampled_from([0.5, 0.7, 0.9, 1.0]),
    ),
    max_size=8,
)


def painted(listed: list[Face], min_score: float) -> list[np.ndarray]:
    """Paint each face that counts on a picture of its own, pixel by pixel."""
    pictures = []
    for face in listed:
        picture = np.zeros((HEIGHT, WIDTH), dtype=bool)
        top, left = max(0, int(face.y0)), max(0, int(face.x0))
        picture[top : max(0, int(face.y1)), left : max(0, int(face.x1))] = True
        if face.score >= min_score:
            pictures.append(picture)
    return pictures


@given(faces, st.sampled_from([0.5, 0.9]))
def test_the_ratio_is_that_of_the_largest_face_within_the_picture(listed: list[Face], min_score: float) -> None:
    expected = max((picture.mean() for picture in painted(listed, min_score)), default=0.0)
    assert face_ratio(listed, WIDTH, HEIGHT, min_score) == pytest.approx(expected)


@given(faces, st.sampled_from([0.5, 0.9]))
def test_the_union_counts_what_several_faces_cover_once(listed: list[Face], min_score: float) -> None:
    union = np.zeros((HEIGHT, WIDTH), dtype=bool)
    for picture in painted(listed, min_score):
        union |= picture
    assert face_union(listed, WIDTH, HEIGHT, min_score) == pytest.approx(union.mean())


def test_a_face_that_the_picture_cuts_off_counts_as_far_as_it_shows() -> None:
    assert face_ratio([Face(-50, -50, 5, 10, 1.0)], 10, 10, 0.9) == 0.5


def test_without_faces_nothing_is_covered() -> None:
    assert face_ratio([], 10, 10, 0.9) == face_union([], 10, 10, 0.9) == 0


def test_each_model_has_its_own_score() -> None:
    assert default_score("retinaface-resnet50") == 0.9
    assert default_score("retinaface-mobilenet0.25") == 0.55
    with pytest.raises(UnknownModel, match="retinaface-resnet50"):
        default_score("retinaface-resnet18")


def test_an_unknown_detector_is_refused_by_name() -> None:
    with pytest.raises(UnknownModel, match="haar"):
        load_detector("haar")


def test_a_stand_in_must_be_asked_for_by_two_words() -> None:
    with pytest.raises(StandInRefused, match="cascade-stand-in"):
        load_detector("cascade-stand-in")


def test_deciding_does_not_load_the_networks() -> None:
    code = "import sys, pipelines.vision.faces, pipelines.vision.weights; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
