"""Embeddings: the 2048 features of a picture after a ResNet-50's average pooling, as the 2021 release has them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.vision.batches import Array, Batch, Outputs, runner_for
from pipelines.vision.checkpoint import load_network, seeded_network
from pipelines.vision.decoding import decoded
from pipelines.vision.devices import Processor, processor_for
from pipelines.vision.layers import to_kind
from pipelines.vision.resizing import axes_for, parameters, resample
from pipelines.vision.resnet50 import FEATURES
from pipelines.vision.weights import WeightsUsed, weights_used
from pipelines.vision.weights_errors import StandInRefused, UnknownModel
from pipelines.vision.weights_registry import STAND_INS

Pixels = NDArray[np.uint8]
Window = tuple[int, Pixels, NDArray[np.float32]]
"""A picture's number, the part of it that the crop depends on, and how to resample that."""

ROWS = 128
"""Pictures at once on a GPU."""

_SIDE, _STEP = 288, 64
"""Side in pixels of the square that windows go to a GPU in: what pictures of 300 pixels need, in coarse steps."""

_SEED = 2021


class Embedder:
    """A ResNet-50, loaded, for one process.

    Args:
        network: with its weights.
        weights: what it was loaded from.
        processor: where it runs.
        rows: pictures at once; None takes each alone, with no more pixels than it has.

    """

    def __init__(self, network: nn.Module, weights: WeightsUsed, processor: Processor, rows: int | None) -> None:
        self._network = to_kind(network.eval(), processor.kind).to(processor.device)
        self._processor = processor
        self._rows = rows
        self._runner = runner_for(self.features, processor, rows or 1)
        self.weights = weights
        self.processor = str(processor)

    def embed(self, pictures: Sequence[bytes]) -> NDArray[np.float32]:
        """Embed encoded pictures (JPEG or PNG).

        Returns:
            (n, 2048) float32, none negative. A picture's row depends on that picture alone.

        Raises:
            PictureError: a picture cannot be decoded.

        """
        return self._embed(decoded(pictures, self._processor.threads), len(pictures))

    def embed_arrays(self, pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        """Embed decoded pictures, (H, W, 3) RGB each; returns what ``embed`` returns."""
        return self._embed(pictures, len(pictures))

    def _embed(self, pictures: Iterable[Pixels], count: int) -> NDArray[np.float32]:
        vectors = np.empty((count, FEATURES), dtype=np.float32)
        windows = map(_window, range(count), pictures)
        batches = map(_single, windows) if self._rows is None else _grouped(windows, self._rows)
        for outcome in self._runner.run(batches):
            vectors[outcome.tag] = outcome.results[0][: len(outcome.tag)].numpy()
        return vectors

    def features(self, pixels: Tensor, axes: Tensor) -> Outputs:
        """Prepare windows and run the network."""
        return (self._network(resample(pixels, axes)),), ()


def load_embedder(
    model: str = "resnet50",
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    stand_in: bool = False,
) -> Embedder:
    """Load an embedder; costs a second or more, so once per process.

    Args:
        model: resnet50, or resnet50-stand-in: the same network with seeded weights.
        device: cpu, cuda, cuda:1, …; auto takes a GPU if there is one.
        precision: fp32 or bf16; auto takes bf16 where the device is faster in it.
        threads: for the network and for decoding; None takes what the process was given.
        stand_in: whether a stand-in may be loaded.

    Raises:
        UnknownModel: there is no such embedder.
        StandInRefused: the model is a stand-in, and none may be loaded.
        WeightsError: its weights cannot be had or are not the right ones.
        DeviceError: the device or precision cannot be had.

    """
    if model not in ("resnet50", "resnet50-stand-in"):
        raise UnknownModel(f"there is no embedder {model!r}; there are resnet50 and resnet50-stand-in")
    if model in STAND_INS and not stand_in:
        raise StandInRefused(f"{model} only stands in for an embedder; say stand_in=True to use it in a demo")
    processor = processor_for(device, precision, threads)
    network = seeded_network("resnet50", _SEED, _gain) if model in STAND_INS else load_network(model)
    return Embedder(network, weights_used(model), processor, ROWS if processor.is_gpu else None)


def _gain(name: str) -> float:
    """Return the gains of the stand-in: blocks add little to what passes them, so that 16 of them do not blow up."""
    return 0.3 if name.endswith("bn3.weight") else 1.0


def _window(number: int, picture: Pixels) -> Window:
    across, down = axes_for(picture.shape[1], picture.shape[0])
    rows, columns = (slice(axis.origin, axis.origin + axis.size) for axis in (down, across))
    return number, picture[rows, columns], parameters(across, down)


def _single(window: Window) -> Batch[list[int]]:
    return _batch([window], (1, *window[1].shape[:2]))


def _grouped(windows: Iterable[Window], rows: int) -> Iterator[Batch[list[int]]]:
    """Yield batches of ``rows`` rows; the last of a size may be filled in part. Larger windows get larger squares."""
    waiting: defaultdict[int, list[Window]] = defaultdict(list)
    for window in windows:
        largest = max(window[1].shape)
        side = _SIDE if largest <= _SIDE else -(-largest // _STEP) * _STEP
        waiting[side].append(window)
        if len(waiting[side]) == rows:
            yield _batch(waiting.pop(side), (rows, side, side))
    for side, left in waiting.items():
        yield _batch(left, (rows, side, side))


def _batch(windows: Sequence[Window], shape: tuple[int, int, int]) -> Batch[list[int]]:
    def fill(arrays: Sequence[Array]) -> None:
        pixels, axes = arrays
        axes[:] = (1, 0.5, 0)  # rows that nothing fills: any axis that can be resampled
        for row, (_, part, axis) in enumerate(windows):
            pixels[row, : part.shape[0], : part.shape[1]] = part
            axes[row] = axis

    shapes = (((*shape, 3), np.uint8), ((shape[0], 2, 3), np.float32))
    return Batch(shapes, fill, [number for number, _, _ in windows])
