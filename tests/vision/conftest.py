"""The photographs that the detectors are tried on, decoded once."""

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from tests.shared import SHARED, shared
from tests.vision.making import Pixels

os.environ.setdefault("DEEPFACE_BACKEND_ENGINE", "pytorch")


@dataclass(frozen=True, slots=True)
class Photograph:
    """A picture at 300 pixels' width, how wide it was, and what an independent program sees on it there."""

    pixels: Pixels
    original_width: int
    faces: int
    face_ratio: float

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[0]


@pytest.fixture(scope="session")
def photographs() -> Mapping[str, Photograph]:
    """Give each picture of the reference by its path in the shared data, scaled as the reference scaled it."""
    found = {}
    with warnings.catch_warnings(action="ignore"):  # odd Exif blocks and palettes: not what is tested
        for line in shared("faces/reference_mobilenet025_300px.jsonl").read_text().splitlines():
            known = json.loads(line)
            if "error" in known:
                continue
            with Image.open(SHARED / known["file"]) as opened:
                width, size = opened.width, (300, round(opened.height * 300 / opened.width))
                opened.draft("RGB", (3 * size[0], 3 * size[1]))
                pixels = np.asarray(opened.convert("RGB").resize(size, Image.Resampling.LANCZOS))
                found[known["file"]] = Photograph(pixels, width, known["n_faces_300px"], known["max_face_frac"])
    return found


@pytest.fixture(scope="session")
def mobilenet_weights() -> Iterator[None]:
    """Have the MobileNet's published weights found, or skip."""
    folder = shared("models/mobilenet0.25_Final.pth").parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WIT_MODELS", str(folder))
        yield


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keep torch to one thread, as on a worker of an embedded cluster: on a busy machine two wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
