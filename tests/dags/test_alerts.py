"""Who is told that a run failed or is late, and what exactly: Airflow's own notifiers and a real web server."""

import asyncio
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk._shared.module_loading import import_string

from pipelines.errors import SettingError
from tests.dags.parse import ROOT
from tests.dags.receivers import Webhook, webhook

sys.path.append(str(ROOT / "dags"))  # as Airflow does for a bundle of DAGs


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    """Give a web server that the environment names as Airflow's connection."""
    with webhook() as hook:
        monkeypatch.setenv("AIRFLOW_CONN_WIT_WEBHOOK", json.dumps({"conn_type": "http", "host": hook.url}))
        monkeypatch.setenv("WIT_RELEASE_WEBHOOK", "wit_webhook")
        monkeypatch.delenv("WIT_RELEASE_ALERTS", raising=False)
        monkeypatch.delenv("WIT_RELEASE_DEADLINE_HOURS", raising=False)
        yield hook


def test_a_failure_is_posted_as_json(told: Webhook) -> None:
    from release_alerts import on_failure

    (notify,) = on_failure()
    notify({"dag": DAG("wit_release", schedule=None), "run_id": "manual__1", "reason": "task_failure"})
    (message,) = told.messages
    assert {name: message[name] for name in ("event", "dag", "run", "reason")} == {
        "event": "failed",
        "dag": "wit_release",
        "run": "manual__1",
        "reason": "task_failure",
    }
    assert "the next run goes on where this one stopped" in message["what_to_do"]


def test_a_missed_deadline_is_posted_as_json_by_what_a_triggerer_can_import(told: Webhook) -> None:
    from release_alerts import deadlines

    (deadline,) = deadlines()
    assert deadline.interval == timedelta(days=7)
    described: dict[str, Any] = deadline.callback.serialize()
    # What the scheduler hands over: see airflow.models.deadline.Deadline.handle_miss.
    context = {
        "dag_run": {"dag_id": "wit_refresh", "dag_run_id": "scheduled__1"},
        "deadline": {"id": "1", "deadline_time": datetime(2026, 1, 8, tzinfo=UTC)},
    }

    async def as_a_triggerer_does() -> None:
        await import_string(described["path"])(**described["kwargs"], context=context)

    asyncio.run(as_a_triggerer_does())
    (message,) = told.messages
    assert (message["event"], message["dag"], message["run"]) == ("late", "wit_refresh", "scheduled__1")
    assert message["deadline"].startswith("2026-01-08")


def test_both_ways_and_none(told: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    from release_alerts import deadlines, on_failure

    monkeypatch.setenv("WIT_RELEASE_ALERTS", "steward@example.org")
    assert [type(notifier).__name__ for notifier in on_failure()] == ["SmtpNotifier", "HttpNotifier"]
    assert len(deadlines()) == 2
    monkeypatch.setenv("WIT_RELEASE_ALERTS", "none")
    monkeypatch.setenv("WIT_RELEASE_WEBHOOK", "")
    assert on_failure() == []
    assert deadlines() == []


def test_the_deadline_is_a_setting_and_nonsense_is_refused_by_name(
    told: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    from release_alerts import deadlines

    monkeypatch.setenv("WIT_RELEASE_DEADLINE_HOURS", "1.5")
    assert [deadline.interval for deadline in deadlines()] == [timedelta(minutes=90)]
    monkeypatch.setenv("WIT_RELEASE_DEADLINE_HOURS", "none")
    assert deadlines() == []
    monkeypatch.setenv("WIT_RELEASE_DEADLINE_HOURS", "soon")
    with pytest.raises(SettingError, match="WIT_RELEASE_DEADLINE_HOURS=soon: must be a number of hours"):
        deadlines()


def test_the_address_with_its_secret_is_in_no_dag(told: Webhook) -> None:
    from release_alerts import deadlines, on_failure

    shown = json.dumps(
        [[deadline.callback.serialize() for deadline in deadlines()], [vars(on_failure()[0])]], default=str
    )
    assert "wit_webhook" in shown
    assert told.url.rpartition("/")[2] not in shown
