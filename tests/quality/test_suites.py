"""Suites: what a steward can get wrong when editing them is said with file, expectation and reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.config import ReleaseConfig
from pipelines.quality.suites import SUITES, SuiteError, columns_of, parameters, read_suites, suites_folder
from pipelines.tables import Outcome


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a copy of the suites to edit."""
    for name in SUITES:
        (tmp_path / f"{name}.json").write_bytes((suites_folder() / f"{name}.json").read_bytes())
    return tmp_path


def edit(folder: Path, suite: str, number: int, **changes: Any) -> None:
    path = folder / f"{suite}.json"
    content = json.loads(path.read_text())
    content["expectations"][number] |= changes
    path.write_text(json.dumps(content))


def test_the_suites_of_the_repository_can_be_read() -> None:
    assert [suite.name for suite in read_suites()] == list(SUITES)


def test_every_file_in_the_folder_is_a_suite_that_is_run() -> None:
    assert {path.stem for path in suites_folder().iterdir()} == set(SUITES)


def test_every_expectation_says_why_it_is_there_and_what_to_do() -> None:
    for suite in read_suites():
        for expectation in suite.expectations:
            assert len(expectation["notes"].split()) >= 10, expectation["meta"]["name"]
            assert expectation["notes"].endswith("."), expectation["meta"]["name"]


def test_the_outcomes_are_those_of_the_ledger() -> None:
    ledger = next(suite for suite in read_suites() if suite.name == "ledger")
    known = next(one for one in ledger.expectations if one["meta"]["name"] == "outcome_known")
    assert set(known["kwargs"]["value_set"]) == set(Outcome)


def test_an_expectation_names_its_columns() -> None:
    files = next(suite for suite in read_suites() if suite.name == "files")
    columns = {one["meta"]["name"]: columns_of(one) for one in files.expectations}
    assert ["bytes", "receipt_bytes"] in columns.values()
    assert ["error"] in columns.values()


def test_parameters_are_the_plain_settings() -> None:
    values = parameters(
        ReleaseConfig.parse({"origin": "demo", "media_url": "http://m", "api_url": "http://a", "face_threshold": 0.25})
    )
    assert (values["face_threshold"], values["partitions"], values["face_rule"]) == (0.25, 200, "largest")
    assert "deletion_categories" not in values
    assert "stand_in" not in values


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"severity": "error"}, "severity must be one of critical, warning"),
        ({"notes": ""}, "notes is missing"),
        ({"description": None}, "description is missing"),
        ({"meta": {}}, r"expectation 1 \(without a name\): meta.name is missing"),
        ({"meta": {"name": "sorted"}}, "expectation 2 .*another one of this suite has the same name"),
        ({"kwargs": {"column": "pixel_widht"}}, "there is no column 'pixel_widht' in the measurements"),
        (
            {"kwargs": {"column": "pixel_width", "max_value": {"$PARAMETER": "image_widht"}}},
            "there is no setting 'image_widht'; one of .*image_width",
        ),
    ],
)
def test_a_mistake_is_named(folder: Path, changes: dict[str, Any], problem: str) -> None:
    edit(folder, "pixels", 0, **changes)
    with pytest.raises(SuiteError, match=rf"pixels\.json, .*{problem}"):
        read_suites(folder)


def test_a_missing_suite_is_named(folder: Path) -> None:
    (folder / "ledger.json").unlink()
    with pytest.raises(SuiteError, match=r"ledger\.json is not there; set WIT_EXPECTATIONS"):
        read_suites(folder)


@pytest.mark.parametrize("text", ["{", "[]", "{}", "null", '{"expectations": 1}', '{"expectations": [1]}'])
def test_a_file_that_is_no_suite_is_named(folder: Path, text: str) -> None:
    (folder / "rows.json").write_text(text)
    with pytest.raises(SuiteError, match=r"rows\.json is no suite of expectations"):
        read_suites(folder)


def test_the_folder_can_be_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIT_EXPECTATIONS", str(folder))
    edit(folder, "pixels", 0, notes="Another note.")
    pixels = next(suite for suite in read_suites() if suite.name == "pixels")
    assert pixels.expectations[0]["notes"] == "Another note."
