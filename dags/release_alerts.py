"""Who is told when a run of a release fails, or takes too long: by Airflow's own notifiers.

``WIT_RELEASE_ALERTS`` is an e-mail address, and Airflow's connection ``smtp_default`` sends to it.
``WIT_RELEASE_WEBHOOK`` is the name of a connection of type HTTP: a JSON object is posted to the URL that it holds, so
the URL stays among Airflow's secrets. ``WIT_RELEASE_DEADLINE_HOURS`` is how long a run may take before they are told as
well. Without an address and without a connection (or with ``none``), nobody is told.
"""

import datetime
import os
from typing import Any

from airflow.providers.http.notifications.http import HttpNotifier
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import AsyncCallback, BaseNotifier, DeadlineAlert, DeadlineReference

from pipelines.errors import SettingError

ADDRESS = "WIT_RELEASE_ALERTS"
WEBHOOK = "WIT_RELEASE_WEBHOOK"
DEADLINE = "WIT_RELEASE_DEADLINE_HOURS"

DEADLINE_HOURS = 168.0
"""A week: at the rate that Wikimedia allows, fetching 6.5 million pictures takes three days of it."""

_FAILED = {
    "event": "failed",
    "dag": "{{ dag.dag_id }}",
    "run": "{{ run_id }}",
    "reason": "{{ reason }}",
    "what_to_do": "the log of the failed task says why; the next run goes on where this one stopped",
}
_LATE = {
    "event": "late",
    "dag": "{{ dag_run.dag_id }}",
    "run": "{{ dag_run.dag_run_id }}",
    "deadline": "{{ deadline.deadline_time }}",
    "what_to_do": "nothing was stopped; the log of the task that is on says how far it is and how long it will take",
}


def on_failure() -> list[BaseNotifier]:
    """Return what a DAG calls when a run of it has failed."""
    return [notifier(**how) for notifier, how in _notifiers(_FAILED)]


def deadlines() -> list[DeadlineAlert]:
    """Return the deadline of a DAG's runs, once for each way of telling somebody.

    Raises:
        SettingError: the hours are no number.

    """
    hours = _hours()
    return [
        DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT,
            interval=datetime.timedelta(hours=hours),
            callback=AsyncCallback(notifier, kwargs=how),
            name=f"within {hours:g} hours",
        )
        for notifier, how in _notifiers(_LATE)
        if hours
    ]


def _notifiers(message: dict[str, str]) -> list[tuple[type[BaseNotifier], dict[str, Any]]]:
    found: list[tuple[type[BaseNotifier], dict[str, Any]]] = []
    if address := _named(ADDRESS):
        subject = f"wit-release: {message['dag']} {message['event']}"
        lines = "".join(f"<p>{name.replace('_', ' ')}: {text}</p>" for name, text in message.items())
        found.append((SmtpNotifier, {"to": address, "subject": subject, "html_content": lines}))
    if connection := _named(WEBHOOK):
        found.append((HttpNotifier, {"http_conn_id": connection, "json": message}))
    return found


def _named(variable: str) -> str:
    value = os.environ.get(variable, "").strip()
    return "" if value == "none" else value


def _hours() -> float:
    text = os.environ.get(DEADLINE) or str(DEADLINE_HOURS)
    try:
        return 0.0 if text == "none" else float(text)
    except ValueError:
        raise SettingError(f'{DEADLINE}={text}: must be a number of hours, or "none"') from None
