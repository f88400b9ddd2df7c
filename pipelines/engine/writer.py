"""Writes a partition's table: rows are regrouped into row groups of one size, so that equal rows give equal files."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.engine.fingerprint import ColumnDigests, Made
from pipelines.engine.step import RowStep, Step
from pipelines.storage.store import Store, Written
from pipelines.tables import Table


class TableWriter:
    """Collects batches, writes whole row groups, and keeps the digests and counts that end up in the metadata."""

    def __init__(self, step: Step, sink: pq.ParquetWriter, written: Written) -> None:
        self._step = step
        self._written = written
        self._sink = sink
        self._digests = ColumnDigests([name for name in step.writes.schema.names if name not in step.writes.payload])
        self._group = step.slice_rows if isinstance(step, RowStep) else step.row_group
        self._held: list[pa.Table] = []
        self._held_rows = 0
        self.rows = 0
        self.pending = 0
        self.counts: Counter[str] = Counter()

    @property
    def bytes(self) -> int:
        """The size of the file, once it is written."""
        return self._written.bytes

    def write(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Add rows; they are cast to the table's schema."""
        table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        table = table.select(self._step.writes.schema.names).cast(self._step.writes.schema)
        self._held.append(table)
        self._held_rows += table.num_rows
        if self._held_rows >= self._group:
            held = pa.concat_tables(self._held)
            whole = held.num_rows - held.num_rows % self._group
            for start in range(0, whole, self._group):
                self._write_group(held.slice(start, self._group))
            rest = held.slice(whole)
            self._held, self._held_rows = [rest], rest.num_rows

    def _write_group(self, group: pa.Table) -> None:
        group = group.combine_chunks()
        self._sink.write_table(group, row_group_size=self._group)
        self._digests.update(group)
        self.rows += group.num_rows
        if self._step.count_by:
            for value in pc.value_counts(group.column(self._step.count_by)):
                if value["values"].is_valid:
                    self.counts[str(value["values"].as_py())] += value["counts"].as_py()
        if isinstance(self._step, RowStep) and self._step.pending:
            column, mark = self._step.pending
            self.pending += cast(int, pc.sum(pc.equal(group.column(column), mark)).as_py() or 0)

    def finish(self, fingerprint: str, recipe: str, counts: Counter[str]) -> Made:
        """Write what is left and the metadata; return what the metadata says."""
        if self._held_rows or not self.rows:
            held = pa.concat_tables(self._held) if self._held else self._step.writes.schema.empty_table()
            self._write_group(held)
        self.counts.update(counts)
        made = Made(fingerprint, recipe, self.rows, self.pending, self._digests.result(), dict(self.counts))
        self._sink.add_key_value_metadata(made.metadata())
        return made


@contextlib.contextmanager
def open_writer(store: Store, path: str, step: Step) -> Iterator[TableWriter]:
    """Write a partition of a step's table, whole or not at all."""
    with store.write(path) as written, open_sink(written, step.writes) as sink:
        yield TableWriter(step, sink, written)


def open_sink(written: Written, table: Table) -> pq.ParquetWriter:
    """Open a file for the row groups of a table between stages; the caller closes it."""
    # Pictures are compressed already; the rest is text that zstd shrinks four times.
    small = [name for name in table.schema.names if name not in table.payload]
    return pq.ParquetWriter(
        pa.PythonFile(written.file, mode="w"),
        table.schema,
        compression={name: "ZSTD" if name in small else "NONE" for name in table.schema.names},
        use_dictionary=small,
        write_statistics=small,
        write_page_index=True,
    )
