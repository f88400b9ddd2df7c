"""Hugging Face datasets loads the Parquet files, whole and streaming, and shows the pictures."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.releases.reader import Release

datasets = pytest.importorskip("datasets", reason="needs the package datasets (Hugging Face)")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)


@pytest.mark.parametrize("streaming", [False, True])
def test_pictures_show(folder: Path, release: Release, streaming: bool, tmp_path: Path) -> None:
    files = sorted(map(str, (folder / "parquet").iterdir()))
    images = datasets.load_dataset(
        "parquet", data_files=files, split="train", streaming=streaming, cache_dir=str(tmp_path)
    )
    assert isinstance(images.features["image"], datasets.Image)
    known = {row.url: row for row in release.rows()}
    seen = 0
    for row in images:
        seen += 1
        assert row["image"].width <= 300
        row["image"].load()
        assert (np.array(row["embedding"], np.float32) == known[row["image_url"]].embedding).all()
        languages = [feature["language"] for feature in row["wit_features"]]
        assert languages == [caption["language"] for caption in known[row["image_url"]].captions]
    assert seen == len(known)


def test_a_clone_of_the_folder_loads_by_its_card(folder: Path, release: Release, tmp_path: Path) -> None:
    """The card's head names the files of each configuration."""
    images = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path))
    assert len(images) == release.manifest["counts"]["outcomes"]["released"]
    ledger = datasets.load_dataset(str(folder), "ledger", split="train", cache_dir=str(tmp_path))
    assert len(ledger) == release.manifest["counts"]["images"]
