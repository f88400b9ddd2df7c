"""Preprocessing: torchvision's transform for IMAGENET1K_V1, to one step of 255."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from pipelines.vision.resizing import CROP, axes_for, parameters, resample
from tests.vision.making import Pixels, picture

SIZES = [
    (300, 200),
    (300, 225),
    (300, 400),
    (200, 300),
    (256, 256),
    (300, 1999),
    (7, 500),
    (1000, 640),
    (301, 257),
    (1, 1),
]


def ours(pixels: Pixels) -> NDArray[np.float32]:
    across, down = axes_for(pixels.shape[1], pixels.shape[0])
    part = pixels[down.origin : down.origin + down.size, across.origin : across.origin + across.size].copy()
    axes = torch.from_numpy(parameters(across, down)[None])
    return resample(torch.from_numpy(part)[None], axes)[0].numpy()


def pillows(pixels: Pixels) -> NDArray[np.float32]:
    """Do what torchvision does with a Pillow image: resize the shorter side to 256, crop the middle."""
    height, width = pixels.shape[:2]
    shorter = min(width, height)
    size = [256 if side == shorter else int(256 * side / shorter) for side in (width, height)]
    left, top = (round((side - CROP) / 2.0) for side in size)
    scaled = Image.fromarray(pixels).resize((size[0], size[1]), Image.Resampling.BILINEAR)
    return np.asarray(scaled.crop((left, top, left + CROP, top + CROP)), dtype=np.float32)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["noise", "picture"])
def test_it_is_what_pillow_makes_to_one_step(size: tuple[int, int], kind: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    pixels = noise if kind == "noise" else picture(*size, seed=2)
    difference = np.abs(ours(pixels) - pillows(pixels))
    assert difference.max() <= 1
    if max(size) < 4 * min(size):  # pictures of extreme shape Pillow scales in another order
        assert (difference > 0).mean() < 0.01


@pytest.mark.parametrize("size", SIZES)
def test_it_is_what_torchvision_makes_to_one_step(size: tuple[int, int]) -> None:
    transforms = _torchvision("transforms.functional")
    models = _torchvision("models")
    pixels = picture(*size, seed=3)
    prepared = models.ResNet50_Weights.IMAGENET1K_V1.transforms()(Image.fromarray(pixels))
    mine = transforms.normalize(
        torch.from_numpy(ours(pixels)).permute(2, 0, 1) / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    )
    assert float((prepared - mine).abs().max()) <= 1.01 / 255 / 0.224


def _torchvision(module: str):  # type: ignore[no-untyped-def]
    import importlib

    try:
        return importlib.import_module(f"torchvision.{module}")
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"torchvision does not import beside this torch: {error}")


def test_a_picture_of_one_colour_stays_so() -> None:
    assert (ours(np.full((225, 300, 3), 201, dtype=np.uint8)) == 201).all()


@pytest.mark.parametrize("size", [(300, 9000), (300, 225), (225, 300)])
def test_the_crop_depends_on_nothing_else_than_what_is_looked_at(size: tuple[int, int]) -> None:
    across, down = axes_for(*size)
    pixels = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    pixels[down.origin : down.origin + down.size, across.origin : across.origin + across.size] = 255
    assert (pillows(pixels) == 255).all()


@pytest.mark.parametrize("size", [(300, 9000), (9000, 2), (330, 330)])
def test_little_is_looked_at_whatever_the_shape(size: tuple[int, int]) -> None:
    across, down = axes_for(*size)
    assert max(across.size, down.size) <= 296


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (3, 288, 288, 3), dtype=np.uint8)
    axes = np.stack([parameters(*axes_for(*size)) for size in ((280, 250), (224, 288), (1, 1))])
    together = resample(torch.from_numpy(pixels), torch.from_numpy(axes))
    turned = resample(torch.from_numpy(pixels[::-1].copy()), torch.from_numpy(axes[::-1].copy()))
    assert torch.equal(together, turned.flip(0))
