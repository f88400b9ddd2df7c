"""Canvases: how pictures of mixed sizes go through a network together, and come out as if each had been alone.

A GPU wants few, large inputs of one fixed shape; pictures come in hundreds of heights. So pictures are laid below each
other on a canvas of fixed size, at multiples of 32 rows (the networks' coarsest stride) with at least one coarse row
between them. A table says for each row of a canvas how wide the picture there is, where it starts and how high it is;
from it follow, at every stride, the mask of what is picture and the coordinates within the picture. On a CPU, where
small inputs cost no more, a canvas is just one picture of exactly that size, and there is nothing to mask.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.vision.batches import Array, Batch

COARSEST = 32
"""Stride of the coarsest level in pixels; pictures start at its multiples."""

WIDTH, START, HEIGHT = range(3)
"""Columns of a canvas's table, (canvases, rows, 3) int32: all 0 in rows that belong to no picture."""

_HEIGHT = 2048
_NARROW = 304
"""A canvas's size in pixels, for pictures of up to 304 pixels' width: what 300-pixel pictures take in coarse places."""

_STEP = 64

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture lies: its number in the caller's order, the canvas in its batch, its first row, its size."""

    picture: int
    canvas: int
    row: int
    width: int
    height: int


Places = tuple[Place, ...]


def single(pictures: Iterable[Pixels]) -> Iterator[Batch[Places]]:
    """Yield each picture as a batch of its own, on a canvas of its own size."""
    for number, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        yield _batch([picture], (Place(number, 0, 0, width, height),), (1, height, width))


def packed(pictures: Iterable[Pixels], canvases: int, height: int = _HEIGHT) -> Iterator[Batch[Places]]:
    """Yield pictures in batches of ``canvases`` canvases; wider pictures than usual get fewer, wider ones.

    All batches of one canvas width have the same shape.

    Args:
        pictures: none higher than a canvas.
        canvases: of the usual width, in a batch.
        height: of a canvas in pixels, a multiple of 32.

    """
    open_batches: dict[int, _Packing] = {}
    for number, picture in enumerate(pictures):
        width = picture.shape[1]
        wide = _NARROW if width <= _NARROW else -(-width // _STEP) * _STEP
        if wide not in open_batches:
            open_batches[wide] = _Packing((max(1, canvases * _NARROW // wide), height, wide))
        if not open_batches[wide].add(number, picture):
            yield open_batches[wide].batch()
            open_batches[wide] = _Packing((max(1, canvases * _NARROW // wide), height, wide))
            open_batches[wide].add(number, picture)
    for packing in open_batches.values():
        yield packing.batch()


class _Packing:
    """A batch to which pictures are still being added."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._shape = shape
        self._pictures: list[Pixels] = []
        self._places: list[Place] = []
        self._canvas = self._row = 0

    def add(self, number: int, picture: Pixels) -> bool:
        """Find a place for a picture; False if there is none left."""
        height, width = picture.shape[:2]
        if self._row + height > self._shape[1]:
            self._canvas, self._row = self._canvas + 1, 0
        if self._canvas == self._shape[0]:
            return False
        self._pictures.append(picture)
        self._places.append(Place(number, self._canvas, self._row, width, height))
        self._row += -(-height // COARSEST) * COARSEST + COARSEST
        return True

    def batch(self) -> Batch[Places]:
        return _batch(self._pictures, tuple(self._places), self._shape)


def _batch(pictures: Sequence[Pixels], places: Places, shape: tuple[int, int, int]) -> Batch[Places]:
    def fill(arrays: Sequence[Array]) -> None:
        pixels, table = arrays
        table[:] = 0
        for picture, place in zip(pictures, places, strict=True):
            rows = slice(place.row, place.row + place.height)
            pixels[place.canvas, rows, : place.width] = picture
            table[place.canvas, rows] = place.width, place.row, place.height

    return Batch((((*shape, 3), np.uint8), ((*shape[:2], 3), np.int32)), fill, places)


class Masks:
    """What is picture and what is not, at any stride, made when first asked for.

    Args:
        table: (N, H, 3), or None if each picture fills its canvas.
        width: of the canvas in pixels.
        kind: data type of the masks.

    """

    def __init__(self, table: Tensor | None, width: int, kind: torch.dtype) -> None:
        self._table = table
        self._width = width
        self._kind = kind
        self._made: dict[int, Tensor] = {}

    def at(self, stride: int) -> Tensor | None:
        """Return the mask (N, 1, h, w) of ones and zeros at a stride, h and w being H and W over it, rounded up."""
        if self._table is None:
            return None
        if stride not in self._made:
            wide = -(-self._table[:, ::stride, WIDTH] // stride)
            columns = torch.arange(-(-self._width // stride), device=wide.device)
            self._made[stride] = (columns < wide[:, None, :, None]).to(self._kind)
        return self._made[stride]
