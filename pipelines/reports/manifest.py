"""manifest.json: how a release was made, and what belongs to it. A folder without it is no release.

It depends on inputs and settings alone, and on the processors that the models ran on, as the last digits of faces and
embeddings do. Settings that name this machine (the store, servers of a mirror) or that change nothing in the files
(workers, connections) are left out.
"""

import platform
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from pipelines.reports.facts import Facts, public_name

FORMAT = 1
"""Raised when a reader of manifests must know better."""

_PRIVATE = frozenset(
    {
        *("accept", "base", "store", "media_url", "api_url", "workers", "connections", "bits_per_second", "agreement"),
        "keep_records",
    }
)

_SOFTWARE = (
    "wit-release",
    "great-expectations",
    "isal",
    "numpy",
    "opencv-contrib-python-headless",
    "pillow",
    "pyarrow",
    "retina-face",
    "simplejpeg",
    "torch",
)
"""What has a say in the bytes of a release."""


def manifest(facts: Facts) -> dict[str, Any]:
    """Return the manifest of a release, JSON-ready."""
    settings = facts.config.model_dump(mode="json", exclude=set(_PRIVATE))
    settings["version"] = facts.version
    settings["deletion_dumps"] = public_name(facts.config.deletion_dumps)
    settings["wit_files"] = [public_name(name) for name in facts.config.wit_files]
    return {
        "format": FORMAT,
        "version": facts.version,
        "base": facts.base or None,
        "stand_in": facts.config.stand_in,
        "accepted": {"reason": facts.config.accept, "warnings": [*facts.accepted]} if facts.accepted else None,
        "settings": settings,
        "software": {"python": platform.python_version(), **{name: _public_version(name) for name in _SOFTWARE}},
        "inputs": [asdict(one) for one in facts.inputs],
        "models": [asdict(model) | {"processors": dict(facts.processors[model.name])} for model in facts.models],
        "embedding_recipe": facts.embedding_recipe,
        "counts": {
            "images": facts.images,
            "outcomes": dict(facts.outcomes),
            "rows_of_selected_images": facts.caption_rows,
            "caption_rows": sum(facts.languages.values()),
            "languages": dict(facts.languages),
            "formats": dict(facts.formats),
            "licences": dict(facts.licences),
            "near_duplicates": facts.near_duplicates,
            "changes": {change: asdict(counted) for change, counted in facts.changes.items()} or None,
        },
        "files": {file.path: {"bytes": file.bytes, "sha256": file.sha256, "rows": file.rows} for file in facts.files},
    }


def _public_version(name: str) -> str:
    """Return a version without the mark of its build: torch's ``+cpu`` tells of the machine that published."""
    return version(name).partition("+")[0]
