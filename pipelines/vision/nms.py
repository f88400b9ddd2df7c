"""Greedy non-maximum suppression, as RetinaFace's authors and retina-face do it.

Boxes are taken by falling score; one that overlaps a box already taken by the threshold or more is dropped. Because of
that order, dropping boxes below a score afterwards leaves exactly what suppression among the higher ones alone would.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

THRESHOLD = 0.4
"""Of intersection over union: retinaface.RetinaFace.detect_faces, biubug6/Pytorch_Retinaface's detect.py."""

_ROUNDS = 24
"""Passes on the device; a chain of boxes each suppressing the next that is longer than this is left to the host."""

Floats = NDArray[np.float32]


def keep(boxes: Floats, scores: Floats, threshold: float = THRESHOLD) -> NDArray[np.intp]:
    """Return the numbers of the boxes that are kept, best score first; equal scores in the order given.

    Args:
        boxes: (n, 4) x0, y0, x1, y1; the last pixel belongs to a box, as in both sources.
        scores: (n,).
        threshold: of intersection over union.

    """
    order = np.argsort(-scores, kind="stable")
    x0, y0, x1, y1 = boxes[order].astype(np.float64).T
    areas = (x1 - x0 + 1) * (y1 - y0 + 1)
    alive = np.ones(len(order), dtype=bool)
    kept = []
    for best in range(len(order)):
        if not alive[best]:
            continue
        kept.append(best)
        wide = np.minimum(x1[best], x1[best + 1 :]) - np.maximum(x0[best], x0[best + 1 :]) + 1
        high = np.minimum(y1[best], y1[best + 1 :]) - np.maximum(y0[best], y0[best + 1 :]) + 1
        shared = wide.clip(min=0) * high.clip(min=0)
        alive[best + 1 :] &= shared < threshold * (areas[best] + areas[best + 1 :] - shared)
    return order[np.array(kept, dtype=np.intp)]


def keep_on_device(
    boxes: "Tensor", scores: "Tensor", owners: "Tensor", floor: float, threshold: float = THRESHOLD
) -> tuple["Tensor", "Tensor"]:
    """Suppress many sets of boxes at once, without the host having to wait or to look.

    Whether a box is kept depends only on better boxes; so starting from all and recomputing all from what is kept,
    at least the best undecided box becomes right with each pass, and usually all are after a few.

    Args:
        boxes: (N, K, 4), best score first in each of the N sets.
        scores: (N, K).
        owners: (N, K); only boxes of the same owner suppress each other.
        floor: boxes scored below it do not exist.
        threshold: of intersection over union.

    Returns:
        Which are kept (N, K), and for which sets that is final (N,).

    """
    import torch

    x0, y0, x1, y1 = boxes.unbind(2)
    areas = (x1 - x0 + 1) * (y1 - y0 + 1)
    wide = torch.minimum(x1[:, :, None], x1[:, None]) - torch.maximum(x0[:, :, None], x0[:, None]) + 1
    high = torch.minimum(y1[:, :, None], y1[:, None]) - torch.maximum(y0[:, :, None], y0[:, None]) + 1
    shared = wide.clamp(min=0) * high.clamp(min=0)
    over = shared >= threshold * (areas[:, :, None] + areas[:, None] - shared)
    conflicts = (over & (owners[:, :, None] == owners[:, None])).triu(diagonal=1)
    there = scores >= floor
    kept = there
    for _ in range(_ROUNDS):
        kept, before = there & ~(conflicts & kept[:, :, None]).any(dim=1), kept
    return kept, (kept == before).all(dim=1)
