"""Batches through a GPU, so that it never waits: written for one process per GPU, with nothing else on it.

A batch goes through pinned memory and a stream of its own while the GPU works on the batches before it. The network
runs as a CUDA graph, captured once per shape: launching its hundreds of kernels one by one would take longer than
running them. Kernels are chosen by cuDNN's fixed rules, not by timing them: a timed choice can differ from one process
to the next, and with it the last bits of what is published.
"""

import logging
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from pipelines.vision.batches import Array, Batch, Chunks, Function, Outcome, Outputs, Shape, Tag
from pipelines.vision.devices import Processor

log = logging.getLogger(__name__)

_DEPTH = 3
"""Batches under way at once: one being filled, one on its way or in work, one being read."""

_WARM_UPS = 2
_SHARE = 0.5
"""Of the free memory that a chunk may take; what else runs on the GPU, and fragmentation, need the rest."""


class GpuRunner:
    """Runs batches on a GPU.

    Args:
        function: what is computed; without effects, without waiting for the device.
        processor: which GPU.
        rows: of a chunk; fewer are taken where memory is short.

    """

    def __init__(self, function: Function, processor: Processor, rows: int) -> None:
        self._device = processor.device
        self._function = function
        self._copying = torch.cuda.Stream(processor.device)  # type: ignore[no-untyped-call]
        self._computing = torch.cuda.Stream(processor.device)  # type: ignore[no-untyped-call]
        self._slots: dict[tuple[Shape, ...], list[_Slot]] = defaultdict(list)
        self._programs: dict[tuple[torch.Size, ...], Program] = {}
        self._chunks = Chunks(self._compute, rows, self._forget)
        self._lock = threading.Lock()

    def run(self, batches: Iterable[Batch[Tag]]) -> Iterator[Outcome[Tag]]:
        """Yield the outcome of each batch, in order; a second thread waits until the first is through.

        Raises:
            RuntimeError: not even a single row fits; see ``batches.lacks_memory``.

        """
        under_way: deque[tuple[Tag, _Slot]] = deque()
        with self._lock:
            try:
                for batch in batches:
                    if len(under_way) == _DEPTH:
                        yield self._finished(*under_way.popleft())
                    slot = self._slot(batch.shapes, [slot for _, slot in under_way])
                    batch.fill(slot.arrays)
                    self._launch(slot)
                    under_way.append((batch.tag, slot))
                while under_way:
                    yield self._finished(*under_way.popleft())
            finally:
                torch.cuda.synchronize(self._device)  # a caller who stops early must not leave copies under way

    def _slot(self, shapes: tuple[Shape, ...], busy: list["_Slot"]) -> "_Slot":
        """Return a free set of buffers of these shapes."""
        for slot in self._slots[shapes]:
            if slot not in busy:
                return slot
        made = None
        while made is None:
            made = self._chunks.tried(_Slot, shapes, self._device)
        self._slots[shapes].append(made)
        return made

    def _launch(self, slot: "_Slot") -> None:
        with torch.cuda.stream(self._copying), torch.inference_mode():
            for there, here in zip(slot.inputs, slot.pinned, strict=True):
                there.copy_(here, non_blocking=True)
            slot.loaded.record(self._copying)
        self._computing.wait_event(slot.loaded)
        with torch.cuda.stream(self._computing), torch.inference_mode():
            start = 0
            for results, details in self._chunks.run(slot.inputs):
                slot.keep(start, results, details)
                start += len(results[0])
            slot.done.record(self._computing)

    def _finished(self, tag: Tag, slot: "_Slot") -> Outcome[Tag]:
        slot.done.synchronize()
        return Outcome(tag, tuple(slot.results), tuple(slot.details))

    def _compute(self, inputs: list[Tensor]) -> Outputs:
        shapes = tuple(tensor.shape for tensor in inputs)
        if shapes not in self._programs:
            self._fit(inputs)
            self._programs[shapes] = Program(self._function, inputs, self._computing)
        return self._programs[shapes].run(inputs)

    def _forget(self) -> None:
        torch.cuda.synchronize(self._device)
        self._programs.clear()
        torch.cuda.empty_cache()

    def _fit(self, inputs: list[Tensor]) -> None:
        """Ask for fewer rows at once if one of them, tried alone, shows that they will not fit.

        Raises:
            torch.OutOfMemoryError: they will not.

        """
        rows = len(inputs[0])
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        self._function(*(tensor[:1] for tensor in inputs))
        taken = torch.cuda.max_memory_allocated(self._device) - before
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(self._device)
        if rows > 1 and rows * taken > _SHARE * free:
            raise torch.OutOfMemoryError(f"{rows} rows take {rows * taken:,} bytes; {free:,} are free")


class _Slot:
    """The buffers of a batch on both sides, and how far it has come."""

    def __init__(self, shapes: tuple[Shape, ...], device: torch.device) -> None:
        kinds = [torch.from_numpy(np.empty(0, kind)).dtype for _, kind in shapes]
        self.pinned = [torch.empty(s, dtype=k, pin_memory=True) for (s, _), k in zip(shapes, kinds, strict=True)]
        self.arrays: list[Array] = [tensor.numpy() for tensor in self.pinned]
        self.inputs = [torch.empty_like(tensor, device=device) for tensor in self.pinned]
        self.results: list[Tensor] = []
        self.details: list[Tensor] = []
        self.loaded = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self.done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._rows = shapes[0][0][0]

    def keep(self, start: int, results: tuple[Tensor, ...], details: tuple[Tensor, ...]) -> None:
        """Copy a chunk's outputs, which the next chunk overwrites, to this batch's place for them."""
        if not self.results:
            self.results = [torch.empty((self._rows, *t.shape[1:]), dtype=t.dtype, pin_memory=True) for t in results]
            self.details = [torch.empty((self._rows, *t.shape[1:]), dtype=t.dtype, device=t.device) for t in details]
        for kept, made in zip([*self.results, *self.details], [*results, *details], strict=True):
            kept[start : start + len(made)].copy_(made, non_blocking=True)


class Program:
    """A function on inputs of one shape, as a CUDA graph."""

    def __init__(self, function: Function, inputs: list[Tensor], stream: torch.cuda.Stream) -> None:
        self._inputs = [tensor.clone() for tensor in inputs]
        self._graph = torch.cuda.CUDAGraph()
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            for _ in range(_WARM_UPS):
                function(*self._inputs)
            stream.synchronize()
            with torch.cuda.graph(self._graph, stream=stream):
                self._outputs = function(*self._inputs)
        log.info("captured a graph for %s", [tuple(tensor.shape) for tensor in inputs])

    def run(self, inputs: list[Tensor]) -> Outputs:
        """Run it; the outputs are overwritten by the next run."""
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given, non_blocking=True)
        self._graph.replay()
        return self._outputs
