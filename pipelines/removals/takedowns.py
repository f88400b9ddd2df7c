"""The list of files that people asked to have removed. It is durable: a file on it stays out of every later release.

People name a file, and files are renamed, redirected and uploaded twice. So an entry also holds what the ledgers tell
of the file: the URLs of its images, which never change, and the digests of its originals. What has one of these is the
same picture, whatever it is called by then.

Nothing is ever erased from the list. An entry that was made by mistake is lifted, and says so. Whoever writes the list
replaces just what was read before, so two stewards at once lose neither entry; no lock is needed, as a run that takes
days must not keep a removal waiting.
"""

import datetime
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Self

from pipelines.errors import ReleaseError, StoreError
from pipelines.storage.store import Store

PATH = "takedowns.json"

Entries = dict[str, dict[str, Any]]
"""File name on Commons to date, reason and class of requester; the ``images`` (URLs) and ``originals`` (sha1) that are
known to be of the file; and when and why the entry was lifted, if it was."""

URLS, ORIGINALS = "images", "originals"


class TakenDown:
    """Says of an image whether it is on the list, by its URL, its names or its original.

    Args:
        entries: those in force.

    """

    def __init__(self, entries: Entries) -> None:
        self._by_name = entries
        self._by_url = {url: entry for entry in entries.values() for url in entry.get(URLS, ())}
        self._by_original = {sha1: entry for entry in entries.values() for sha1 in entry.get(ORIGINALS, ())}

    @classmethod
    def of(cls, store: Store) -> Self:
        """Read the list of a store."""
        return cls(read_takedowns(store))

    def entry(self, url: str, names: Iterable[str | None], sha1: str | None) -> Mapping[str, Any] | None:
        """Return the entry that keeps an image out; None: there is none.

        Args:
            url: of the image.
            names: by which its file is known.
            sha1: of its original, in hex; None: not known.

        """
        named = (self._by_name[name] for name in names if name in self._by_name)
        return next(named, None) or self._by_url.get(url) or self._by_original.get(sha1 or "")


def read_takedowns(store: Store) -> Entries:
    """Return the entries that are in force."""
    return {name: entry for name, entry in read_list(store).items() if "lifted" not in entry}


def read_list(store: Store) -> Entries:
    """Return the whole list, with what was lifted.

    Raises:
        StoreError: it is damaged.

    """
    return _parse(store, store.read_text(PATH))


def digest_of_list(store: Store) -> str:
    """Return a digest of the entries in force: decisions depend on all that they say."""
    return hashlib.sha256(json.dumps(read_takedowns(store), sort_keys=True).encode()).hexdigest()


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


def learn(store: Store, urls: Mapping[str, Collection[str]], originals: Mapping[str, Collection[str]]) -> None:
    """Note in the entries in force what was found out about their files.

    Args:
        store: of the list.
        urls: of each file's images, by its name.
        originals: sha1 of each file's originals, by its name.

    """

    def add(entries: Entries) -> None:
        for field, found in ((URLS, urls), (ORIGINALS, originals)):
            for name, values in found.items():
                entry = entries.get(name)
                if values and entry is not None and "lifted" not in entry:
                    entry[field] = sorted({*entry.get(field, ()), *values})

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
