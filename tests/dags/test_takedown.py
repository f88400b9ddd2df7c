"""The takedown's form, and the order of its tasks."""

import jsonschema
import pytest

from pipelines.config import REQUESTERS
from tests.dags.conftest import Found


@pytest.fixture
def takedown_dag(found: Found) -> Found:
    return found["dags"]["wit_takedown"]


def test_the_form_asks_for_files_a_reason_and_who_asked(takedown_dag: Found) -> None:
    params = takedown_dag["params"]
    assert list(params) == ["files", "reason", "requester", "now", "withdraw", "base", "accept", "store"]
    assert all(param["description"] for param in params.values())
    assert params["requester"]["schema"]["enum"] == [*REQUESTERS]
    assert (params["now"]["default"], params["withdraw"]["default"]) == (False, False)
    jsonschema.validate(["File:A b.jpg"], params["files"]["schema"])
    for name, value in (("files", []), ("reason", ""), ("reason", " "), ("requester", "my aunt")):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(value, params[name]["schema"])


def test_the_list_comes_first_and_deletion_last(takedown_dag: Found) -> None:
    after = {name: task["after"] for name, task in takedown_dag["tasks"].items()}
    assert after == {
        "take_down": [],
        "now_is_asked_for": ["take_down"],
        "refresh": ["now_is_asked_for"],
        "withdraw_is_asked_for": ["refresh"],
        "withdraw": ["withdraw_is_asked_for"],
    }
    assert takedown_dag["schedule"] == "NullTimetable"
