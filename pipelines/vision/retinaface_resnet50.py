"""RetinaFace with a ResNet-50 (v2), for inference over canvases: retina-face's network, layer by layer.

retina-face's own module takes one size at a time; written anew with masks, the same network takes pictures of mixed
sizes and gives each what it would get alone. Names, order and arithmetic follow
retinaface.model.retinaface_pth_model.RetinaFace (retina-face 0.0.19), whose published file is loaded strictly and with
which the tests compare this one. Landmarks are not computed: nothing here asks for them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.vision.canvas import Masks
from pipelines.vision.layers import Convolution, Norm, Source, masked, take_convolution, take_norm
from pipelines.vision.pyramid import Anchors, Context, Head, merged, scores_and_boxes

EPS = 1.9999999494757503e-05
_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # channels within a unit, units
_ANCHORS = Anchors(
    sizes={32: (512, 256), 16: (128, 64), 8: (32, 16)},
    centre={32: 7.5, 16: 7.5, 8: 7.5},
    variances=(1.0, 1.0),
    inclusive=True,
    clipped=True,
)
"""retinaface.RetinaFace.detect_faces, where they are given as corners: [-248, -248, 263, 263] and so on."""


class Unit(nn.Module):
    """A pre-activation bottleneck. Its inner activation, masked, also feeds the pyramid."""

    def __init__(self, source: Source, name: str, channels: tuple[int, int], stride: int, shortcut: bool) -> None:
        super().__init__()
        inner, middle = channels
        self.norm = Norm(*take_norm(source, f"{name}.bn1", inner, EPS))
        self.conv1 = take_convolution(source, f"{name}.conv1", (inner, middle), 1, norm=(f"{name}.bn2", EPS), slope=0)
        self.conv2 = take_convolution(
            source, f"{name}.conv2", (middle, middle), 3, norm=(f"{name}.bn3", EPS), stride=stride, slope=0
        )
        self.conv3 = take_convolution(source, f"{name}.conv3", (middle, 4 * middle), 1, norm=None)
        self.shortcut = (
            take_convolution(source, f"{name}.sc", (inner, 4 * middle), 1, norm=None, stride=stride)
            if shortcut
            else None
        )

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the unit's output and its inner activation, for x of (N, C, H, W) and a mask of x's size."""
        entered = self.norm(x)
        inner = self.conv1(entered, mask)
        carried = x if self.shortcut is None else self.shortcut(entered)
        return self.conv3(self.conv2(inner), add=carried), inner


class RetinaFaceResNet50(nn.Module):
    """The network, from canvases to scores and boxes."""

    scale: Tensor
    shift: Tensor

    def __init__(self, source: Source) -> None:
        super().__init__()
        scale, shift = take_norm(source, "bn_data", 3, EPS)
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)
        self.conv0 = take_convolution(source, "conv0", (3, 64), 7, norm=("bn0", EPS), stride=2, slope=0)
        self.stage1, self.stage2, self.stage3, self.stage4 = _stages(source)
        self.norm = Norm(*take_norm(source, "bn1", 2048, EPS))
        self.lateral32 = _pyramid(source, "ssh_c3_lateral", 2048, 1)
        self.lateral16 = _pyramid(source, "ssh_c2_lateral", 512, 1)
        self.lateral8 = _pyramid(source, "ssh_m1_red_conv", 256, 1)
        self.merge16 = _pyramid(source, "ssh_c2_aggr", 256, 3)
        self.merge8 = _pyramid(source, "ssh_c1_aggr", 256, 3)
        self.contexts = nn.ModuleList(_context(source, f"ssh_m{level}_det") for level in (3, 2, 1))
        self.heads = nn.ModuleList(
            Head(
                source, [f"face_rpn_stride{stride}.{kind}" for kind in ("cls_score", "bbox_pred", "landmark_pred")], 512
            )
            for stride in _ANCHORS.sizes
        )

    def forward(self, pixels: Tensor, table: Tensor, alone: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Run the network.

        Args:
            pixels: (N, H, W, 3) uint8 RGB.
            table: (N, H, 3), the canvases' rows.
            alone: whether each picture fills its canvas, so that nothing is masked.

        Returns:
            Scores (N, A), boxes (N, A, 4) and rows (N, A), as ``scores_and_boxes`` has them.

        """
        kind = self.conv0.weight.dtype
        masks = Masks(None if alone else table, pixels.shape[2], kind)
        x = torch.addcmul(self.shift, pixels.float(), self.scale).permute(0, 3, 1, 2).to(kind)
        x = self.conv0(masked(x, masks.at(1)), masks.at(2))
        x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)  # no value is negative, so its padding counts as 0
        x, _ = _run(self.stage1, x, masks, 4, 4)
        x, _ = _run(self.stage2, x, masks, 4, 8)
        x, inner8 = _run(self.stage3, x, masks, 8, 16)
        x, inner16 = _run(self.stage4, x, masks, 16, 32)
        level32 = self.lateral32(self.norm(x), masks.at(32))
        level16 = self.merge16(merged(self.lateral16(inner16), level32, masks.at(16)), masks.at(16))
        level8 = self.merge8(merged(self.lateral8(inner8), level16, masks.at(8)), masks.at(8))
        outputs = [
            (stride, *head(context(level, masks.at(stride))))
            for stride, level, context, head in zip(
                _ANCHORS.sizes, (level32, level16, level8), self.contexts, self.heads, strict=True
            )
        ]
        return scores_and_boxes(outputs, table, _ANCHORS)


def _stages(source: Source) -> list[nn.ModuleList]:
    stages, inner = [], 64
    for number, (middle, units) in enumerate(_STAGES, start=1):
        stage = nn.ModuleList()
        for unit in range(1, units + 1):
            stride = 2 if unit == 1 and number > 1 else 1
            stage.append(Unit(source, f"stage{number}.unit{unit}", (inner, middle), stride, unit == 1))
            inner = 4 * middle
        stages.append(stage)
    return stages


def _pyramid(source: Source, name: str, channels: int, kernel: int) -> Convolution:
    return take_convolution(source, name, (channels, 256), kernel, norm=(f"{name}_bn", EPS), slope=0, bias=True)


def _context(source: Source, name: str) -> Context:
    parts = ("conv1", "context_conv1", "context_conv2", "context_conv3_1", "context_conv3_2")
    names = [(f"{name}.{part}", f"{name}.{part}_bn") for part in parts]
    return Context(source, names, (256, 512), eps=EPS, slope=0, bias=True)


def _run(stage: nn.ModuleList, x: Tensor, masks: Masks, first: int, then: int) -> tuple[Tensor, Tensor]:
    """Run a stage's units; the first gets x at stride ``first``, the others at ``then``. Also its inner activation."""
    x, inner = stage[0](x, masks.at(first))
    for unit in list(stage)[1:]:
        x, _ = unit(x, masks.at(then))
    return x, inner
