"""WIT's rows as pull_rows deals them out: for each WIT file and partition a file of rows and one of facts about them.

A row is written once, as it was read: whoever wants the rows of some images sorts them while reading, a range of images
at a time, which costs less than to write, and to keep, a sorted copy of half a gigabyte for each of 200 partitions. Its
cells are kept in one piece of bytes, since to move seventeen short cells takes longer than to move the text in them.
Images are selected by the facts, a twentieth of the rows' size.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.engine.step import Context, shard_keys, shard_name, table_path
from pipelines.errors import StoreError
from pipelines.storage.spill import PACKED, Spill, deal_out
from pipelines.storage.store import Store, Written
from pipelines.tables import DEALT_ROW, FACTS, IMAGES, KEY, PULLED, ROW, WIT_COLUMNS
from pipelines.wit import typed

_HELD_BYTES = 16 << 20  # rows held before they are dealt out: batches of some 75 KB with 200 partitions
_BUFFER = 32 << 10  # bytes that wait for a file: a batch is written in many pieces of which most are tiny
_BATCH_ROWS = 1024  # rows that are read at a time where a partition gets many: 2 MB
_RANGE_IMAGES = 512  # images whose rows are sorted at a time: some 3,000 rows of WIT's, 7 MB
_RANGES = 128  # at most: each may be a file that is open; a partition of a release of all of WIT has 64
_END = b"\xff"  # of a cell: a byte that is nowhere in UTF-8
_ORDER = (
    *(KEY, "language", "page_url", "hierarchical_section_title", "caption_reference_description", "wit_image_url"),
    "cells",
)
"""By content, so that the same rows from differently cut files come in the same order."""


def wit_keys(context: Context) -> list[str]:
    """Return a key for each WIT file, in the order of the settings."""
    return [f"file-{index:05d}" for index in range(len(context.config.wit_files))]


WIT_ROWS = (IMAGES.columns(KEY, "wit_rows_sha256"), PULLED.columns(keys=wit_keys))
"""What a step reads that takes the rows of its partition: the images tell by a digest what their rows say."""


def packed(texts: pa.Table) -> pa.ChunkedArray:
    """Return the cells of each row of WIT in one piece of bytes. The texts are valid UTF-8."""
    cells = [texts.column(name).cast(pa.binary()) for name in WIT_COLUMNS]
    return pc.binary_join_element_wise(*cells, _END, null_handling="replace", null_replacement=b"")


def _unpacked(rows: pa.RecordBatch) -> pa.Table:
    """Return rows of `DEALT_ROW` as rows of `ROW`."""
    cells = pc.list_flatten(pc.split_pattern(rows.column("cells"), _END))
    columns = [rows.column(KEY)]
    for name in ROW.names[1:]:
        place = WIT_COLUMNS.index(KEY if name == "wit_image_url" else name)
        column = cells.take(pa.array(np.arange(place, len(cells), len(WIT_COLUMNS))))
        column = pc.if_else(pc.equal(column, b""), None, column).cast(pa.string())  # in WIT, empty is null
        columns.append(typed(column, name))
    return pa.table(columns, schema=ROW)


class Dealer:
    """Deals rows out to partitions: keeps a file open for each; rows wait in memory until there are enough to go round.

    Args:
        store: that takes the files.
        folder: of the files in the store.
        schema: of the rows.
        stack: closes the files.

    """

    def __init__(self, store: Store, folder: str, schema: pa.Schema, stack: ExitStack) -> None:
        self._store = store
        self._folder = folder
        self._schema = schema
        self._stack = stack
        self._held: list[pa.Table] = []
        self._partitions: list[np.ndarray] = []
        self._held_bytes = 0
        self._sinks: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
        self.written: dict[int, Written] = {}
        """The file of each partition that got any rows."""

    def add(self, rows: pa.Table, partitions: np.ndarray) -> None:
        """Take rows, and the partition of each."""
        self._held.append(rows)
        self._partitions.append(partitions)
        self._held_bytes += rows.nbytes
        if self._held_bytes >= _HELD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        if not self._held_bytes:
            return
        for partition, rows in deal_out(self._held, self._partitions):
            self._sink(partition).write_table(rows, max_chunksize=_BATCH_ROWS)
            self.written[partition].rows += rows.num_rows
        self._held, self._partitions, self._held_bytes = [], [], 0

    def _sink(self, partition: int) -> pa.ipc.RecordBatchStreamWriter:
        if partition not in self._sinks:
            path = f"{self._folder}/{shard_name(partition)}.arrow"
            written = self._stack.enter_context(self._store.write(path))
            file = self._stack.enter_context(pa.BufferedOutputStream(pa.PythonFile(written.file, mode="w"), _BUFFER))
            sink = pa.ipc.new_stream(file, self._schema, options=PACKED)
            self.written[partition] = written
            self._sinks[partition] = self._stack.enter_context(sink)
        return self._sinks[partition]


def receipts(rows: Dealer, facts: Dealer) -> pa.Table:
    """Return rows of `PULLED`, once the files are closed."""
    partitions = [
        {
            "partition": partition,
            "path": rows.written[partition].path,
            "rows": rows.written[partition].rows,
            "sha256": rows.written[partition].sha256,
            "facts_path": facts.written[partition].path,
            "facts_sha256": facts.written[partition].sha256,
        }
        for partition in sorted(rows.written)
    ]
    return pa.Table.from_pylist(partitions, schema=PULLED.schema)


def captioned_images(context: Context, key: str) -> list[str]:
    """Return the URLs of a partition's images that have a caption in any of their rows, sorted."""
    captioned: set[str] = set()
    fields = [FACTS.get_field_index(name) for name in (KEY, "captioned")]
    for facts in _as_dealt_out(context, key, "facts_path", fields):
        captioned.update(facts.column(KEY).filter(facts.column("captioned")).to_pylist())
    return sorted(captioned)


