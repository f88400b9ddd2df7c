"""The small detector with its published weights: it sees what an independent program sees, and where the noses are."""

import csv
from collections.abc import Mapping

import numpy as np
import pytest

from pipelines.vision.faces import Face, default_score, face_ratio
from pipelines.vision.retinaface import RetinaFaceDetector
from tests.shared import shared
from tests.vision.conftest import Photograph
from tests.vision.making import real_mobilenet

LISTED = 0.5
"""The score down to which the reference lists faces."""

DEFAULT = default_score("retinaface-mobilenet0.25")


@pytest.fixture(scope="module")
def detector(mobilenet_weights: None) -> RetinaFaceDetector:
    return real_mobilenet()


@pytest.fixture(scope="module")
def found(detector: RetinaFaceDetector, photographs: Mapping[str, Photograph]) -> dict[str, list[Face]]:
    faces = detector.detect_arrays([photograph.pixels for photograph in photographs.values()])
    return dict(zip(photographs, faces, strict=True))


def dropped(
    found: Mapping[str, list[Face]], photographs: Mapping[str, Photograph], score: float = DEFAULT
) -> dict[str, bool]:
    return {name: face_ratio(faces, *photographs[name].size, score) > 0.1 for name, faces in found.items()}


def test_it_finds_what_the_reference_found(
    found: Mapping[str, list[Face]], photographs: Mapping[str, Photograph]
) -> None:
    assert len(found) > 40
    for name, photograph in photographs.items():
        assert len(found[name]) == photograph.faces, name
        covered = face_ratio(found[name], *photograph.size, LISTED)
        assert covered == pytest.approx(photograph.face_ratio, abs=0.01), name


@pytest.mark.parametrize("score", [LISTED, DEFAULT])
def test_it_keeps_and_drops_the_same_pictures(
    found: Mapping[str, list[Face]], photographs: Mapping[str, Photograph], score: float
) -> None:
    listed = {name: photograph.face_ratio > 0.1 for name, photograph in photographs.items()}
    assert dropped(found, photographs, score) == listed
    assert 5 < sum(listed.values()) < 15


def test_every_labelled_picture_is_told_right_and_every_nose_is_in_its_face(
    found: Mapping[str, list[Face]], photographs: Mapping[str, Photograph]
) -> None:
    with shared("faces/labelled/noses.csv").open() as file:
        labels = list(csv.DictReader(file))
    assert len(labels) == 18
    for label in labels:
        name = f"faces/labelled/{label['file']}"
        faces = [face for face in found[name] if face.score >= DEFAULT]
        assert bool(faces) == (int(label["faces"]) > 0), name
        if not faces:
            continue
        scale = 300 / photographs[name].original_width
        noses = [tuple(float(at) * scale for at in nose.split(",")) for nose in label["noses_xy"].split(";")]
        largest = max(faces, key=lambda face: (face.x1 - face.x0) * (face.y1 - face.y0))
        assert any(largest.x0 < x < largest.x1 and largest.y0 < y < largest.y1 for x, y in noses), name


def test_bf16_decides_as_fp32_does(found: Mapping[str, list[Face]], photographs: Mapping[str, Photograph]) -> None:
    near = {name: one for name, one in photographs.items() if 0.08 < one.face_ratio < 0.17}
    faces = real_mobilenet(precision="bf16").detect_arrays([photograph.pixels for photograph in near.values()])
    assert dropped(dict(zip(near, faces, strict=True)), near) == dropped({name: found[name] for name in near}, near)


def test_on_canvases_it_finds_the_same(found: Mapping[str, list[Face]], photographs: Mapping[str, Photograph]) -> None:
    together = real_mobilenet(canvases=2).detect_arrays([photograph.pixels for photograph in photographs.values()])
    for name, faces in zip(photographs, together, strict=True):
        assert len(faces) == len(found[name]), name
        for one, other in zip(faces, found[name], strict=True):
            edges = [[face.x0, face.y0, face.x1, face.y1, face.score] for face in (one, other)]
            np.testing.assert_allclose(*edges, atol=1e-3)
