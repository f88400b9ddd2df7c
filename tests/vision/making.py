"""Pictures and networks for tests of the networks: made here, from seeds."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from torch import nn

from pipelines.vision.checkpoint import load_network, seeded_network
from pipelines.vision.devices import processor_for
from pipelines.vision.retinaface import RetinaFaceDetector
from pipelines.vision.weights import WeightsUsed

Pixels = NDArray[np.uint8]

_GAINS = {"conv3.weight": 0.3, "cls_score": 0.05, "bbox_pred": 0.02}
"""Of the ResNet-50, whose 16 units would blow up otherwise: its heads' outputs are then as large as the MobileNet's."""


def picture(width: int, height: int, seed: int = 0) -> Pixels:
    """Draw ellipses over soft noise: edges, areas and texture, as (height, width, 3)."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (max(1, height // 16), max(1, width // 16), 3), dtype=np.uint8)
    drawn = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(drawn)
    for _ in range(12):
        x, y = rng.integers(0, width), rng.integers(0, height)
        wide, high = rng.integers(4, 90, 2)
        draw.ellipse((x, y, x + wide, y + high), fill=tuple(rng.integers(0, 256, 3).tolist()))
    return np.asarray(drawn.filter(ImageFilter.GaussianBlur(0.7))).copy()


def encoded(pixels: Pixels, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def seeing(model: str) -> nn.Module:
    """Return a detector's network whose weights mean nothing, but which sees a few dozen faces in every picture."""
    network = seeded_network(model, 3, lambda name: next((_GAINS[part] for part in _GAINS if part in name), 1.0))
    for head in network.heads:
        head.convolution.bias[:2] -= 6
    return network


def seeded_mobilenet(canvases: int | None = None, precision: str = "fp32") -> RetinaFaceDetector:
    return _detector(seeing("retinaface-mobilenet0.25"), "retinaface-mobilenet0.25", canvases, precision)


def real_mobilenet(canvases: int | None = None, precision: str = "fp32") -> RetinaFaceDetector:
    return _detector(load_network("retinaface-mobilenet0.25"), "retinaface-mobilenet0.25", canvases, precision)


def _detector(network: nn.Module, model: str, canvases: int | None, precision: str) -> RetinaFaceDetector:
    used = WeightsUsed(model, "0" * 64, "none", stand_in=False)
    return RetinaFaceDetector(network, model, used, processor_for("cpu", precision, threads=1), canvases)
