"""Which published releases hold a file of Commons: what the marks and the withdrawals of a takedown are about.

A file may have been moved since WIT saw it, so it is known by several names: WIT's, which is in the URL, and the one
that Commons had for it when a release was made. The ledgers know both. Most ledgers of a store are the same files from
release to release, and each is read once.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.commons.names import COMMONS, ImageUrl, original_url, parse_image_url, partition_of
from pipelines.engine.step import release_path, shard_name
from pipelines.releases import shards
from pipelines.releases.versions import MANIFEST
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
        held: pictures in each release that holds any, by its name.

    """

    urls: Mapping[str, frozenset[str]]
    held: Mapping[str, tuple[Held, ...]]

    def unknown(self) -> list[str]:
        """Return the files that no ledger knows."""
        return sorted(name for name, urls in self.urls.items() if not urls)


def find(store: Store, versions: Iterable[str], names: Collection[str]) -> Holders:
    """Look for files in published releases.

    Args:
        store: of the releases.
        versions: names of the releases.
        names: of the files on Commons, with underscores.

    """
    ledgers = {version: _ledgers(store, version) for version in versions}
    known: dict[str, set[str]] = {name: set() for name in names}
    by_url = {original_url(ImageUrl(COMMONS, name)): name for name in names}
    distinct = {digest: path for paths in ledgers.values() for path, digest in paths.items()}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for rows in pool.map(lambda path: _named(store, path, by_url, names), distinct.values()):
            for url, name in rows:
                known[name].add(url)
    held = {version: tuple(_released(store, version, paths, known)) for version, paths in ledgers.items()}
    return Holders(
        {name: frozenset(urls) for name, urls in known.items()},
        {version: found for version, found in held.items() if found},
    )


def _ledgers(store: Store, version: str) -> dict[str, str]:
    """Return the ledger files of a release: path in the store to checksum."""
    files: Mapping[str, Any] = store.read_json(release_path(version, MANIFEST))["files"]
    ledgers = (path for path in files if path.startswith(f"{shards.LEDGER_FOLDER}/"))
    return {release_path(version, path): files[path]["sha256"] for path in ledgers}


def _named(store: Store, path: str, by_url: Mapping[str, str], names: Collection[str]) -> Iterable[tuple[str, str]]:
    """Return URL and name of the images of a ledger file that have one of these names."""
    with store.open(path) as file:
        rows = pq.ParquetFile(file, pre_buffer=False).read(columns=[KEY, "commons_name"], use_threads=False)
    wanted = pc.or_kleene(
        pc.is_in(rows.column(KEY), pa.array([*by_url], pa.string())),
        pc.is_in(rows.column("commons_name"), pa.array([*names], pa.string())),
    )
    found = []
    for row in rows.filter(wanted).to_pylist():
        found += [(row[KEY], name) for name in {by_url.get(row[KEY]), row["commons_name"]} if name in names]
    return found


def _released(
    store: Store, version: str, ledgers: Collection[str], known: Mapping[str, Collection[str]]
) -> Iterator[Held]:
    """Yield the pictures that a release holds of these files."""
    owners: dict[str, list[str]] = {}
    for name, urls in known.items():
        for url in urls:
            owners.setdefault(url, []).append(name)
    shards_of: dict[str, list[str]] = {}
    for url in sorted(owners):
        key = shard_name(partition_of(parse_image_url(url).name, len(ledgers)))
        shards_of.setdefault(key, []).append(url)
    for key, urls in sorted(shards_of.items()):
        with store.open(release_path(version, shards.ledger_shard(key))) as file:
            wanted = pc.field(KEY).isin(urls) & (pc.field("outcome") == Outcome.RELEASED)
            rows = pq.read_table(file, columns=[KEY, "image_sha256"], filters=wanted).to_pylist()
        for row in rows:
            for name in owners[row[KEY]]:
                yield Held(name, row[KEY], key, row["image_sha256"])
