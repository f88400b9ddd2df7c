"""Removes the pixels of pictures that were dropped: nothing of them stays once the release is out.

Their measurements stay, and so does the fingerprint: nothing is made again unless a later decision wants one back.
"""

from collections.abc import Set
from dataclasses import replace
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.engine.fingerprint import ColumnDigests, Made, read_made
from pipelines.engine.step import Context, table_path
from pipelines.engine.writer import open_sink
from pipelines.storage.store import Store
from pipelines.tables import FETCHED, KEY, LEDGER, PIXELS, PURGED, Outcome

_UNWANTED = (Outcome.FACE, Outcome.DELETION_CANDIDATE, Outcome.TAKEN_DOWN)


def purge_pictures(context: Context, key: str) -> int:
    """Remove the pixels of a partition's dropped pictures from the tables between stages; return how many there were.

    Safe to repeat: the file is replaced whole, and what is purged already says so.
    """
    return remove_pictures(context.store, key, _dropped(context.store, key))


def remove_pictures(store: Store, key: str, urls: Set[str]) -> int:
    """Remove the pixels of a partition's pictures with these URLs from the table between stages."""
    count, _ = pictures_held(store, key, urls)
    if count:
        path = table_path(PIXELS.name, key)
        made = read_made(store, path)
        with store.open(path) as file:
            _rewrite(store, path, pq.ParquetFile(file, pre_buffer=False), urls, cast(Made, made), count)
    return count


def pictures_held(store: Store, key: str, urls: Set[str]) -> tuple[int, int]:
    """Return how many of these pictures a partition of the table between stages holds, and their bytes."""
    path = table_path(PIXELS.name, key)
    made = read_made(store, path)
    if made is None or not made.counts.get(FETCHED) or not urls:
        return 0, 0
    with store.open(path) as file:
        pixels = pq.ParquetFile(file, pre_buffer=False).read(columns=[KEY, "status", "bytes"])
    held = pixels.filter(_gone(pixels, urls))
    return held.num_rows, int(pc.sum(held.column("bytes")).as_py() or 0)


def dropped_pictures(store: Store, key: str) -> tuple[int, int]:
    """Return how many pictures `purge_pictures` would remove from a partition, and their bytes."""
    return pictures_held(store, key, _dropped(store, key)) if store.exists(table_path(LEDGER.name, key)) else (0, 0)


def _dropped(store: Store, key: str) -> Set[str]:
    """Return the URLs of the pictures that the ledger drops."""
    with store.open(table_path(LEDGER.name, key)) as file:
        ledger = pq.read_table(file, columns=[KEY, "outcome"])
    dropped = ledger.filter(pc.is_in(ledger.column("outcome"), pa.array([*_UNWANTED], pa.string())))
    return frozenset(dropped.column(KEY).to_pylist())


def _gone(rows: pa.Table, dropped: Set[str]) -> pa.ChunkedArray:
    listed = pa.chunked_array([pa.array([url in dropped for url in rows.column(KEY).to_pylist()], pa.bool_())])
    return pc.and_(listed, pc.equal(rows.column("status"), FETCHED))


def _rewrite(store: Store, path: str, pixels: pq.ParquetFile, dropped: Set[str], made: Made, count: int) -> None:
    digests = ColumnDigests(["status"])
    with store.write(path) as written, open_sink(written, PIXELS) as sink:
        for group in range(pixels.num_row_groups):
            rows = pixels.read_row_group(group)
            gone = _gone(rows, dropped)
            for column, value in (("status", PURGED), ("image", None)):
                place = PIXELS.schema.get_field_index(column)
                field = PIXELS.schema.field(place)
                rows = rows.set_column(
                    place, field, pc.if_else(gone, pa.scalar(value, field.type), rows.column(column))
                )
            sink.write_table(rows)
            digests.update(rows)
        counts = {**made.counts, FETCHED: made.counts[FETCHED] - count, PURGED: made.counts.get(PURGED, 0) + count}
        counts = {status: number for status, number in counts.items() if number}
        made = replace(made, digests={**made.digests, **digests.result()}, counts=counts)
        sink.add_key_value_metadata(made.metadata())
