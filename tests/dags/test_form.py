"""The trigger form and ReleaseConfig say the same."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipelines.config import ReleaseConfig
from tests.dags.conftest import Found, parse

FIELDS = ReleaseConfig.model_json_schema()["properties"]
BOUNDS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "pattern", "enum", "items")


def test_the_form_has_a_field_for_each_setting_in_the_same_order(release_dag: Found) -> None:
    assert list(release_dag["params"]) == list(ReleaseConfig.model_fields)


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_has_the_settings_description_default_and_bounds(release_dag: Found, name: str) -> None:
    param, field = release_dag["params"][name], FIELDS[name]
    assert param["description"] == field["description"]
    assert param["default"] == field["default"]
    assert {key: param["schema"].get(key) for key in BOUNDS} == {key: field.get(key) for key in BOUNDS}


@pytest.mark.parametrize("name", FIELDS)
def test_a_default_is_valid(release_dag: Found, name: str) -> None:
    param = release_dag["params"][name]
    jsonschema.validate(param["default"], param["schema"])


@pytest.mark.parametrize("name", FIELDS)
def test_just_the_texts_that_may_be_empty_can_be_left_empty(release_dag: Found, name: str) -> None:
    """Airflow's form hands over null for a text that was emptied, and marks fields without null as required."""
    types = release_dag["params"][name]["schema"]["type"]
    assert ("null" in types) == (FIELDS[name]["default"] == "")


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field["type"] == "array"])
def test_a_list_is_a_text_with_an_entry_in_each_line(release_dag: Found, name: str) -> None:
    assert release_dag["params"][name]["schema"]["items"]["type"] == "string"  # otherwise the form shows raw JSON


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("image_width", 1000), ("face_threshold", -0.1), ("face_rule", "all"), ("partitions", "many")),
        *(("version", "new"), ("store", "s3://key:secret@bucket"), ("media_url", "http://me:secret@host")),
        ("wit_files", ["https://me:secret@host/a.tsv"]),
    ],
)
def test_a_setting_out_of_range_or_with_a_secret_is_refused_by_the_form(
    release_dag: Found, name: str, value: Any
) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, release_dag["params"][name]["schema"])


def test_a_deployment_can_name_its_own_defaults(tmp_path: Path) -> None:
    own = {"operator_contact": "steward@institute.example", "store": "s3://releases"}
    file = tmp_path / "defaults.json"
    file.write_text(json.dumps(own))
    params = parse(str(tmp_path), WIT_RELEASE_DEFAULTS=str(file))["dags"]["wit_release"]["params"]
    assert {name: params[name]["default"] for name in own} == own
    assert params["face_threshold"]["default"] == FIELDS["face_threshold"]["default"]


def test_defaults_that_are_no_settings_are_named(tmp_path: Path) -> None:
    file = tmp_path / "defaults.json"
    file.write_text('{"operator": "me"}')
    errors = parse(str(tmp_path), WIT_RELEASE_DEFAULTS=str(file))["errors"]
    assert "must be a JSON object of settings" in "".join(errors.values())