def facts_of(context: Context, key: str, urls: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the facts about some images of a partition in ranges of their URLs; see `rows_of`."""
    yield from _by_range(_as_dealt_out(context, key, "facts_path"), urls, FACTS)


def rows_of(context: Context, key: str, urls: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the rows of some images of a partition in the order of their URLs, all rows of an image in one table.

    A partition of the whole WIT has 400 MB of rows, one that half of the images happen to fall into much more. So the
    rows are dealt out to ranges of URLs, on disk where they are many, and sorted range by range.

    Args:
        context: of the run.
        key: of the partition.
        urls: of the images, sorted.

    Returns:
        Rows of `ROW`.

    Raises:
        StoreError: the rows are not there.

    """
    order = [(column, "ascending") for column in _ORDER]
    for part in _by_range(_as_dealt_out(context, key, "path"), urls, DEALT_ROW):
        rows = pa.concat_tables(_unpacked(batch) for batch in part.to_batches(_BATCH_ROWS))
        yield rows.take(pc.sort_indices(rows.append_column("cells", part.column("cells")), order))


def _by_range(dealt: Iterable[pa.RecordBatch], urls: Sequence[str], schema: pa.Schema) -> Iterator[pa.Table]:
    images = max(_RANGE_IMAGES, math.ceil(len(urls) / _RANGES))
    range_of = {url: place // images for place, url in enumerate(urls)}
    with Spill(schema) as spill:
        for batch in dealt:
            spill.add(pa.Table.from_batches([batch]), [range_of.get(url) for url in batch.column(KEY).to_pylist()])
        yield from spill.parts()


def _as_dealt_out(
    context: Context, key: str, column: str, fields: Sequence[int] | None = None
) -> Iterator[pa.RecordBatch]:
    options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
    partition = shard_keys(context).index(key)
    for table in (table_path(PULLED.name, file) for file in wit_keys(context)):
        with context.store.open(table) as written:
            dealt = pq.ParquetFile(written).read(columns=["partition", column], use_threads=False)
        for path in dealt.filter(pc.equal(dealt.column("partition"), partition)).column(column).to_pylist():
            if not context.store.exists(path):
                raise StoreError(
                    f"{context.store.locate(path)} is not there any more: remove {table}, too, and pull_rows makes both"
                )
            with context.store.open(path) as file, pa.ipc.open_stream(file, options=options) as stream:
                yield from stream
