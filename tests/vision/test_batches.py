"""Batches: filled, cut, computed and given back in order; and out of memory is no reason to stop."""

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
    """A function with memory for so many rows."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.tried: list[int] = []

    def __call__(self, values: Tensor) -> Outputs:
        self.tried.append(len(values))
        if len(values) > self.room:
            raise torch.OutOfMemoryError("no room")
        return doubled(values)


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


def test_not_even_one_row_fitting_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        list(HostRunner(Tight(room=0), rows=4).run(batches(1, 4)))


def test_before_a_smaller_size_is_tried_memory_is_given_back() -> None:
    given_back: list[str] = []
    tight = Tight(room=1)
    chunks = Chunks(lambda inputs: tight(*inputs), 4, lambda: given_back.append("yes"))
    assert len(list(chunks.run([torch.zeros(4, 1)]))) == 4
    assert given_back == ["yes", "yes"]
