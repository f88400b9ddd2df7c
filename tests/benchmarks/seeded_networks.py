"""Loaded into Dask workers by benchmarks of the networks: real ones, whose weights are seeded instead of published.

    DASK_DISTRIBUTED__WORKER__PRELOAD=tests.benchmarks.seeded_networks

They cost what the published weights cost to run, more to load, and see no faces and no sense. They are loaded with the
first picture, as those are. ``SEEDED_DETECTOR`` names the face detector.
"""

import os

from distributed import Worker

from pipelines.stages import detect_faces, embed_images
from pipelines.vision.embedding import Embedder
from pipelines.vision.faces import FaceDetector
from pipelines.vision.once import once

DETECTOR = "SEEDED_DETECTOR"


@once
def _detector() -> FaceDetector:
    from tests.benchmarks.faces import detector

    return detector(os.environ[DETECTOR], "cpu", "auto", None)


@once
def _embedder() -> Embedder:
    from pipelines.vision.devices import processor_for
    from tests.benchmarks.embeddings import embedder
    from tests.vision.reference_resnet50 import seeded

    return embedder(seeded(1), processor_for("cpu", "auto", None))


def dask_setup(worker: Worker) -> None:
    """Called by Dask when a worker starts; see `cheap_networks`."""
    detect_faces._detector = lambda *_: _detector()
    embed_images._embedder = lambda *_: _embedder()
