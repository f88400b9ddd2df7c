"""scikit-image's cascade in the place of a RetinaFace, for the demo on machines where no weights can be had.

It finds large frontal faces only. What is released with it says so everywhere, and goes no further than the demo store.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.vision.decoding import decoded
from pipelines.vision.faces import Face, default_score
from pipelines.vision.weights import weights_used

_MODEL = "cascade-stand-in"
_SMALLEST = 24
"""Side of the cascade's own window in pixels."""


class CascadeDetector:
    """The cascade, loaded."""

    def __init__(self, threads: int | None = None) -> None:
        from skimage import data
        from skimage.feature import Cascade

        self._cascade = Cascade(data.lbp_frontal_face_cascade_filename())  # type: ignore[no-untyped-call]
        self._threads = threads or 1
        self.weights = weights_used(_MODEL)
        self.processor = "cpu"
        self.default_score = default_score(_MODEL)

    def detect(self, pictures: Sequence[bytes]) -> list[list[Face]]:
        """Find the faces on encoded pictures; each that is found has score 1.

        Raises:
            PictureError: a picture cannot be decoded.

        """
        return [self._faces(pixels) for pixels in decoded(pictures, self._threads)]

    def detect_arrays(self, pictures: Sequence[NDArray[np.uint8]]) -> list[list[Face]]:
        """Find the faces on (H, W, 3) RGB pictures."""
        return [self._faces(pixels) for pixels in pictures]

    def _faces(self, pixels: NDArray[np.uint8]) -> list[Face]:
        height, width = pixels.shape[:2]
        if min(height, width) < _SMALLEST:
            return []
        found = self._cascade.detect_multi_scale(
            img=pixels, scale_factor=1.2, step_ratio=1, min_size=(_SMALLEST, _SMALLEST), max_size=(height, width)
        )
        boxes = sorted((box["c"], box["r"], box["c"] + box["width"], box["r"] + box["height"]) for box in found)
        return [Face(float(x0), float(y0), float(x1), float(y1), 1.0) for x0, y0, x1, y1 in boxes]
