"""The demo's stand-in for a detector: it finds a large face, says what it is, and looks at anything."""

import numpy as np
import pytest

from pipelines.vision.faces import face_ratio, load_detector
from tests.vision.making import encoded

pytest.importorskip("skimage")


def test_it_finds_a_large_face_and_says_that_it_stands_in() -> None:
    from PIL import Image
    from skimage import data

    portrait = np.asarray(Image.fromarray(data.astronaut()[:300, 70:370]))
    detector = load_detector("cascade-stand-in", stand_in=True)
    by_bytes, by_array = detector.detect([encoded(portrait)])[0], detector.detect_arrays([portrait])[0]
    assert by_bytes == by_array
    assert face_ratio(by_array, 300, 300, detector.default_score) > 0.05
    assert detector.weights.stand_in


@pytest.mark.parametrize("size", [(1, 1), (300, 10), (24, 24)])
def test_it_finds_nothing_where_there_is_no_room(size: tuple[int, int]) -> None:
    detector = load_detector("cascade-stand-in", stand_in=True)
    assert detector.detect_arrays([np.full((size[1], size[0], 3), 128, dtype=np.uint8)]) == [[]]
