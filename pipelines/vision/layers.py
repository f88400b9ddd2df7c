"""Convolutions as inference wants them: batch norm folded in, activation in place, and a mask for mixed sizes.

Pictures of different sizes share a canvas (``canvas``). What lies outside a picture must be zero wherever a
convolution looks beyond a picture's edge, as if the picture were alone and padded with zeros; so whatever is read by a
filter wider than one pixel is multiplied with a mask first. Without a mask (one picture that fills its canvas) nothing
is multiplied.

On a CPU, activation and addition are a part of oneDNN's convolution, which spares two passes over what it yields: a
fifth of the ResNet-50's time. torch has them as operators without public names, those that torch.compile calls;
compiling itself would need a C++ compiler on every worker. pyproject.toml holds torch to versions that have them so.
"""

import functools
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_ONEDNN = torch.ops.mkldnn


@functools.cache
def _fuses(kind: torch.dtype) -> bool:
    """Say whether oneDNN convolves this type here."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return kind is torch.float32 or (kind is torch.bfloat16 and bool(_ONEDNN._is_mkldnn_bf16_supported()))


class Source(Protocol):
    """Where a network's tensors come from."""

    def take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Return the float32 tensor of this name and shape."""


class Convolution(nn.Module):
    """A convolution padded with zeros by half its kernel, its folded batch norm, its activation, and a mask.

    Args:
        weight: (out, in / groups, k, k).
        bias: (out,), or None: to add zeros would be a pass over the result on a GPU.
        stride: in pixels, both ways.
        slope: of the activation below zero: 0 is ReLU; None is no activation.
        exact: whether it stays in float32 where the network around it does not.

    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self, weight: Tensor, bias: Tensor | None, *, stride: int = 1, slope: float | None = None, exact: bool = False
    ) -> None:
        super().__init__()
        self.exact = exact
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)
        self._stride = stride
        self._padding = weight.shape[2] // 2
        self._slope = slope

    def forward(self, x: Tensor, mask: Tensor | None = None, add: Tensor | None = None) -> Tensor:
        """Return (N, out, h, w) for (N, in, H, W).

        Args:
            x: (N, in, H, W).
            mask: (N, 1, h, w); see `masked`. It follows the activation.
            add: of the result's shape, added before the activation; it may be overwritten.

        """
        leaks = bool(self._slope)  # oneDNN adds with a ReLU or none behind it
        if x.is_cpu and _fuses(x.dtype) and not (leaks and add is not None):
            return masked(self._fused(x, add), mask)
        x = F.conv2d(x, self.weight, self.bias, self._stride, self._padding, groups=self._groups(x))
        if add is not None:
            x += add
        return masked(activated(x, self._slope), mask)

    def _groups(self, x: Tensor) -> int:
        return x.shape[1] // self.weight.shape[1]

    def _fused(self, x: Tensor, add: Tensor | None) -> Tensor:
        square = ([self._padding] * 2, [self._stride] * 2, [1, 1])
        given = (x, self.weight, self.bias, *square, self._groups(x))
        after: tuple[str | None, list[float]] = (None, [])
        if self._slope is not None:
            after = ("leaky_relu", [self._slope]) if self._slope else ("relu", [])
        made: Tensor = (
            _ONEDNN._convolution_pointwise(*given, after[0] or "none", after[1], "")
            if add is None
            else _ONEDNN._convolution_pointwise_.binary(add, *given, "add", 1.0, *after, "")
        )
        return made


class Norm(nn.Module):
    """A batch norm that no convolution precedes, as a scale and a shift; ReLU follows."""

    exact = False
    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale[None, :, None, None])
        self.register_buffer("shift", shift[None, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(scale · x + shift), of x's shape."""
        return F.relu_(torch.addcmul(self.shift, x, self.scale))


def activated(x: Tensor, slope: float | None) -> Tensor:
    """Apply ReLU, leaky ReLU or nothing, in place."""
    if slope is None:
        return x
    return F.leaky_relu_(x, slope) if slope else F.relu_(x)


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return x with zeros outside the pictures, in place. The mask is (N, 1, H, W), of x's type."""
    return x if mask is None else x.mul_(mask)


def to_kind(network: nn.Module, kind: torch.dtype) -> nn.Module:
    """Turn a network's convolutions and norms to another data type, in place, but for those that ask for float32."""
    for module in network.modules():
        if isinstance(module, Convolution | Norm) and not module.exact:
            module.to(kind)
    return network


def take_norm(source: Source, name: str, channels: int, eps: float) -> tuple[Tensor, Tensor]:
    """Take a batch norm's four tensors and return them as a scale and a shift, (channels,) each."""
    weight, bias, mean, var = (
        source.take(f"{name}.{part}", (channels,)) for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = weight.double() / (var.double() + eps).sqrt()
    return scale.float(), (bias.double() - mean.double() * scale).float()


def take_convolution(
    source: Source,
    name: str,
    channels: tuple[int, int],
    kernel: int,
    *,
    norm: tuple[str, float] | None,
    stride: int = 1,
    slope: float | None = None,
    groups: int = 1,
    bias: bool = False,
) -> Convolution:
    """Take a convolution, and the batch norm behind it if there is one.

    Args:
        source: where the tensors come from.
        name: of the convolution.
        channels: in, out.
        kernel: height and width in pixels.
        norm: name and epsilon of the batch norm to fold in.
        stride: in pixels.
        slope: as Convolution's.
        groups: 1, or the number of channels for a depthwise convolution.
        bias: whether the convolution has one of its own.

    """
    inner, outer = channels
    weight = source.take(f"{name}.weight", (outer, inner // groups, kernel, kernel)).double()
    shift = source.take(f"{name}.bias", (outer,)).double() if bias else torch.zeros(outer, dtype=torch.float64)
    if norm is not None:
        scale, added = take_norm(source, norm[0], outer, norm[1])
        weight, shift = weight * scale.double()[:, None, None, None], shift * scale + added
    return Convolution(weight.float(), shift.float() if bias or norm else None, stride=stride, slope=slope)
