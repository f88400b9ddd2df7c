"""The refresh: when it runs, what its form asks, and where its settings come from."""

import datetime
import importlib
import json
from pathlib import Path
from unittest.mock import patch

import pytest
from airflow.timetables.base import DataInterval, TimeRestriction
from airflow.timetables.trigger import CronTriggerTimetable
from pendulum import DateTime
from pendulum import datetime as moment

from pipelines.storage.store import Store
from tests.dags.conftest import Found, parse
from tests.dags.parse import ROOT


@pytest.fixture
def refresh_dag(found: Found) -> Found:
    return found["dags"]["wit_refresh"]


def runs(cron: str, begin: DateTime, end: DateTime, down: tuple[DateTime, DateTime]) -> dict[DateTime, DateTime]:
    """Live through some time as Airflow's scheduler does, but for an outage; return the runs, with when each began."""
    timetable = CronTriggerTimetable(cron, timezone="UTC")
    restriction = TimeRestriction(earliest=None, latest=None, catchup=False)
    made: dict[DateTime, DateTime] = {}
    last: DataInterval | None = DataInterval.exact(begin.subtract(months=1))
    now = begin
    while now < end:
        if not down[0] <= now < down[1]:
            with patch("airflow.timetables.trigger.utcnow", return_value=now):
                following = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
            assert following is not None
            if following.run_after <= now:
                made[following.run_after] = now
                last = following.data_interval
        now = now.add(hours=6)
    return made


def test_a_year_with_an_outage_of_two_months_has_one_refresh_for_what_was_missed(refresh_dag: Found) -> None:
    assert refresh_dag["schedule"] == "CronTriggerTimetable"
    assert not refresh_dag["catchup"]
    begin, down = moment(2026, 1, 1), (moment(2026, 3, 20), moment(2026, 5, 20))
    made = runs(refresh_dag["cron"], begin, moment(2027, 1, 1), down)
    months = [run.month for run in made]
    assert months == [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]
    assert made[moment(2026, 5, 1)] == down[1]
    assert all(
        run.day == 1 and began - run < datetime.timedelta(hours=7) for run, began in made.items() if run.month != 5
    )


def test_the_schedule_is_a_setting(tmp_path: Path) -> None:
    found = parse(str(tmp_path), WIT_RELEASE_SCHEDULE="0 4 * * 1")
    assert found["dags"]["wit_refresh"]["cron"] == "0 4 * * 1"


def test_whom_the_environment_names_is_told_of_failures_and_of_missed_deadlines(tmp_path: Path, found: Found) -> None:
    named = {"WIT_RELEASE_ALERTS": "steward@example.org", "WIT_RELEASE_WEBHOOK": "wit_webhook"}
    both = parse(str(tmp_path), **named)
    assert both["errors"] == {}
    for name, dag in both["dags"].items():
        assert dag["told"] == ["SmtpNotifier", "HttpNotifier"], name
        assert dag["deadlines"] == [["SmtpNotifier", 168], ["HttpNotifier", 168]], name
        assert (found["dags"][name]["told"], found["dags"][name]["deadlines"]) == ([], []), name


def test_the_form_asks_only_what_may_differ(refresh_dag: Found) -> None:
    assert set(refresh_dag["params"]) == {"base", "wit_files", "accept", "store"}
    assert refresh_dag["params"]["wit_files"]["default"] == []
    assert all(param["description"] for param in refresh_dag["params"].values())


def test_a_default_left_empty_does_not_undo_a_setting_of_the_release_before(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever gave the operator's address in the form of the first release need not give it again."""
    monkeypatch.syspath_prepend(str(ROOT / "dags"))
    settings = {"store": store.url, "operator_contact": "someone@example.org", "face_threshold": 0.5, "stand_in": True}
    settings |= {"wit_files": ["all.tsv.gz"], "deletion_templates": ["Delete"]}
    before = {"version": "2026.01.01", "run": "first", "started": "", "config": settings}
    store.write_json("runs/2026.01.01/begun.json", before)
    store.write_text("releases/2026.01.01/manifest.json", "{}")
    file = tmp_path / "defaults.json"
    own = {"store": store.url, "operator_contact": "", "face_threshold": 0.0, "stand_in": False}
    file.write_text(json.dumps(own | {"deletion_templates": []}))
    monkeypatch.setenv("WIT_RELEASE_DEFAULTS", str(file))
    given = importlib.import_module("release_form").refresh_settings({"base": None, "wit_files": []}, "second")
    assert given["operator_contact"] == "someone@example.org"
    assert given["wit_files"] == ["all.tsv.gz"]
    assert (given["face_threshold"], given["stand_in"]) == (0.0, False)
    assert given["deletion_templates"] == [], "there is no other way to name none any more"


def test_the_form_of_a_release_that_accepts_warnings_stands_for_that_one(
    store: Store, release_dag: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "dags"))
    settings = {"store": store.url, "version": "2026.01.01", "wit_files": ["all.tsv.gz"], "face_threshold": 0.5}
    begun = {"version": "2026.01.01", "run": "scheduled__1", "started": "", "config": settings}
    store.write_json("runs/2026.01.01/begun.json", begun)
    filled_in = {name: param["default"] for name, param in release_dag["params"].items()}
    filled_in |= {"store": store.url, "version": "2026.01.01", "accept": " seen "}
    given = importlib.import_module("release_form").own_settings(filled_in, "manual__1")
    assert given == settings | {"accept": "seen"}


def test_it_makes_a_release_by_the_same_tasks(refresh_dag: Found, release_dag: Found) -> None:
    assert refresh_dag["tasks"] == release_dag["tasks"]
