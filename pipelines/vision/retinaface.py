"""RetinaFace detectors: pictures in, faces out, whichever of the two networks finds them.

On a CPU pictures go through the network one by one at their exact size: its caches hold one picture's activations, so a
batch gains nothing, and no picture can depend on another. On a GPU they go by the hundred, on canvases, and scores,
boxes and suppression stay on the device; only canvases crowded beyond measure are looked at again by the host.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.vision import nms
from pipelines.vision.batches import Outcome, Outputs, runner_for
from pipelines.vision.canvas import Pixels, Places, packed, single
from pipelines.vision.checkpoint import load_network
from pipelines.vision.decoding import decoded
from pipelines.vision.devices import Processor, processor_for
from pipelines.vision.faces import FLOOR, Face, default_score
from pipelines.vision.layers import to_kind
from pipelines.vision.weights import WeightsUsed, weights_used

CANVASES = 16
"""Canvases at once on a GPU: some hundred pictures, 10 million pixels, 3 GB in bf16."""

_CANDIDATES = 512
"""Boxes of a canvas that a GPU carries further; seven pictures rarely have a hundred."""

_LONGEST, _SHORTEST = 1980, 1024
"""Pictures with a longer side above 1980 pixels, or a shorter above 1024, are scaled down:
retinaface.commons.preprocess.preprocess_image. Released pictures are 300 pixels wide: only very tall ones are."""


class RetinaFaceDetector:
    """A RetinaFace, loaded.

    Args:
        network: one of the two, with its weights.
        model: its name.
        weights: what it was loaded from.
        processor: where it runs.
        canvases: how many at once; None gives each picture a canvas of its own size.

    """

    def __init__(
        self, network: nn.Module, model: str, weights: WeightsUsed, processor: Processor, canvases: int | None
    ) -> None:
        self._network = to_kind(network.eval(), processor.kind).to(processor.device)
        self._processor = processor
        self._canvases = canvases
        self._runner = runner_for(self._alone if canvases is None else self.together, processor, canvases or 1)
        self.weights = weights
        self.processor = str(processor)
        self.default_score = default_score(model)

    @classmethod
    def load(cls, model: str, *, device: str, precision: str, threads: int | None) -> Self:
        """Load a model by name; arguments and errors are those of ``faces.load_detector``."""
        processor = processor_for(device, precision, threads)
        return cls(load_network(model), model, weights_used(model), processor, CANVASES if processor.is_gpu else None)

    def detect(self, pictures: Sequence[bytes]) -> list[list[Face]]:
        """Find the faces on encoded pictures (JPEG or PNG), best first, down to a score of 0.5.

        Raises:
            PictureError: a picture cannot be decoded.

        """
        return self._detect(decoded(pictures, self._processor.threads), len(pictures))

    def detect_arrays(self, pictures: Sequence[Pixels]) -> list[list[Face]]:
        """Find the faces on (H, W, 3) RGB pictures."""
        return self._detect(pictures, len(pictures))

    def _detect(self, pictures: Iterable[Pixels], count: int) -> list[list[Face]]:
        faces: list[list[Face]] = [[] for _ in range(count)]
        scales = [1.0] * count
        fitting = _fitting(pictures, scales)
        batches = single(fitting) if self._canvases is None else packed(fitting, self._canvases)
        for outcome in self._runner.run(batches):
            for number, face in _found(outcome, scales):
                faces[number].append(face)
        return faces

    def _alone(self, pixels: Tensor, table: Tensor) -> Outputs:
        return (), self._network(pixels, table, True)

    def together(self, pixels: Tensor, table: Tensor) -> Outputs:
        """Look at canvases: the best boxes of each and which of them are faces, and all boxes for a closer look."""
        scores, boxes, rows = details = self._network(pixels, table, False)
        best, order = scores.sort(dim=1, descending=True, stable=True)
        best, order = best[:, :_CANDIDATES], order[:, :_CANDIDATES]
        chosen = boxes.gather(1, order[..., None].expand(-1, -1, 4))
        owners = rows.gather(1, order)
        kept, final = nms.keep_on_device(chosen, best, owners, FLOOR)
        all_there = (scores >= FLOOR).sum(dim=1) <= _CANDIDATES
        return (best, chosen, owners, kept, final & all_there), details


def _found(outcome: Outcome[Places], scales: Sequence[float]) -> Iterator[tuple[int, Face]]:
    """Yield the faces of a batch, each with its picture's number; those of one picture by falling score.

    Suppression is done in pixels of the picture as it was given, as retina-face does it. The device knows nothing of
    scales, so canvases with scaled pictures are left to the host too.
    """
    pictures = {(place.canvas, place.row): place.picture for place in outcome.tag}
    left = set(range(len(outcome.details[0])))
    if outcome.results:
        scores, boxes, owners, kept, final = (tensor.numpy() for tensor in outcome.results)
        left = set(np.flatnonzero(~final).tolist()) | {p.canvas for p in outcome.tag if scales[p.picture] != 1}
        for canvas, at in np.argwhere(kept).tolist():
            if canvas not in left:
                yield pictures[canvas, owners[canvas, at]], _face(boxes[canvas, at], scores[canvas, at])
    for canvas in left:
        scores, boxes, owners = (tensor[canvas].cpu().numpy() for tensor in outcome.details)
        above = scores >= FLOOR
        for owner in np.unique(owners[above]):
            number = pictures[canvas, owner]
            mine = above & (owners == owner)
            found, certainty = boxes[mine] / np.float32(scales[number]), scores[mine]
            for at in nms.keep(found, certainty):
                yield number, _face(found[at], certainty[at])


def _face(box: NDArray[np.float32], score: float) -> Face:
    x0, y0, x1, y1 = box.tolist()
    return Face(x0, y0, x1, y1, float(score))


def _fitting(pictures: Iterable[Pixels], scales: list[float]) -> Iterator[Pixels]:
    """Yield the pictures at the sizes that the network takes, and note by how much each was scaled."""
    for number, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        scale = min(1.0, _SHORTEST / min(width, height))
        if round(scale * max(width, height)) > _LONGEST:
            scale = _LONGEST / max(width, height)
        scales[number] = scale
        yield picture if scale == 1 else _scaled(picture, scale)


def _scaled(picture: Pixels, scale: float) -> Pixels:
    import cv2

    height, width = picture.shape[:2]
    size = None if min(width, height) * scale >= 1 else (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
