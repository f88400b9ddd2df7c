"""WIT's rows as pull_rows deals them out: a file for each WIT file and partition, whose rows stand as they were read.

A row is written once. Whoever wants the rows of some images sorts them while reading, a range of images at a time: that
costs less than to write, and to keep, a sorted copy of half a gigabyte for each of 200 partitions.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.engine.step import WORK, Context, shard_keys, shard_name, table_path
from pipelines.errors import StoreError
from pipelines.storage.spill import PACKED, Spill, deal_out
from pipelines.storage.store import Store, Written
from pipelines.tables import IMAGES, KEY, PULLED, ROW

_HELD_BYTES = 64 << 20  # rows held before they are dealt out: batches of some 300 KB with 200 partitions
_BATCH_ROWS = 1024  # rows that are read at a time where a partition gets many: 2 MB
_RANGE_IMAGES = 512  # images whose rows are sorted at a time: some 3,000 rows of WIT's, 7 MB
_RANGES = 128  # at most: each may be a file that is open; a partition of a release of all of WIT has 64
_ORDER = (
    *(KEY, "language", "page_url", "hierarchical_section_title", "caption_reference_description", "wit_image_url"),
    "row_sha256",
)
"""By content, so that the same rows from differently cut files come in the same order."""


def wit_keys(context: Context) -> list[str]:
    """Return a key for each WIT file, in the order of the settings."""
    return [f"file-{index:05d}" for index in range(len(context.config.wit_files))]


WIT_ROWS = (IMAGES.columns(KEY, "wit_rows_sha256"), PULLED.columns(keys=wit_keys))
"""What a step reads that takes the rows of its partition: the images tell by a digest what their rows say."""


class Dealer:
    """Deals rows out to partitions: keeps a file open for each; rows wait in memory until there are enough to go round.

    Args:
        store: that takes the files.
        key: of the WIT file.
        stack: closes the files.

    """

    def __init__(self, store: Store, key: str, stack: ExitStack) -> None:
        self._store = store
        self._key = key
        self._stack = stack
        self._held: list[pa.Table] = []
        self._partitions: list[np.ndarray] = []
        self._held_bytes = 0
        self._written: dict[int, Written] = {}
        self._sinks: dict[int, pa.ipc.RecordBatchStreamWriter] = {}

    def add(self, rows: pa.Table, partitions: np.ndarray) -> None:
        """Take rows of the schema `ROW`, and the partition of each."""
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
            self._written[partition].rows += rows.num_rows
        self._held, self._partitions, self._held_bytes = [], [], 0

    def _sink(self, partition: int) -> pa.ipc.RecordBatchStreamWriter:
        if partition not in self._sinks:
            path = f"{WORK}/{PULLED.name}/{self._key}.rows/{shard_name(partition)}.arrow"
            written = self._stack.enter_context(self._store.write(path))
            sink = pa.ipc.new_stream(pa.PythonFile(written.file, mode="w"), ROW, options=PACKED)
            self._written[partition] = written
            self._sinks[partition] = self._stack.enter_context(sink)
        return self._sinks[partition]

    def receipts(self) -> pa.Table:
        """Return rows of `PULLED`, once the files are closed."""
        rows = [
            {"partition": partition, "path": written.path, "rows": written.rows, "sha256": written.sha256}
            for partition, written in sorted(self._written.items())
        ]
        return pa.Table.from_pylist(rows, schema=PULLED.schema)


def captioned_images(context: Context, key: str) -> list[str]:
    """Return the URLs of a partition's images that have a caption in any of their rows, sorted."""
    captioned: set[str] = set()
    for rows in _as_dealt_out(context, key, [KEY, "captioned"]):
        captioned.update(rows.column(KEY).filter(rows.column("captioned")).to_pylist())
    return sorted(captioned)


def rows_of(context: Context, key: str, urls: Sequence[str], columns: Sequence[str] = ROW.names) -> Iterator[pa.Table]:
    """Yield the rows of some images of a partition in the order of their URLs, all rows of an image in one table.

    A partition of the whole WIT has 400 MB of rows, one that half of the images happen to fall into much more. So the
    rows are dealt out to ranges of URLs, on disk where they are many, and sorted range by range.

    Args:
        context: of the run.
        key: of the partition.
        urls: of the images, sorted.
        columns: some of those of `ROW`; must hold the URL.

    Raises:
        StoreError: the rows are not there.

    """
    images = max(_RANGE_IMAGES, math.ceil(len(urls) / _RANGES))
    range_of = {url: place // images for place, url in enumerate(urls)}
    order = [(column, "ascending") for column in _ORDER if column in columns]
    with Spill(pa.schema([ROW.field(name) for name in columns])) as spill:
        for rows in _as_dealt_out(context, key, columns):
            spill.add(rows, [range_of.get(url) for url in rows.column(KEY).to_pylist()])
        yield from (part.take(pc.sort_indices(part, order)) for part in spill.parts())


def _as_dealt_out(context: Context, key: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    options = pa.ipc.IpcReadOptions(included_fields=[ROW.get_field_index(name) for name in columns], use_threads=False)
    partition = shard_keys(context).index(key)
    for table in (table_path(PULLED.name, file) for file in wit_keys(context)):
        with context.store.open(table) as receipts:
            dealt = pq.ParquetFile(receipts).read(columns=["partition", "path"], use_threads=False)
        for path in dealt.filter(pc.equal(dealt.column("partition"), partition)).column("path").to_pylist():
            if not context.store.exists(path):
                raise StoreError(
                    f"{context.store.locate(path)} is not there any more: remove {table}, too, and pull_rows makes both"
                )
            with context.store.open(path) as file, pa.ipc.open_stream(file, options=options) as stream:
                for batch in stream:
                    yield pa.Table.from_batches([batch]).select(columns)
