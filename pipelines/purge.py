"""Removes the pixels of pictures that were dropped: nothing of them stays once the release is out.

Their measurements stay, and so does the fingerprint: nothing is made again unless a later decision wants one back.
"""

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.engine.fingerprint import ColumnDigests, Made, read_made
from pipelines.engine.step import Context, table_path
from pipelines.engine.writer import open_sink
from pipelines.tables import FETCHED, KEY, LEDGER, PIXELS, PURGED, Outcome

_UNWANTED = (Outcome.FACE, Outcome.DELETION_CANDIDATE, Outcome.TAKEN_DOWN)


def purge_pictures(context: Context, key: str) -> int:
    """Remove the pixels of a partition's dropped pictures from the tables between stages; return how many there were.

    Safe to repeat: the file is replaced whole, and what is purged already says so.
    """
    with context.store.open(table_path(LEDGER.name, key)) as file:
        ledger = pq.read_table(file, columns=[KEY, "outcome"])
    unwanted = ledger.filter(pc.is_in(ledger.column("outcome"), pa.array([*_UNWANTED], pa.string())))
    dropped = frozenset(unwanted.column(KEY).to_pylist())
    path = table_path(PIXELS.name, key)
    made = read_made(context.store, path)
    if made is None or not made.counts.get(FETCHED) or not dropped:
        return 0
    with context.store.open(path) as file:
        pixels = pq.ParquetFile(file, pre_buffer=False)
        status = pixels.read(columns=[KEY, "status"])
        gone = _gone(status, dropped)
        count = int(pc.sum(gone).as_py() or 0)
        if count:
            _rewrite(context, path, pixels, dropped, made, count)
    return count


def _gone(rows: pa.Table, dropped: frozenset[str]) -> pa.ChunkedArray:
    listed = pa.chunked_array([pa.array([url in dropped for url in rows.column(KEY).to_pylist()], pa.bool_())])
    return pc.and_(listed, pc.equal(rows.column("status"), FETCHED))


def _rewrite(
    context: Context, path: str, pixels: pq.ParquetFile, dropped: frozenset[str], made: Made, count: int
) -> None:
    digests = ColumnDigests(["status"])
    with context.store.write(path) as written, open_sink(written, PIXELS) as sink:
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
