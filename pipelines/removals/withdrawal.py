"""Withdraws from finished releases what was taken down. Nothing else ever deletes from a finished release.

Of each release that holds the picture go the shards of its partition, and every document that shows it. What goes is
recorded in the release's notice first, with its checksum; so a run that is killed half-way has said what it was about,
and the same command again finishes. Releases share unchanged shards, on disk as one file with several names: the name
in each release goes. The ledgers stay, as they hold no pictures: they say what a release consisted of.

The tables between stages lose the picture as well, in case the next release is still to come.
"""

import base64
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from pipelines.commons.names import COMMONS, ImageUrl, original_url, parse_image_url, partition_of
from pipelines.engine.step import FILES_FOLDER, WORK, release_path, shard_name
from pipelines.errors import ReleaseError
from pipelines.releases import joined, shards
from pipelines.releases.notices import Notice, Withdrawal, amend, read_notice
from pipelines.releases.versions import (
    MANIFEST,
    is_published,
    newest_published,
    published,
    read_begun,
    run_path,
    versions,
)
from pipelines.removals.holders import Held, Holders, find
from pipelines.removals.purge import pictures_held, remove_pictures
from pipelines.removals.takedowns import Entries, read_takedowns, today
from pipelines.storage.lock import held as lock_held
from pipelines.storage.store import Store
from pipelines.tables import EMBEDDINGS, PIXELS

REPORT = "report.html"

_FOLDERS = (
    shards.PIXELS_FOLDER,
    shards.EMBEDDINGS_FOLDER,
    shards.CAPTIONS_FOLDER,
    joined.FOLDER,
)
_INLINE = re.compile(rb"data:image/[a-z+]+;base64,([A-Za-z0-9+/=]+)")


def withdraw(store: Store, names: Collection[str], run: str) -> dict[str, tuple[Withdrawal, ...]]:
    """Delete what holds these files from every published release, and the pictures from the tables between stages.

    Args:
        store: of the releases.
        names: of files on the list of takedowns.
        run: owner of the store's lock meanwhile.

    Returns:
        What is withdrawn of each release that is touched, now or before.

    Raises:
        ReleaseError: a file is not on the list of takedowns.
        StoreLocked: another run is at work.

    """
    entries = read_takedowns(store)
    for name in names:
        if name not in entries:
            raise ReleaseError(f"File:{name} is not on the list of takedowns of {store.url}; take it down first")
    with lock_held(store, run, alone=True):
        store.clear_scratch()
        found = find(store, published(store), {name: entries[name] for name in names})
        for version, pictures in found.held.items():
            _record(store, version, pictures, entries)
        done = {}
        for version in published(store):
            notice = read_notice(store, version)
            for one in notice.withdrawn:
                store.remove(release_path(version, one.path))
            if version in found.held:
                store.remove(run_path(version, REPORT))
                done[version] = notice.withdrawn
        _clear_work(store, names, found)
    return done


def _record(store: Store, version: str, pictures: Collection[Held], entries: Entries) -> None:
    """Say in the notice what is to go, before it goes."""
    files: Mapping[str, Any] = store.read_json(release_path(version, MANIFEST))["files"]
    wanted: dict[str, str] = {}
    for one in pictures:
        for path in _shards(one.key):
            if path in files:
                wanted.setdefault(path, one.file)
    known = {one.path for one in read_notice(store, version).withdrawn}
    for path, name in _documents(store, version, files.keys() - known, pictures):
        wanted.setdefault(path, name)

    def record(notice: Notice) -> Notice:
        there = {one.path for one in notice.withdrawn}
        new = [
            Withdrawal(path, files[path]["bytes"], files[path]["sha256"], today(), name, entries[name]["reason"])
            for path, name in sorted(wanted.items())
            if path not in there
        ]
        return replace(notice, withdrawn=(*notice.withdrawn, *new))

    amend(store, version, record)


def _shards(key: str) -> tuple[str, ...]:
    return (shards.image_shard(key), shards.embedding_shard(key), shards.caption_shard(key), joined.shard(key))


def _documents(
    store: Store, version: str, paths: Collection[str], pictures: Collection[Held]
) -> Iterator[tuple[str, str]]:
    """Yield the documents that show one of these pictures: whatever carries it in a page, by its checksum."""
    files = {one.sha256: one.file for one in pictures}
    folders = (*_FOLDERS, shards.LEDGER_FOLDER)
    for path in sorted(path for path in paths if not path.startswith(tuple(f"{folder}/" for folder in folders))):
        with store.open(release_path(version, path)) as file:
            for match in _INLINE.finditer(file.read()):
                name = files.get(hashlib.sha256(base64.b64decode(match[1])).hexdigest())
                if name is not None:
                    yield path, name


def _clear_work(store: Store, names: Collection[str], found: Holders) -> None:
    """Remove the pictures between the stages, and the files that would be part of the next release.

    What is missing is made again by the next run, which decides without these files.
    """
    unfinished = [version for version in versions(store) if not is_published(store, version)]
    newest = newest_published(store) or ""
    in_newest = {one.key for one in found.held.get(newest, ())}
    for key, urls in _places(store, names, found).items():
        for table in (PIXELS, EMBEDDINGS):
            for path in store.files(f"{WORK}/{table.name}/{key}.saved"):
                store.remove(path)
        if key not in in_newest and not any(pictures_held(store, key, urls)):
            continue  # the files between stages are those of a release that is without them
        for path in _shards(key):
            store.remove(f"{FILES_FOLDER}/{path}")
        for version in unfinished:
            for path in (*(release_path(version, path) for path in (*_shards(key), REPORT)), run_path(version, REPORT)):
                store.remove(path)
        remove_pictures(store, key, urls)


def _places(store: Store, names: Collection[str], found: Holders) -> dict[str, set[str]]:
    """Return the URLs by which the files may be known, by their partition."""
    places: dict[str, set[str]] = {}
    for one in chain.from_iterable(found.held.values()):
        places.setdefault(one.key, set()).add(one.url)
    partitions = read_begun(store, versions(store)[-1]).config["partitions"] if versions(store) else 0
    for name in names if partitions else ():
        spelt = {original_url(ImageUrl(COMMONS, name)), *found.urls[name], *found.copies[name]}
        for url in spelt:
            places.setdefault(shard_name(partition_of(parse_image_url(url).name, partitions)), set()).add(url)
    return places
