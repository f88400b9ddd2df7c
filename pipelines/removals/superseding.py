"""Marks the releases that hold what was taken down: at once, so that their users learn of it as early as possible.

The mark names the file, the reason and the URLs to delete. Which release to use instead is added when there is one: the
newest published release, or the next, at its publication.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import partial

from pipelines.releases.notices import Notice, Supersession, amend, read_notice
from pipelines.releases.versions import published
from pipelines.removals.holders import Held, Holders, find
from pipelines.removals.takedowns import Entries, learn, read_list, read_takedowns
from pipelines.storage.store import Store


def mark_holders(store: Store, names: Collection[str]) -> Holders:
    """Mark every published release that holds one of these files, which are on the list of takedowns.

    What the ledgers tell of the files is noted in the list. Safe to repeat: a mark that is there stays.

    Returns:
        Where the files are.

    """
    entries = read_takedowns(store)
    releases = published(store)
    return _mark(store, releases, releases, {name: entries[name] for name in names if name in entries})


def settle(store: Store, version: str) -> None:
    """Name a release that was published just now in the notices on those that it supersedes.

    What was taken down while it was being published, too late to be left out, is marked in it and in the one before.
    """
    entries = read_takedowns(store)
    if entries:
        releases = published(store)
        place = releases.index(version)
        _mark(store, releases[: place + 1], releases[max(0, place - 1) : place + 1], entries)


def _mark(store: Store, releases: Collection[str], looked_at: Iterable[str], entries: Entries) -> Holders:
    """Mark those that hold one of the files, and name the newest of the releases where it is without them."""
    found = find(store, looked_at, entries)
    learn(store, found.urls, found.originals)
    for version, held in found.held.items():
        amend(store, version, partial(_marked, held=held, entries=entries))
    *older, newest = releases or [""]
    lacking = entries.keys() - {one.file for one in found.held.get(newest, ())}
    for version in older:
        amend(store, version, partial(_replaced, version=newest, lacking=lacking))
    return found


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


def _marked(notice: Notice, held: Collection[Held], entries: Entries) -> Notice:
    images = {name: {one.url for one in held if one.file == name} for name in sorted({one.file for one in held})}
    known = tuple(
        one if one.lifted else replace(one, images=tuple(sorted({*one.images, *images.pop(one.file, ())})))
        for one in notice.superseded
    )
    new = (
        Supersession(name, tuple(sorted(urls)), entries[name]["date"], entries[name]["reason"])
        for name, urls in images.items()
    )
    return replace(notice, superseded=(*known, *new))


def _replaced(notice: Notice, version: str, lacking: Collection[str]) -> Notice:
    if all(one.by or one.file not in lacking for one in notice.standing):
        return notice
    settled = (
        replace(one, by=version) if not one.by and not one.lifted and one.file in lacking else one
        for one in notice.superseded
    )
    return replace(notice, superseded=tuple(settled))
