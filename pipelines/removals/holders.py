"""Which published releases hold a file of Commons: what the marks and the withdrawals of a takedown are about.

A file may have been moved since WIT saw it, so it is known by several names: WIT's, which is in the URL, and the one
that Commons had for it when a release was made. The ledgers know both, and the digest of the original: what has the
same one is the same picture under another name. Most ledgers of a store are the same files from release to release;
each is read once, and once more where there are originals to look for.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.commons.names import COMMONS, ImageUrl, original_url, parse_image_url, partition_of
from pipelines.engine.step import release_path, shard_name
from pipelines.releases import shards
from pipelines.releases.versions import MANIFEST
from pipelines.removals.takedowns import ORIGINALS, URLS, Entries
from pipelines.storage.store import Store
from pipelines.tables import KEY, Outcome

_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Held:
    """A picture that a release holds: in which shard, and of which file that was asked about."""

    file: str
    url: str
    key: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Holders:
    """Where files are.

    Args:
        urls: of the images of each file, in any of the releases that were looked at, released or not.
        originals: sha1 of the originals of each file.
        copies: URLs of the images that have one of these originals and are another file by name and URL.
        held: pictures in each release that holds any, copies included, by its name.

    """

    urls: Mapping[str, Set[str]]
    originals: Mapping[str, Set[str]]
    copies: Mapping[str, Set[str]]
    held: Mapping[str, tuple[Held, ...]]

    def unknown(self) -> list[str]:
        """Return the files that no ledger knows."""
        return sorted(name for name, urls in self.urls.items() if not urls)


def find(store: Store, versions: Iterable[str], entries: Entries) -> Holders:
    """Look for files in published releases.

    Args:
        store: of the releases.
        versions: names of the releases.
        entries: of the files on the list of takedowns.

    """
    ledgers = {version: _ledgers(store, version) for version in versions}
    paths = [*{digest: path for paths in ledgers.values() for path, digest in paths.items()}.values()]
    spelt = {name: {original_url(ImageUrl(COMMONS, name)), *entry.get(URLS, ())} for name, entry in entries.items()}
    files = _rows(store, paths, {KEY: _by_value(spelt), "commons_name": {name: {name} for name in entries}}, entries)
    urls = {name: {row[KEY] for row in rows} for name, rows in files.items()}
    originals = {
        name: {*entries[name].get(ORIGINALS, ()), *(row["commons_sha1"] for row in rows)} - {None}
        for name, rows in files.items()
    }
    same = _rows(store, paths, {"commons_sha1": _by_value(originals)}, entries) if any(originals.values()) else {}
    copies = {name: {row[KEY] for row in same.get(name, ())} - found for name, found in urls.items()}
    found = Holders(urls, originals, copies, {})
    held = {version: tuple(_released(store, version, paths, found)) for version, paths in ledgers.items()}
    return replace(found, held={version: pictures for version, pictures in held.items() if pictures})


def _ledgers(store: Store, version: str) -> dict[str, str]:
    """Return the ledger files of a release: path in the store to checksum."""
    files: Mapping[str, Any] = store.read_json(release_path(version, MANIFEST))["files"]
    ledgers = (path for path in files if path.startswith(f"{shards.LEDGER_FOLDER}/"))
    return {release_path(version, path): files[path]["sha256"] for path in ledgers}


Names = Mapping[str, Collection[str]]
"""A value in a column of the ledger, to the names of the files that are known by it."""


def _by_value(values: Mapping[str, Iterable[str]]) -> Names:
    """Turn the values that each name has into the names that each value has."""
    found: dict[str, set[str]] = {}
    for name, its_values in values.items():
        for value in its_values:
            found.setdefault(value, set()).add(name)
    return found


def _rows(
    store: Store, paths: Collection[str], wanted: Mapping[str, Names], names: Iterable[str]
) -> dict[str, list[dict[str, Any]]]:
    """Return, for each name, the rows of ledger files that have in one of the columns a value that it is known by."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for row in chain.from_iterable(pool.map(lambda path: _matching(store, path, wanted), paths)):
            for name in {name for column, names in wanted.items() for name in names.get(row[column], ())}:
                found[name].append(row)
    return found


def _matching(store: Store, path: str, wanted: Mapping[str, Names]) -> list[dict[str, Any]]:
    columns = [KEY, "commons_name", "commons_sha1"]
    with store.open(path) as file:
        rows = pq.ParquetFile(file, pre_buffer=False).read(columns=columns, use_threads=False)
    matches = pa.array(np.zeros(rows.num_rows, bool))
    for column, names in wanted.items():
        matches = pc.or_(matches, pc.is_in(rows.column(column), pa.array([*names], pa.string())))
    return list(rows.filter(matches).to_pylist())


def _released(store: Store, version: str, ledgers: Collection[str], known: Holders) -> Iterator[Held]:
    """Yield the pictures that a release holds of these files. A copy may have been another picture then."""
    names, copied = _by_value(known.urls), _by_value(known.copies)
    shards_of: dict[str, list[str]] = {}
    for url in sorted({*names, *copied}):
        key = shard_name(partition_of(parse_image_url(url).name, len(ledgers)))
        shards_of.setdefault(key, []).append(url)
    columns = [KEY, "commons_sha1", "image_sha256"]
    for key, urls in sorted(shards_of.items()):
        with store.open(release_path(version, shards.ledger_shard(key))) as file:
            wanted = pc.field(KEY).isin(urls) & (pc.field("outcome") == Outcome.RELEASED)
            rows = pq.read_table(file, columns=columns, filters=wanted).to_pylist()
        for row in rows:
            same = {name for name in copied.get(row[KEY], ()) if row["commons_sha1"] in known.originals[name]}
            for name in sorted({*names.get(row[KEY], ()), *same}):
                yield Held(name, row[KEY], key, row["image_sha256"])
