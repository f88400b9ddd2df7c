"""What the two RetinaFace networks share behind their backbones: merging of scales, context modules, heads, boxes.

After Deng et al. 2019 (RetinaFace) and Najibi et al. 2017 (SSH). The outputs are scores and boxes in pixels of each
picture, two anchors per place, coarsest or finest stride first as the network has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.vision.canvas import HEIGHT, START, WIDTH
from pipelines.vision.layers import Convolution, Source, activated, masked, take_convolution

_LARGEST = 10.0
"""Cap on the logarithm of a box's growth: e¹⁰ anchors are wider than any picture, and stay finite."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """How a network's deltas become boxes.

    Attributes:
        sizes: for each stride, the sides of its two square anchors in pixels.
        centre: of the anchors of the first place, in pixels, per stride.
        variances: factors on the deltas of centre and size.
        inclusive: whether a box's last pixel is within it, so that it is 1 px less wide than its size says.
        clipped: whether boxes end at the picture's last pixel.

    """

    sizes: dict[int, tuple[int, int]]
    centre: dict[int, float]
    variances: tuple[float, float]
    inclusive: bool
    clipped: bool


class Context(nn.Module):
    """SSH's context module: filters of 3, 5 and 7 pixels, the larger ones made of 3 × 3, side by side.

    Args:
        source: where the tensors come from.
        names: convolution and norm for each of: plain, shared, five, seven-first, seven-second.
        channels: in, out.
        eps: of the norms.
        slope: of the activation within.
        bias: whether the convolutions have biases of their own.

    """

    def __init__(
        self,
        source: Source,
        names: Sequence[tuple[str, str]],
        channels: tuple[int, int],
        *,
        eps: float,
        slope: float,
        bias: bool,
    ) -> None:
        super().__init__()
        inner, outer = channels
        half, quarter = outer // 2, outer // 4

        def take(number: int, channels: tuple[int, int], slope: float | None) -> Convolution:
            name, norm = names[number]
            return take_convolution(source, name, channels, 3, norm=(norm, eps), slope=slope, bias=bias)

        self.plain = take(0, (inner, half), None)
        self.shared = take(1, (inner, quarter), slope)
        self.five = take(2, (quarter, quarter), None)
        self.seven1 = take(3, (quarter, quarter), slope)
        self.seven2 = take(4, (quarter, quarter), None)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return (N, out, h, w) for x of (N, in, h, w), which is zero outside the pictures."""
        shared = self.shared(x, mask)
        return activated(
            torch.cat([self.plain(x), self.five(shared), self.seven2(self.seven1(shared, mask))], dim=1), 0
        )


class Head(nn.Module):
    """For two anchors at each place: the logit of face against background, and four box deltas; in float32.

    Args:
        source: where the tensors come from.
        names: of the class, box and landmark convolutions; a file must hold the last, which is not used.
        channels: of its input.
        interleaved: whether the class channels are background, face, background, face, not the two backgrounds first.

    """

    def __init__(self, source: Source, names: Sequence[str], channels: int, *, interleaved: bool = False) -> None:
        super().__init__()
        score, box, landmark = names
        take_convolution(source, landmark, (channels, 20), 1, norm=None, bias=True)
        classes = take_convolution(source, score, (channels, 4), 1, norm=None, bias=True)
        boxes = take_convolution(source, box, (channels, 8), 1, norm=None, bias=True)
        assert classes.bias is not None
        assert boxes.bias is not None
        faces, backgrounds = ([1, 3], [0, 2]) if interleaved else ([2, 3], [0, 1])
        self.convolution = Convolution(
            torch.cat([classes.weight[faces] - classes.weight[backgrounds], boxes.weight]),
            torch.cat([classes.bias[faces] - classes.bias[backgrounds], boxes.bias]),
            exact=True,
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, h, w, 2) and deltas (N, h, w, 2, 4) for x of (N, C, h, w)."""
        out = self.convolution(x.to(self.convolution.weight.dtype)).permute(0, 2, 3, 1)
        return out[..., :2], out[..., 2:].unflatten(3, (2, 4))


def upsampled(x: Tensor, like: Tensor) -> Tensor:
    """Return x with each value twice in both directions, cut to the height and width of ``like``."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")[:, :, : like.shape[2], : like.shape[3]]


def merged(finer: Tensor, coarser: Tensor, mask: Tensor | None) -> Tensor:
    """Return the sum of a level and the next coarser one, zero outside the pictures."""
    return masked(finer + upsampled(coarser, finer), mask)


def scores_and_boxes(
    outputs: Sequence[tuple[int, Tensor, Tensor]], table: Tensor, anchors: Anchors
) -> tuple[Tensor, Tensor, Tensor]:
    """Decode a network's outputs.

    Args:
        outputs: stride, logits (N, h, w, 2) and deltas (N, h, w, 2, 4) of each level.
        table: (N, H, 3), the canvases' rows.
        anchors: how deltas become boxes.

    Returns:
        Scores (N, A), boxes (N, A, 4) as x0, y0, x1, y1 in pixels of each one's picture, and the row (N, A) at which
        that picture starts. Places outside the pictures have score 0.

    """
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for stride, logits, deltas in outputs:
        rows = table[:, ::stride]
        count, high, wide = logits.shape[:3]
        device = logits.device
        x = torch.arange(wide, device=device) * stride
        y = torch.arange(high, device=device) * stride - rows[..., START]
        inside = x < rows[..., WIDTH, None]
        scores = logits.sigmoid().masked_fill(~inside[..., None], 0.0)
        places = (
            torch.stack([x.expand(count, high, wide), y[..., None].expand(count, high, wide)], dim=-1).float()
            + anchors.centre[stride]
        )
        sizes = torch.stack([torch.full((1,), float(size), device=device) for size in anchors.sizes[stride]])
        centre = places[:, :, :, None] + anchors.variances[0] * deltas[..., :2] * sizes
        extent = sizes * torch.exp((anchors.variances[1] * deltas[..., 2:]).clamp(max=_LARGEST))
        half = (extent - 1) / 2 if anchors.inclusive else extent / 2
        boxes = torch.cat([centre - half, centre + half], dim=-1)
        if anchors.clipped:
            last = (torch.stack([rows[..., WIDTH], rows[..., HEIGHT]] * 2, dim=-1) - 1).float()
            boxes = torch.minimum(boxes, last[:, :, None, None]).clamp(min=0)
        starts = rows[..., START, None, None].expand(count, high, wide, 2)
        found.append((scores.flatten(1), boxes.flatten(1, 3), starts.flatten(1)))
    return (
        torch.cat([s for s, _, _ in found], 1),
        torch.cat([b for _, b, _ in found], 1),
        torch.cat([r for _, _, r in found], 1),
    )
