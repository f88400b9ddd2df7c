"""Which models the demo uses: the real ones whose weights are on this machine, and stand-ins for the others."""

from typing import Any

from pipelines.vision.weights import installed

_FACES = ("retinaface-mobilenet0.25", "retinaface-resnet50")
"""The small one first: the demo is for machines without a GPU."""


def demo_models() -> dict[str, Any]:
    """Return ``face_model``, ``embedding_model`` and ``stand_in`` for ReleaseConfig; nothing is downloaded."""
    face = next((name for name in _FACES if installed(name)), None)
    embedding = "resnet50" if installed("resnet50") else None
    return {
        "face_model": face or "cascade-stand-in",
        "embedding_model": embedding or "resnet50-stand-in",
        "stand_in": face is None or embedding is None,
    }
