"""mlcroissant loads records by croissant.json alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.releases.reader import Release

mlcroissant = pytest.importorskip("mlcroissant", reason="needs the package mlcroissant")


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Any:
    return mlcroissant.Dataset(folder / "croissant.json")


def test_records_of_images(dataset: Any, release: Release) -> None:
    known = {row.url: row for row in release.rows()}
    records = list(dataset.records("images"))
    assert len(records) == len(known)
    for record in records:
        row = known[record["images/image_url"].decode()]
        assert record["images/image"].width <= 300
        assert (np.array(record["images/embedding"], np.float32) == row.embedding).all()
        languages = [feature["images/wit_features/language"].decode() for feature in record["images/wit_features"]]
        assert languages == [caption["language"] for caption in row.captions]


def test_records_of_captions(dataset: Any, release: Release) -> None:
    records = list(dataset.records("captions"))
    assert sorted(record["captions/page_url"].decode() for record in records) == sorted(
        row["page_url"] for row in release.captions()
    )


def test_records_of_the_ledger(dataset: Any, release: Release) -> None:
    outcomes = {
        record["ledger/image_url"].decode(): record["ledger/outcome"].decode() for record in dataset.records("ledger")
    }
    assert outcomes == {row["image_url"]: row["outcome"] for row in release.ledger()}
