"""A convolution is the same whether oneDNN adds and activates within it, or torch does so afterwards."""

import itertools

import pytest
import torch

from pipelines.vision import layers
from pipelines.vision.checkpoint import Seeded
from pipelines.vision.layers import Convolution, take_convolution

CASES = [
    *itertools.product((None, 0, 0.1), (False, True), (False, True), (1,), (1, 2)),
    (0, False, True, 8, 1),  # depthwise
]


@pytest.mark.parametrize(("slope", "add", "masked", "groups", "stride"), CASES)
def test_oneDNN_yields_what_torch_yields(
    monkeypatch: pytest.MonkeyPatch, slope: float | None, add: bool, masked: bool, groups: int, stride: int
) -> None:
    seeded = torch.Generator().manual_seed(7)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=seeded)

    convolution = Convolution(random(8, 8 // groups, 3, 3), random(8), stride=stride, slope=slope)
    x = random(2, 8, 12, 10).contiguous(memory_format=torch.channels_last)
    size = (12 // stride, 10 // stride)
    added = random(2, 8, *size).contiguous(memory_format=torch.channels_last) if add else None
    mask = (random(2, 1, *size) > 0).float() if masked else None

    def yielded() -> torch.Tensor:
        with torch.inference_mode():
            return convolution(x, mask, None if added is None else added.clone(memory_format=torch.preserve_format))

    if not layers._fuses(torch.float32):
        pytest.skip("this build of torch has no oneDNN")
    fused = yielded()
    monkeypatch.setattr(layers, "_fuses", lambda kind: False)
    torch.testing.assert_close(fused, yielded(), rtol=1e-5, atol=1e-5)
    assert (fused < 0).any() == (slope != 0)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("add", [False, True])
def test_a_convolution_without_bias_or_norm_adds_nothing_and_yields_the_same_bits(kind: torch.dtype, add: bool) -> None:
    bare = take_convolution(Seeded(1), "conv3", (8, 16), 1, norm=None).to(kind)
    assert bare.bias is None
    zeros = Convolution(bare.weight, torch.zeros(16, dtype=kind))
    x = torch.randn(2, 8, 12, 10).to(kind).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        added = [bare(x) for _ in range(2)] if add else [None, None]
        assert torch.equal(bare(x, add=added[0]), zeros(x, add=added[1]))
