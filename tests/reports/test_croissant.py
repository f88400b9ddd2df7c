"""croissant.json: MLCommons' library validates it, and finds every file and every column."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.engine.step import Context, release_path
from pipelines.releases.reader import open_release
from pipelines.reports.card import card
from pipelines.reports.card_texts import TEXT_LICENCE
from pipelines.reports.croissant import croissant
from tests.reports.making import facts

mlcroissant = pytest.importorskip("mlcroissant", reason="needs the package mlcroissant")


def validated(text: str, folder: Path) -> Any:
    path = folder / "croissant.json"
    path.write_text(text, encoding="utf-8")
    return mlcroissant.Dataset(path)


def test_mlcroissant_validates_it(tmp_path: Path) -> None:
    dataset = validated(croissant(facts()), tmp_path)
    issues = dataset.metadata.issues
    assert (issues.errors, issues.warnings) == (set(), set())


@pytest.mark.parametrize("version", ["2026.01.05", "2026.11.23.2"])
def test_versions_are_semantic_ones(version: str, tmp_path: Path) -> None:
    dataset = validated(croissant(facts(version=version)), tmp_path)
    assert dataset.metadata.issues.warnings == set()


def test_its_licences_are_those_of_texts_and_pictures_as_the_card_states_them() -> None:
    """No licence of some pictures is the licence of all."""
    texts, pictures = (
        "https://creativecommons.org/licenses/by-sa/3.0/",
        "https://creativecommons.org/licenses/by-sa/4.0",
    )
    assert json.loads(croissant(facts()))["license"] == [texts, pictures]
    head, rights = (card(facts()).split(mark)[1] for mark in ("---\n", "## Licences"))
    assert "license: other\n" in head
    assert texts in rights
    assert f"| {pictures} | 500 |" in rights


def test_a_release_has_the_licences_of_its_pictures(published: Context) -> None:
    described = published.store.read_json(release_path(published.version, "croissant.json"))
    ledger = open_release(published.store.locate(f"releases/{published.version}")).ledger(["released"])
    stated = {row["licence_url"] for row in ledger} - {None}
    assert stated
    assert set(described["license"]) == {TEXT_LICENCE, *stated}


def test_it_conforms_to_croissant_1_1() -> None:
    assert json.loads(croissant(facts()))["conformsTo"] == "http://mlcommons.org/croissant/1.1"


def test_every_file_has_checksum_and_size(published: Context) -> None:
    store, version = published.store, published.version
    described = store.read_json(release_path(version, "croissant.json"))
    listed = {
        one["contentUrl"]: (one["sha256"], one["contentSize"])
        for one in described["distribution"]
        if one["@type"] == "cr:FileObject"
    }
    files = store.read_json(release_path(version, "manifest.json"))["files"]
    expected = {path: (entry["sha256"], f"{entry['bytes']} B") for path, entry in files.items()}
    del expected["croissant.json"]
    assert listed == expected


def test_the_columns_are_those_of_the_files(published: Context) -> None:
    from pipelines.releases import joined, shards
    from pipelines.tables import LEDGER

    described = published.store.read_json(release_path(published.version, "croissant.json"))
    columns = {
        table["name"]: [field["name"].split("/", 1)[1] for field in table["field"]] for table in described["recordSet"]
    }
    assert columns == {
        "images": joined.SCHEMA.names,
        "captions": list(shards.CAPTION_COLUMNS),
        "ledger": LEDGER.schema.names,
    }


def test_it_is_the_same_every_time() -> None:
    assert croissant(facts()) == croissant(facts())
