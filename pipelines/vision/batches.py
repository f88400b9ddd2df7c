"""Batches through a network: filled on the host, run on a device, given back in order. Faces and embeddings share it.

A batch is described before it exists: its shapes, and how to fill them. So a GPU's runner can have it written straight
into pinned memory, while the batches before it are still under way, and a CPU's into plain memory.

A runner cuts what it is given into chunks of a fixed number of rows. If a chunk does not fit into the device's memory,
the number is halved, for good, and the work goes on. It is never raised or left to chance otherwise: kernels are chosen
by shape, and a picture's result must not depend on how many others came with it.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.vision.devices import Processor

log = logging.getLogger(__name__)

Array = NDArray[Any]
Shape = tuple[tuple[int, ...], type[np.generic]]
Tag = TypeVar("Tag")
P = ParamSpec("P")
T = TypeVar("T")

_OUT_OF_MEMORY = (
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "unable to find an engine to execute this computation",  # cuDNN, of its engines' workspaces
)


@dataclass(frozen=True, slots=True)
class Batch(Generic[Tag]):
    """Inputs to come.

    Attributes:
        shapes: shape and data type of each input; the first axis of all is the same: the rows.
        fill: writes the inputs into arrays of these shapes, whose contents are undefined before.
        tag: what the caller needs to understand the outputs.

    """

    shapes: tuple[Shape, ...]
    fill: Callable[[Sequence[Array]], None]
    tag: Tag


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Tag]):
    """What became of a batch. The tensors are valid until the next outcome is asked for.

    Attributes:
        tag: the batch's.
        results: in host memory.
        details: left on the device, for those who need to look closer.

    """

    tag: Tag
    results: tuple[Tensor, ...]
    details: tuple[Tensor, ...]


Outputs = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]
Function = Callable[..., Outputs]
"""Inputs (as positional tensors) to results and details; the first axis of all of them is the rows."""


class Runner(Protocol):
    """Runs batches, on whatever device."""

    def run(self, batches: Iterable[Batch[Tag]]) -> Iterator[Outcome[Tag]]:
        """Yield the outcome of each batch, in order."""


def runner_for(function: Function, processor: Processor, rows: int) -> Runner:
    """Return the runner for a device.

    Args:
        function: what is computed.
        processor: where.
        rows: of a chunk; fewer are taken where memory is short.

    """
    if processor.is_gpu:
        from pipelines.vision.gpu import GpuRunner

        return GpuRunner(function, processor, rows)
    return HostRunner(function, rows)


class HostRunner:
    """Runs batches on the CPU, one after the other."""

    def __init__(self, function: Function, rows: int) -> None:
        self._chunks = Chunks(lambda inputs: function(*inputs), rows)

    def run(self, batches: Iterable[Batch[Tag]]) -> Iterator[Outcome[Tag]]:
        """Yield the outcome of each batch, in order.

        Raises:
            RuntimeError: not even a single row fits; see ``lacks_memory``.

        """
        for batch in batches:
            arrays = [np.empty(shape, kind) for shape, kind in batch.shapes]
            batch.fill(arrays)
            with torch.inference_mode():
                parts = list(self._chunks.run([torch.from_numpy(array) for array in arrays]))
            results, details = (
                tuple(torch.cat(column) if len(column) > 1 else column[0] for column in zip(*side, strict=True))
                for side in zip(*parts, strict=True)
            )
            yield Outcome(batch.tag, results, details)


class Chunks:
    """Inputs cut into as many rows as fit at a time.

    Args:
        compute: outputs from inputs, for one chunk.
        rows: of a chunk to begin with.
        forget: called before a smaller size is tried.

    """

    def __init__(
        self, compute: Callable[[list[Tensor]], Outputs], rows: int, forget: Callable[[], None] = lambda: None
    ) -> None:
        self.rows = rows
        self._compute = compute
        self._forget = forget

    def run(self, inputs: Sequence[Tensor]) -> Iterator[Outputs]:
        """Yield the outputs of each chunk of the inputs, in order.

        Raises:
            RuntimeError: not even a single row fits; see ``lacks_memory``.

        """
        start, total = 0, len(inputs[0])
        while start < total:
            end = min(total, start + self.rows)
            outputs = self.tried(self._compute, [tensor[start:end] for tensor in inputs])
            if outputs is not None:
                yield outputs
                start = end

    def tried(self, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return what a function makes; None if it did not fit: chunks are smaller then, and it can be tried again.

        Raises:
            RuntimeError: it did not fit, and a chunk is a single row already; see ``lacks_memory``.

        """
        try:
            return make(*args, **kwargs)
        except RuntimeError as error:
            if self.rows == 1 or not lacks_memory(error):
                raise
        # No sooner: the error's traceback holds on to all that was made before it.
        self.rows //= 2
        log.warning(
            "out of memory: going on with %d rows at a time; last bits may differ from other machines'", self.rows
        )
        self._forget()
        return None


def lacks_memory(error: BaseException) -> bool:
    """Say whether an error is for want of memory, or came up while one that is was handled.

    torch's own allocator has a type for it. What cuDNN, cuBLAS and CUDA itself allocate, for graphs and for pinned
    memory among others, is known by their words alone: "CUDA error: out of memory", and those listed.
    """
    said = str(error)
    if isinstance(error, torch.OutOfMemoryError) or any(words in said for words in _OUT_OF_MEMORY):
        return True
    return error.__context__ is not None and lacks_memory(error.__context__)
