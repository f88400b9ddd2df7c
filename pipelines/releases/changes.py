"""What is different from the release before: images added, removed and changed, each with its reason.

Two ledgers are compared, so nothing of a picture is read. Only released images count: one that was never released and
never will be is in the ledger, and no news to those who hold a copy.
"""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.engine.step import Context, release_path
from pipelines.errors import ReleaseError
from pipelines.releases import shards
from pipelines.storage.store import Store
from pipelines.tables import CHANGES, KEY, LEDGER, Change, Outcome

FOLDER = "changes"

WHAT: Mapping[str, tuple[str, ...]] = {
    "picture": ("image_sha256",),
    "file": ("commons_sha1", "commons_timestamp"),
    "name": ("commons_name",),
    "licence": ("licence", "licence_url"),
    "author": ("author", "credit", "attribution_required"),
    "captions": ("wit_rows_sha256",),
}
"""What can change of a released image, and the columns of the ledger that tell."""

COLUMNS = (KEY, "outcome", "detail", *dict.fromkeys(name for names in WHAT.values() for name in names))
"""What is read of both ledgers."""


def changes_file(change: Change) -> str:
    """Return the path, below the release, of the list of the images that were added, removed or changed."""
    return f"{FOLDER}/{change}.parquet"


def base_ledger(context: Context, key: str) -> Mapping[str, Any]:
    """Return what the comparison depends on besides the new ledger: which ledger it is compared with."""
    if not context.base:
        return {}
    path = shards.ledger_shard(key)
    file = _base_files(context.store, context.base).get(path)
    if file is None:
        raise ReleaseError(
            f"release {context.base} has no {path}: it was made with another number of partitions, so its images "
            f"stand elsewhere; set partitions as it was then, or begin in a store of its own"
        )
    return {"base": context.base, "ledger": file["sha256"]}


@functools.cache
def _base_files(store: Store, base: str) -> Mapping[str, Any]:
    return dict(store.read_json(release_path(base, "manifest.json"))["files"])


def compare(context: Context, key: str, ledger: pa.Table) -> Iterator[pa.Table]:
    """Compare a partition's ledger with that of the release before.

    Args:
        context: names the release before; without one nothing has changed.
        key: of the partition.
        ledger: of this release, with the columns of `COLUMNS`.

    Yields:
        One row for each image that is different, sorted by URL.

    """
    rows: list[dict[str, Any]] = []
    if context.base:
        before = _images(_read(context, key))
        now = _images(ledger)
        for url in sorted(before.keys() | now.keys()):
            change = compare_image(before.get(url), now.get(url))
            if change is not None:
                rows.append({KEY: url, **change})
    yield pa.Table.from_pylist(rows, schema=CHANGES.schema)


def _read(context: Context, key: str) -> pa.Table:
    with context.store.open(release_path(context.base, shards.ledger_shard(key))) as file:
        whole = pq.ParquetFile(file, pre_buffer=False)
        known = [name for name in COLUMNS if name in whole.schema_arrow.names]
        table = whole.read(columns=known, use_threads=False)
    for name in COLUMNS:
        if name not in known:  # a release of an older format; what it did not tell has not changed for all we know
            table = table.append_column(LEDGER.schema.field(name), pa.nulls(table.num_rows, pa.string()))
    return table


def _images(ledger: pa.Table) -> dict[str, dict[str, Any]]:
    return {row[KEY]: row for row in ledger.select(list(COLUMNS)).to_pylist()}


def compare_image(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Compare an image's rows in two ledgers.

    Args:
        before: its row in the release before, None where that did not consider it.
        now: its row in this release.

    Returns:
        Its row in the list of changes, but for the URL; None: nobody who holds a copy has to do anything.

    """
    was, is_now = (row is not None and row["outcome"] == Outcome.RELEASED for row in (before, now))
    before, now = before or {}, now or {}
    what: list[str] = []
    if was and is_now:
        what = [name for name, columns in WHAT.items() if any(before[column] != now[column] for column in columns)]
        if before["wit_rows_sha256"] is None and "captions" in what:
            what.remove("captions")
        if not what:
            return None
        change, reason = Change.CHANGED, ", ".join(what)
    elif is_now:
        change = Change.ADDED
        reason = f"was {_in_words(before)}" if before else "new among the captioned rows of WIT"
    elif was:
        change = Change.REMOVED
        reason = _in_words(now) if now else "no longer among the captioned rows of WIT"
    else:
        return None
    return {
        "change": change,
        "reason": reason,
        "what": what,
        "commons_name": now.get("commons_name") or before.get("commons_name"),
        "outcome_before": before.get("outcome"),
        "outcome": now.get("outcome"),
        "image_sha256_before": before.get("image_sha256"),
        "image_sha256": now.get("image_sha256"),
        "licence_before": before.get("licence"),
        "licence": now.get("licence"),
    }


def _in_words(row: Mapping[str, Any]) -> str:
    return f"{row['outcome']}: {row['detail']}" if row["detail"] else str(row["outcome"])
