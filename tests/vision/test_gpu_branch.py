"""The branch that GPUs take, walked without one: shapes, types and devices of all that a batch goes through."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pipelines.vision.batches import Outputs, Shape
from pipelines.vision.canvas import packed
from pipelines.vision.checkpoint import seeded_network
from pipelines.vision.devices import Processor
from pipelines.vision.embedding import ROWS, Embedder
from pipelines.vision.retinaface import CANVASES, RetinaFaceDetector
from pipelines.vision.weights import WeightsUsed
from tests.vision.making import picture

NOWHERE = Processor(torch.device("meta"), torch.bfloat16, threads=1)
"""Where tensors have shapes and types, and no values: whatever asks for one is an error, as it is in a CUDA graph."""

USED = WeightsUsed("seeded", "0" * 64, "none", stand_in=False)


class AsStrict(TorchDispatchMode):
    """Refuses what a GPU refuses and meta lets pass: tensors of another device, and convolutions of two types."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        assert {tensor.device.type for tensor in given} <= {"meta"}, func
        if func in (torch.ops.aten.conv2d.default, torch.ops.aten.convolution.default):
            assert len({tensor.dtype for tensor in given}) == 1, func
        return func(*args, **(kwargs or {}))


def walk(function: Callable[..., Outputs], shapes: Sequence[Shape]) -> list[tuple[tuple[int, ...], torch.dtype]]:
    inputs = [torch.from_numpy(np.empty(shape, kind)).to("meta") for shape, kind in shapes]
    with torch.inference_mode(), AsStrict():
        results, details = function(*inputs)
    return [(tuple(tensor.shape), tensor.dtype) for tensor in (*results, *details)]


@pytest.mark.parametrize("model", ["retinaface-resnet50", "retinaface-mobilenet0.25"])
def test_a_detector_yields_boxes_for_each_canvas(model: str) -> None:
    detector = RetinaFaceDetector(seeded_network(model, 1), model, USED, NOWHERE, CANVASES)
    (batch,) = packed([picture(300, 225)] * 3, CANVASES)
    floats, integers, truths = torch.float32, torch.int32, torch.bool
    boxes = 2 * sum(2048 // stride * -(-304 // stride) for stride in (8, 16, 32))
    assert walk(detector.together, batch.shapes) == [
        *(((16, 512), floats), ((16, 512, 4), floats), ((16, 512), integers), ((16, 512), truths), ((16,), truths)),
        *(((16, boxes), floats), ((16, boxes, 4), floats), ((16, boxes), integers)),
    ]


def test_an_embedder_yields_features_in_float32() -> None:
    embedder = Embedder(seeded_network("resnet50", 1), USED, NOWHERE, ROWS)
    shapes: list[Shape] = [((ROWS, 288, 288, 3), np.uint8), ((ROWS, 2, 3), np.float32)]
    assert walk(embedder.features, shapes) == [((ROWS, 2048), torch.float32)]


def _holds_a_constant(x: Tensor) -> Outputs:
    return (x.gather(0, torch.zeros(1, dtype=torch.int64)),), ()


def _looks(x: Tensor) -> Outputs:
    return (x * x.sum().item(),), ()


def _mixes_types(x: Tensor) -> Outputs:
    return (torch.conv2d(x[None, None, None], x.bfloat16()[None, None, None]),), ()


@pytest.mark.parametrize("function", [_holds_a_constant, _looks, _mixes_types])
def test_what_a_gpu_would_refuse_is_found(function: Callable[..., Outputs]) -> None:
    with pytest.raises((AssertionError, RuntimeError)):
        walk(function, [((4,), np.float32)])
