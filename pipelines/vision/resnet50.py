"""ResNet-50 (v1.5: the stride sits in the 3 × 3) up to its average pooling: the 2048 features of the 2021 release.

After He et al. 2016, under torchvision's names, so that its published weights load strictly. torchvision itself is not
needed, and would have to match torch's build.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.vision.layers import Source, take_convolution

EPS = 1e-5
FEATURES = 2048
_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # channels within a block, blocks, stride
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class Block(nn.Module):
    """A bottleneck."""

    def __init__(self, source: Source, name: str, channels: tuple[int, int], stride: int, shortcut: bool) -> None:
        super().__init__()
        inner, middle = channels
        outer = 4 * middle
        self.conv1 = take_convolution(source, f"{name}.conv1", (inner, middle), 1, norm=(f"{name}.bn1", EPS), slope=0)
        self.conv2 = take_convolution(
            source, f"{name}.conv2", (middle, middle), 3, norm=(f"{name}.bn2", EPS), stride=stride, slope=0
        )
        self.conv3 = take_convolution(source, f"{name}.conv3", (middle, outer), 1, norm=(f"{name}.bn3", EPS), slope=0)
        self.shortcut = (
            take_convolution(
                *(source, f"{name}.downsample.0", (inner, outer), 1), norm=(f"{name}.downsample.1", EPS), stride=stride
            )
            if shortcut
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 4 · middle, h, w) for x of (N, inner, H, W)."""
        carried = x if self.shortcut is None else self.shortcut(x)
        out: Tensor = self.conv3(self.conv2(self.conv1(x)), add=carried)
        return out


class ResNet50(nn.Module):
    """The network, from 224 × 224 pixels to features."""

    mean: Tensor
    std: Tensor

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MEAN))
        self.register_buffer("std", torch.tensor(_STD))
        self.conv1 = take_convolution(source, "conv1", (3, 64), 7, norm=("bn1", EPS), stride=2, slope=0)
        blocks: list[nn.Module] = []
        inner = 64
        for number, (middle, count, stride) in enumerate(_STAGES, start=1):
            for block in range(count):
                name = f"layer{number}.{block}"
                blocks.append(Block(source, name, (inner, middle), stride if block == 0 else 1, block == 0))
                inner = 4 * middle
        self.blocks = nn.Sequential(*blocks)
        source.take("fc.weight", (1000, FEATURES))  # the classifier: part of the file, not of the features
        source.take("fc.bias", (1000,))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features (N, 2048), float32 and not negative, for pixels (N, 224, 224, 3), RGB from 0 to 255."""
        x = ((pixels.float() / 255 - self.mean) / self.std).permute(0, 3, 1, 2)
        x = F.max_pool2d(self.conv1(x.to(self.conv1.weight.dtype)), kernel_size=3, stride=2, padding=1)
        features: Tensor = self.blocks(x)
        return features.float().mean(dim=(2, 3))
