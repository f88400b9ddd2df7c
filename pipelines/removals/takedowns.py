"""The list of files that people asked to have removed. It is durable: a file on it stays out of every later release.

Nothing is ever erased from it. An entry that was made by mistake is lifted, and says so. Whoever writes the list
replaces just what was read before, so two stewards at once lose neither entry; no lock is needed, as a run that takes
days must not keep a removal waiting.
"""

import datetime
import json
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.errors import ReleaseError, StoreError
from pipelines.storage.store import Store

PATH = "takedowns.json"

Entries = dict[str, dict[str, Any]]
"""File name on Commons to date, reason and class of requester; and when and why it was lifted, if it was."""


def read_takedowns(store: Store) -> Entries:
    """Return the entries that are in force."""
    return {name: entry for name, entry in read_list(store).items() if "lifted" not in entry}


def read_list(store: Store) -> Entries:
    """Return the whole list, with what was lifted.

    Raises:
        StoreError: it is damaged.

    """
    return _parse(store, store.read_text(PATH))


def add_takedown(store: Store, name: str, reason: str, requester: str) -> None:
    """Put a file on the list; a file that is on it already keeps its entry.

    Args:
        store: the store whose releases it is to stay out of.
        name: file name on Commons, with underscores, without ``File:``.
        reason: in words; it becomes public with the ledger.
        requester: one of `config.REQUESTERS`.

    """

    def add(entries: Entries) -> None:
        before = entries.get(name)
        if before is None or "lifted" in before:
            earlier = [] if before is None else [*before.get("earlier", ()), _without_history(before)]
            entry = {"date": today(), "reason": reason, "requester": requester}
            entries[name] = entry | ({"earlier": earlier} if earlier else {})

    _change(store, add)


def lift_takedown(store: Store, name: str, reason: str) -> None:
    """Let a file be released again; its entry stays, and says when and why it was lifted.

    Raises:
        ReleaseError: the file is not on the list, or was lifted already.

    """

    def lift(entries: Entries) -> None:
        if name not in entries or "lifted" in entries[name]:
            raise ReleaseError(f"File:{name} is not on the list of takedowns of {store.url}")
        entries[name] |= {"lifted": {"date": today(), "reason": reason}}

    _change(store, lift)


def today() -> str:
    """Return today's date, UTC."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _change(store: Store, change: Callable[[Entries], None]) -> None:
    while True:
        text = store.read_text(PATH)
        entries = _parse(store, text)
        change(entries)
        if entries == _parse(store, text):
            return
        if store.swap_text(PATH, text, json.dumps(entries, indent=2, sort_keys=True, ensure_ascii=False) + "\n"):
            return


def _parse(store: Store, text: str | None) -> Entries:
    try:
        return dict(json.loads(text)) if text is not None else {}
    except ValueError as error:
        raise StoreError(f"{store.locate(PATH)} is not valid JSON: {error}") from None


def _without_history(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != "earlier"}
