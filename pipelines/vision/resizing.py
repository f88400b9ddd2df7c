"""torchvision's preprocessing of pictures for a ResNet-50, as two matrix products per picture, on any device.

IMAGENET1K_V1's transform: the shorter side to 256 pixels (bilinear, antialiased, as Pillow does it: across, rounded to
whole values, then down, rounded again), the middle 224 × 224 of that. Only the part of the picture that the middle
depends on is looked at, so a picture of any shape costs the same.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SHORT, CROP = 256, 224
"""torchvision.models.ResNet50_Weights.IMAGENET1K_V1.transforms()."""


@dataclass(frozen=True, slots=True)
class Axis:
    """How one side of a picture is resampled to the crop.

    Attributes:
        origin: first pixel that matters.
        size: how many matter.
        first: centre of the crop's first pixel, in pixels from ``origin``.
        step: from one centre to the next.

    """

    origin: int
    size: int
    first: float
    step: float


def axis_for(side: int, shorter: int) -> Axis:
    """Return the resampling of a side of ``side`` pixels, of a picture whose shorter side has ``shorter``.

    The rounding of the scaled size and of the crop's place is torchvision's (``resize``, ``center_crop``), the rest
    Pillow's (``precompute_coeffs``).
    """
    scaled = SHORT if side == shorter else int(SHORT * side / shorter)
    step = side / scaled
    support = max(step, 1.0)
    first = (round((scaled - CROP) / 2.0) + 0.5) * step
    last = first + (CROP - 1) * step
    origin = max(0, int(first - support))
    end = min(side, int(last + support) + 1)
    return Axis(origin, end - origin, first - origin, step)


def axes_for(width: int, height: int) -> tuple[Axis, Axis]:
    """Return the resampling of a picture: across, down."""
    shorter = min(width, height)
    return axis_for(width, shorter), axis_for(height, shorter)


def parameters(across: Axis, down: Axis) -> NDArray[np.float32]:
    """Return (2, 3) size, first, step of both axes, as ``resample`` takes them."""
    return np.array([(axis.size, axis.first, axis.step) for axis in (across, down)], dtype=np.float32)


def resample(pixels: Tensor, axes: Tensor) -> Tensor:
    """Scale and crop pictures.

    Args:
        pixels: (N, H, W, 3) uint8, the parts that matter, each in the upper left corner.
        axes: (N, 2, 3) float32, ``parameters`` of each.

    Returns:
        (N, 224, 224, 3) float32, whole values from 0 to 255.

    """
    across = _matrix(axes[:, 0], pixels.shape[2])[:, None]
    down = _matrix(axes[:, 1], pixels.shape[1])[:, None]
    planes = pixels.permute(0, 3, 1, 2).float()
    rows = _whole(planes @ across.transpose(2, 3))
    return _whole(down @ rows).permute(0, 2, 3, 1)


def _matrix(axis: Tensor, length: int) -> Tensor:
    """Return (N, 224, length): the weights of the pixels of one axis, for each pixel of the crop."""
    size, first, step = (axis[:, column, None, None] for column in range(3))
    at = torch.arange(length, device=axis.device)
    centres = first + step * torch.arange(CROP, device=axis.device)[:, None]
    weights = (1 - (at + 0.5 - centres).abs() / step.clamp(min=1)).clamp(min=0) * (at < size)
    return weights / weights.sum(dim=2, keepdim=True)


def _whole(values: Tensor) -> Tensor:
    """Round to whole values as Pillow does, halves up, in place."""
    return values.add_(0.5).floor_().clamp_(0, 255)
