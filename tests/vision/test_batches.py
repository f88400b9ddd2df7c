"""Batches: filled, cut, computed and given back in order; and out of memory is no reason to stop."""

import weakref
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.vision.batches import Array, Batch, Chunks, HostRunner, Outputs


def batches(count: int, rows: int) -> Iterator[Batch[int]]:
    """Yield batches whose row r holds 10 · batch + r."""
    for number in range(count):

        def fill(arrays: Sequence[Array], number: int = number) -> None:
            arrays[0][:] = 10 * number + np.arange(rows)[:, None]

        yield Batch((((rows, 3), np.float32),), fill, number)


def doubled(values: Tensor) -> Outputs:
    return (values * 2,), (values,)


class Tight:
    """A function with memory for so many rows, and what it says of more."""

    def __init__(self, room: int, error: RuntimeError | None = None) -> None:
        self.room = room
        self.tried: list[int] = []
        self._error = error or torch.OutOfMemoryError("no room")

    def __call__(self, values: Tensor) -> Outputs:
        self.tried.append(len(values))
        if len(values) > self.room:
            raise self._error
        return doubled(values)


def masked() -> RuntimeError:
    """Return what comes out of a graph whose capture ended for want of memory."""
    error = RuntimeError("CUDA error: operation failed due to a previous error during capture")
    error.__context__ = torch.OutOfMemoryError("no room")
    return error


LACKING = (
    torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("GET was unable to find an engine to execute this computation"),
    masked(),
)


def test_each_batch_comes_back_with_its_tag_its_results_and_its_details() -> None:
    outcomes = [
        (out.tag, out.results[0][:, 0].tolist(), out.details[0][:, 0].tolist())
        for out in HostRunner(doubled, rows=4).run(batches(2, 3))
    ]
    assert outcomes == [(0, [0, 2, 4], [0, 1, 2]), (1, [20, 22, 24], [10, 11, 12])]


def test_out_of_memory_halves_what_is_taken_at_a_time_and_goes_on() -> None:
    tight = Tight(room=2)
    outcomes = list(HostRunner(tight, rows=8).run(batches(2, 8)))
    assert [out.results[0][:, 0].tolist() for out in outcomes] == [list(range(0, 16, 2)), list(range(20, 36, 2))]
    assert tight.tried == [8, 4] + [2] * 8  # never back to what did not fit


@pytest.mark.parametrize("error", LACKING, ids=lambda error: str(error).splitlines()[0])
def test_libraries_that_lack_memory_say_so_in_words_of_their_own(error: RuntimeError) -> None:
    tight = Tight(2, error)
    assert len(list(HostRunner(tight, rows=8).run(batches(1, 8)))) == 1
    assert tight.tried == [8, 4, 2, 2, 2, 2]


def test_another_error_is_raised_at_once() -> None:
    tight = Tight(2, RuntimeError("CUDA error: an illegal memory access was encountered"))
    with pytest.raises(RuntimeError, match="illegal"):
        list(HostRunner(tight, rows=8).run(batches(1, 8)))
    assert tight.tried == [8]


def test_not_even_one_row_fitting_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        list(HostRunner(Tight(room=0), rows=4).run(batches(1, 4)))


def test_before_a_smaller_size_is_tried_memory_is_given_back() -> None:
    given_back: list[str] = []
    tight = Tight(room=1)
    chunks = Chunks(lambda inputs: tight(*inputs), 4, lambda: given_back.append("yes"))
    assert len(list(chunks.run([torch.zeros(4, 1)]))) == 4
    assert given_back == ["yes", "yes"]


def test_what_did_not_fit_is_gone_when_memory_is_given_back() -> None:
    left: list[bool] = []

    def greedy(inputs: list[Tensor]) -> Outputs:
        activations = inputs[0] + 1
        made.append(weakref.ref(activations))
        if len(inputs[0]) > 1:
            raise torch.OutOfMemoryError("no room")
        return doubled(activations)

    made: list[weakref.ref[Tensor]] = []
    assert len(list(Chunks(greedy, 2, lambda: left.append(made[-1]() is None)).run([torch.zeros(2, 1)]))) == 2
    assert left == [True]


def test_whatever_is_made_beside_chunks_may_lack_memory_as_well() -> None:
    chunks = Chunks(lambda inputs: doubled(*inputs), 2)

    def buffers(room: int) -> str:
        if chunks.rows > room:
            raise torch.AcceleratorError("CUDA error: out of memory")
        return "buffers"

    assert [chunks.tried(buffers, 1), chunks.tried(buffers, 1)] == [None, "buffers"]
    with pytest.raises(torch.AcceleratorError):
        chunks.tried(buffers, 0)
