"""RetinaFace with a MobileNet v1 of width 0.25: the small face detector, for machines without a GPU.

The network of biubug6/Pytorch_Retinaface (cfg_mnet, MIT), under its names, so that its published weights load strictly.
It was trained on blue, green, red; its first filter is turned round, so that red, green, blue go in.
Landmarks are not computed.
"""

import torch
from torch import Tensor, nn

from pipelines.vision.canvas import Masks
from pipelines.vision.layers import Convolution, Source, masked, take_convolution
from pipelines.vision.pyramid import Anchors, Context, Head, merged, scores_and_boxes

EPS = 1e-5
_SLOPE = 0.1
_STAGES = (
    ((8, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)),
    ((64, 128, 2), (128, 128, 1), (128, 128, 1), (128, 128, 1), (128, 128, 1), (128, 128, 1)),
    ((128, 256, 2), (256, 256, 1)),
)  # channels in and out, and the stride, of each pair of a depthwise and a pointwise convolution
_ANCHORS = Anchors(
    sizes={8: (16, 32), 16: (64, 128), 32: (256, 512)},
    centre={8: 4.0, 16: 8.0, 32: 16.0},
    variances=(0.1, 0.2),
    inclusive=False,
    clipped=False,
)
_MEANS = (123.0, 117.0, 104.0)  # red, green, blue


class Pair(nn.Module):
    """A depthwise and a pointwise convolution. What comes out is masked where a wide filter reads it next."""

    def __init__(self, source: Source, name: str, channels: tuple[int, int], stride: int) -> None:
        super().__init__()
        inner, outer = channels
        self.stride = stride
        self.wide = take_convolution(
            *(source, f"{name}.0", (inner, inner), 3),
            norm=(f"{name}.1", EPS),
            stride=stride,
            slope=_SLOPE,
            groups=inner,
        )
        self.point = take_convolution(source, f"{name}.3", (inner, outer), 1, norm=(f"{name}.4", EPS), slope=_SLOPE)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return (N, out, h, w) for x of (N, in, H, W), masked."""
        out: Tensor = self.point(self.wide(x), mask)
        return out


class RetinaFaceMobileNet(nn.Module):
    """The network, from canvases to scores and boxes."""

    means: Tensor

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.register_buffer("means", torch.tensor(_MEANS))
        entry = take_convolution(
            source, "body.stage1.0.0", (3, 8), 3, norm=("body.stage1.0.1", EPS), stride=2, slope=_SLOPE
        )
        self.entry = Convolution(entry.weight.flip(1), entry.bias, stride=2, slope=_SLOPE)  # to red, green, blue
        self.stages = nn.ModuleList(
            nn.ModuleList(
                Pair(source, f"body.stage{number}.{index + (number == 1)}", (inner, outer), stride)
                for index, (inner, outer, stride) in enumerate(stage)
            )
            for number, stage in enumerate(_STAGES, start=1)
        )
        self.laterals = nn.ModuleList(
            take_convolution(source, f"fpn.output{n}.0", (c, 64), 1, norm=(f"fpn.output{n}.1", EPS), slope=_SLOPE)
            for n, c in ((1, 64), (2, 128), (3, 256))
        )
        self.merge8, self.merge16 = (
            take_convolution(source, f"fpn.merge{n}.0", (64, 64), 3, norm=(f"fpn.merge{n}.1", EPS), slope=_SLOPE)
            for n in (1, 2)
        )
        self.contexts = nn.ModuleList(_context(source, f"ssh{n}") for n in (1, 2, 3))
        self.heads = nn.ModuleList(
            Head(source, [f"{kind}Head.{n}.conv1x1" for kind in ("Class", "Bbox", "Landmark")], 64, interleaved=True)
            for n in range(3)
        )

    def forward(self, pixels: Tensor, table: Tensor, alone: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Run the network; arguments and results are those of ``RetinaFaceResNet50.forward``."""
        kind = self.entry.weight.dtype
        masks = Masks(None if alone else table, pixels.shape[2], kind)
        x = (pixels.float() - self.means).permute(0, 3, 1, 2).to(kind)
        x = self.entry(masked(x, masks.at(1)), masks.at(2))
        stride, levels = 2, []
        for stage, lateral in zip(self.stages, self.laterals, strict=True):
            assert isinstance(stage, nn.ModuleList)
            for pair in stage:
                assert isinstance(pair, Pair)
                stride *= pair.stride
                x = pair(x, masks.at(stride))
            levels.append(lateral(x))
        level32 = masked(levels[2], masks.at(32))
        level16 = self.merge16(merged(levels[1], level32, masks.at(16)), masks.at(16))
        level8 = self.merge8(merged(levels[0], level16, masks.at(8)), masks.at(8))
        outputs = [
            (stride, *head(context(level, masks.at(stride))))
            for stride, level, context, head in zip(
                _ANCHORS.sizes, (level8, level16, level32), self.contexts, self.heads, strict=True
            )
        ]
        return scores_and_boxes(outputs, table, _ANCHORS)


def _context(source: Source, name: str) -> Context:
    parts = ("conv3X3", "conv5X5_1", "conv5X5_2", "conv7X7_2", "conv7x7_3")
    names = [(f"{name}.{part}.0", f"{name}.{part}.1") for part in parts]
    return Context(source, names, (64, 64), eps=EPS, slope=_SLOPE, bias=False)
