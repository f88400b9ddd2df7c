"""Marks the releases that hold what was taken down: at once, so that their users learn of it as early as possible.

The mark names the file, the reason and the URLs to delete. Which release to use instead is added when there is one: the
newest published release, or the next, at its publication.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from pipelines.releases.notices import Notice, Supersession, amend, order, read_notice
from pipelines.releases.versions import newest_published, published
from pipelines.removals.holders import Held, Holders, find
from pipelines.removals.takedowns import Entries, read_list, read_takedowns
from pipelines.storage.store import Store


def mark_holders(store: Store, names: Collection[str]) -> Holders:
    """Mark every published release that holds one of these files, which are on the list of takedowns.

    Safe to repeat: a mark that is there stays.

    Returns:
        Where the files are.

    """
    found = find(store, published(store), names)
    newest = newest_published(store) or ""
    lacking = {name for name in names if name not in _files(found.held.get(newest, ()))}
    entries = read_takedowns(store)
    for version, held in found.held.items():
        _mark(store, version, held, entries, newest, lacking)
    return found


def settle(store: Store, version: str) -> None:
    """Name a release that was published just now in the notices on those that it supersedes.

    What was taken down while it was being published, too late to be left out, is marked in it and in the one before.
    """
    entries = read_takedowns(store)
    if not entries:
        return
    releases = published(store)
    place = releases.index(version)
    found = find(store, releases[max(0, place - 1) : place + 1], [*entries])
    lacking = entries.keys() - _files(found.held.get(version, ()))
    for holder, held in found.held.items():
        _mark(store, holder, held, entries, version, lacking)
    for older in releases[:place]:
        amend(store, older, lambda notice: _replaced(notice, version, lacking))


def unmark(store: Store, names: Collection[str]) -> None:
    """Say in the notices that a takedown was lifted."""
    entries = read_list(store)

    def lift(notice: Notice) -> Notice:
        lifted = (
            replace(one, lifted=entries[one.file]["lifted"]["date"]) if one.file in names and not one.lifted else one
            for one in notice.superseded
        )
        return replace(notice, superseded=tuple(lifted))

    for version in published(store):
        if read_notice(store, version).superseded:
            amend(store, version, lift)


def _files(held: Collection[Held]) -> set[str]:
    return {one.file for one in held}


def _mark(
    store: Store, version: str, held: Collection[Held], entries: Entries, newest: str, lacking: Collection[str]
) -> None:
    later = order(version) < order(newest)

    def mark(notice: Notice) -> Notice:
        marked = {one.file for one in notice.standing}
        new = [
            _supersession(name, entries[name], held, newest if later and name in lacking else "")
            for name in sorted(_files(held) - marked)
            if name in entries
        ]
        return replace(notice, superseded=(*notice.superseded, *new))

    amend(store, version, mark)


def _supersession(name: str, entry: Mapping[str, Any], held: Collection[Held], by: str) -> Supersession:
    images = tuple(sorted(one.url for one in held if one.file == name))
    return Supersession(name, images, entry["date"], entry["reason"], by)


def _replaced(notice: Notice, version: str, lacking: Collection[str]) -> Notice:
    if all(one.by or one.file not in lacking for one in notice.standing):
        return notice
    settled = (
        replace(one, by=version) if not one.by and not one.lifted and one.file in lacking else one
        for one in notice.superseded
    )
    return replace(notice, superseded=tuple(settled))
