"""The list of files that people asked to have removed. It is durable: a file on it stays out of every later release."""

import datetime
from typing import Any

from pipelines.store import Store

_PATH = "takedowns.json"


def read_takedowns(store: Store) -> dict[str, dict[str, Any]]:
    """Return the list: file name on Commons to date, reason and class of requester."""
    return dict(store.read_json(_PATH) or {})


def add_takedown(store: Store, name: str, reason: str, requester: str) -> None:
    """Put a file on the list; a file that is on it already keeps its first entry.

    Args:
        store: the store whose releases it is to stay out of.
        name: file name on Commons, with underscores, without ``File:``.
        reason: in words; it becomes public with the ledger.
        requester: what kind of person asked (``subject``, ``author``, ``commons``, …), never who.

    """
    takedowns = read_takedowns(store)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    takedowns.setdefault(name, {"date": today, "reason": reason, "requester": requester})
    store.write_json(_PATH, takedowns)
