"""Faces on pictures: what a detector finds, and how much of the picture it covers.

Detectors report every face above a low score, wherever it is and however small. Suppression works by falling score, so
keeping fewer of them afterwards gives exactly what a higher threshold would have given: which of them count, and
whether the picture is dropped, is decided later and can be decided anew without looking at the picture again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pipelines.vision.weights import WeightsUsed
from pipelines.vision.weights_errors import StandInRefused, UnknownModel
from pipelines.vision.weights_registry import STAND_INS

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOOR = 0.5
"""Score below which nothing is reported, as the field's detectors are usually evaluated and shown."""

_DEFAULT_SCORES = {"retinaface-resnet50": 0.9, "retinaface-mobilenet0.25": 0.55, "cascade-stand-in": 0.5}


@dataclass(frozen=True, slots=True)
class Face:
    """A face on a picture.

    Attributes:
        x0: left edge, in pixels from the picture's left edge; may lie outside the picture, as may the others.
        y0: upper edge, from the picture's upper edge.
        x1: right edge.
        y1: lower edge.
        score: the detector's confidence, 0 to 1.

    """

    x0: float
    y0: float
    x1: float
    y1: float
    score: float


class FaceDetector(Protocol):
    """A loaded detector, for one process."""

    @property
    def weights(self) -> WeightsUsed:
        """What it was loaded from."""

    @property
    def processor(self) -> str:
        """What it runs on, and in which precision: ``cpu fp32``, ``cuda bf16``."""

    @property
    def default_score(self) -> float:
        """The score from which its detections count as faces, unless someone sets another."""

    def detect(self, pictures: Sequence[bytes]) -> list[list[Face]]:
        """Find the faces on encoded pictures (JPEG or PNG), best first, down to a score of 0.5."""

    def detect_arrays(self, pictures: Sequence["NDArray[np.uint8]"]) -> list[list[Face]]:
        """Find the faces on decoded pictures, (H, W, 3) RGB each."""


def default_score(model: str) -> float:
    """Return the score from which a model's detections count as faces by default.

    0.9 for the ResNet-50, as retina-face has it. 0.55 for the MobileNet, which is less sure of faces that are there: a
    face that is published weighs more than a picture that is lost, and 0.55 is the lowest round score from which the
    largest face it sees on each of CompreFace's labelled photographs is one (at 0.5 there is one ghost).

    Raises:
        UnknownModel: there is no such detector.

    """
    if model not in _DEFAULT_SCORES:
        raise UnknownModel(f"there is no face detector {model!r}; there are {', '.join(_DEFAULT_SCORES)}")
    return _DEFAULT_SCORES[model]


def load_detector(
    model: str,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    stand_in: bool = False,
) -> FaceDetector:
    """Load a detector; costs seconds, so once per process.

    Args:
        model: retinaface-resnet50, retinaface-mobilenet0.25, or cascade-stand-in.
        device: cpu, cuda, cuda:1, …; auto takes a GPU if there is one.
        precision: fp32 or bf16; auto takes bf16 where the device is faster in it.
        threads: for the network and for decoding; None takes what the process was given.
        stand_in: whether a stand-in may be loaded.

    Raises:
        UnknownModel: there is no such detector.
        StandInRefused: the model is a stand-in, and none may be loaded.
        WeightsError: its weights cannot be had or are not the right ones.
        DeviceError: the device or precision cannot be had.

    """
    default_score(model)
    if model in STAND_INS:
        if not stand_in:
            raise StandInRefused(f"{model} only stands in for a face detector; say stand_in=True to use it in a demo")
        from pipelines.vision.stand_in import CascadeDetector

        return CascadeDetector(threads=threads)
    from pipelines.vision.retinaface import RetinaFaceDetector

    return RetinaFaceDetector.load(model, device=device, precision=precision, threads=threads)


def face_ratio(faces: Sequence[Face], width: int, height: int, min_score: float) -> float:
    """Return the share of the picture, 0 to 1, that its largest face covers; 0 without faces.

    Args:
        faces: as a detector gave them.
        width: of the picture in pixels.
        height: likewise.
        min_score: faces below it do not count.

    """
    boxes = _within(faces, width, height, min_score)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return float(areas.max(initial=0.0)) / (width * height)


def face_union(faces: Sequence[Face], width: int, height: int, min_score: float) -> float:
    """Return the share of the picture, 0 to 1, that all its faces cover together; where they overlap counts once."""
    boxes = _within(faces, width, height, min_score)
    if len(boxes) == 0:
        return 0.0
    xs, ys = np.unique(boxes[:, [0, 2]]), np.unique(boxes[:, [1, 3]])
    covered = np.zeros((len(ys), len(xs)), dtype=bool)
    for x0, y0, x1, y1 in boxes:
        left, right = np.searchsorted(xs, (x0, x1))
        top, bottom = np.searchsorted(ys, (y0, y1))
        covered[top:bottom, left:right] = True
    areas = np.diff(ys)[:, None] * np.diff(xs)[None, :]
    return float(areas[covered[:-1, :-1]].sum()) / (width * height)


def _within(faces: Sequence[Face], width: int, height: int, min_score: float) -> "NDArray[np.float64]":
    boxes = np.array(
        [(face.x0, face.y0, face.x1, face.y1) for face in faces if face.score >= min_score], dtype=np.float64
    ).reshape(-1, 4)
    return np.maximum(np.minimum(boxes, (width, height, width, height)), 0.0)
