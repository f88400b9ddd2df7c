"""Suppression: equal to the reference's, on the device as on the host, and untroubled by a low floor."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.vision import nms

Boxes = NDArray[np.float32]


@st.composite
def crowds(draw: st.DrawFn) -> tuple[Boxes, NDArray[np.float32]]:
    """Boxes that overlap a lot, with scores of which none occurs twice."""
    count = draw(st.integers(0, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    corners = rng.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 50, (count, 2))], axis=1).astype(np.float32)
    scores = (rng.permutation(count) + 1) / (count + 1)
    return boxes, scores.astype(np.float32)


@given(crowds())
def test_the_same_boxes_are_kept_as_by_retina_face(crowd: tuple[Boxes, NDArray[np.float32]]) -> None:
    postprocess = pytest.importorskip("retinaface.commons.postprocess")
    boxes, scores = crowd
    reference = postprocess.cpu_nms(np.column_stack([boxes, scores]), nms.THRESHOLD)
    assert nms.keep(boxes, scores).tolist() == [int(at) for at in reference]


@given(crowds(), st.floats(0, 1))
def test_a_higher_threshold_afterwards_gives_what_it_would_have_given_before(
    crowd: tuple[Boxes, NDArray[np.float32]], threshold: float
) -> None:
    boxes, scores = crowd
    afterwards = [at for at in nms.keep(boxes, scores) if scores[at] >= threshold]
    above = np.flatnonzero(scores >= threshold)
    assert afterwards == above[nms.keep(boxes[above], scores[above])].tolist()


@given(st.lists(crowds(), min_size=1, max_size=4), st.floats(0, 1))
def test_the_device_keeps_what_the_host_keeps_for_each_owner(
    crowds: list[tuple[Boxes, NDArray[np.float32]]], floor: float
) -> None:
    owners = np.repeat(np.arange(len(crowds)), [len(boxes) for boxes, _ in crowds])
    boxes = np.concatenate([boxes for boxes, _ in crowds])
    scores = np.concatenate([scores for _, scores in crowds])
    order = np.argsort(-scores, kind="stable")
    tensors = (torch.from_numpy(values[order][None]) for values in (boxes, scores, owners))
    kept, final = nms.keep_on_device(*tensors, floor=floor)
    assert final.all()
    for owner in range(len(crowds)):
        mine = np.flatnonzero((owners == owner) & (scores >= np.float32(floor)))
        expected = set(mine[nms.keep(boxes[mine], scores[mine])].tolist())
        assert {int(at) for at in order[kept[0].numpy()] if owners[at] == owner} == expected


def test_equal_scores_are_taken_in_the_order_given() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [40, 40, 50, 50]], dtype=np.float32)
    assert nms.keep(boxes, np.full(3, 0.7, dtype=np.float32)).tolist() == [0, 2]


def test_a_chain_too_long_for_the_device_is_not_called_final() -> None:
    x = np.arange(
        0, 400, 4, dtype=np.float32
    )  # each box overlaps its neighbour by 6 of 14 pixels, and no other so much
    boxes = np.stack([x, np.zeros_like(x), x + 9, np.full_like(x, 9)], axis=1)
    scores = np.linspace(0.99, 0.6, len(x), dtype=np.float32)
    _, final = nms.keep_on_device(*(torch.from_numpy(v[None]) for v in (boxes, scores, np.zeros(len(x)))), floor=0.5)
    assert not final.any()
    assert nms.keep(boxes, scores).tolist() == list(range(0, len(x), 2))
