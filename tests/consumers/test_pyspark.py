"""PySpark reads a release with the code of the 2021 announcement, unchanged but for the paths."""

import json
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.releases.reader import Release
from tests.running import ROOT

PYTHON = ROOT / "build/spark/bin/python"


@pytest.fixture(scope="module")
def read(folder: Path) -> Any:
    if shutil.which("java") is None:
        pytest.skip("PySpark needs Java, and there is none on this machine")
    if not PYTHON.exists():
        pytest.skip("PySpark has an environment of its own, which is not there: make spark-env")
    done = subprocess.run(
        [PYTHON, ROOT / "tests/consumers/announcement.py", folder],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def test_the_announcements_code_reads_the_pixels(read: Any, release: Release) -> None:
    assert {url: (digest, page) for url, (digest, _, page) in read["pixels"].items()} == {
        image.url: (sha256(image.picture).hexdigest(), image.page) for image in release.images()
    }
    assert all(0 < width <= 300 for _, width, _ in read["pixels"].values())


def digest(vector: np.ndarray) -> str:
    return sha256(vector.astype("<f4").tobytes()).hexdigest()


def test_the_announcements_code_reads_the_embeddings(read: Any, release: Release) -> None:
    assert read["embeddings"] == {url: digest(vector) for url, vector in release.embeddings()}


def test_pixels_join_embeddings(read: Any, release: Release) -> None:
    assert read["joined"] == release.manifest["counts"]["outcomes"]["released"]


def test_parquet_reads_with_the_same_content(read: Any, release: Release) -> None:
    licences = {row["image_url"]: row["licence"] for row in release.ledger(["released"])}
    assert read["parquet"] == {
        row.url: [sha256(row.picture).hexdigest(), digest(row.embedding), len(row.captions), licences[row.url]]
        for row in release.rows()
    }
