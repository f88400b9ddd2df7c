"""Rows dealt out into parts; and those that may not fit into memory: held while few, then kept in temporary files."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

_HELD_BYTES = 16 << 20
PACKED = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
"""How rows are kept that are read once or twice: with many columns and few rows at a time, half of Parquet's time."""


def deal_out(tables: Sequence[pa.Table], parts: Sequence[np.ndarray]) -> Iterator[tuple[int, pa.Table]]:
    """Yield the number of each part with its rows, in the order of the numbers; within a part they stand as they came.

    Args:
        tables: one or more, of one schema.
        parts: for each table, the number of the part of each row.

    """
    numbers = np.concatenate(parts)
    order = np.argsort(numbers, kind="stable")
    rows = pa.concat_tables(tables).take(pa.array(order))
    found, starts = np.unique(numbers[order], return_index=True)
    for number, start, end in zip(found.tolist(), starts.tolist(), [*starts.tolist(), len(order)][1:], strict=True):
        yield number, rows.slice(start, end - start)


class Spill:
    """Takes rows, each with the number of its part, and gives them back part by part. A context manager.

    Args:
        schema: of the rows.
        held_bytes: of rows that are kept in memory; beyond it all go to temporary files, one for each part.

    """

    def __init__(self, schema: pa.Schema, held_bytes: int = _HELD_BYTES) -> None:
        self._schema = schema
        self._limit = held_bytes
        self._folder = tempfile.TemporaryDirectory(prefix="wit-release-")
        self._held: list[pa.Table] = []
        self._parts: list[np.ndarray] = []
        self._held_bytes = 0
        self._files: dict[int, pa.ipc.RecordBatchStreamWriter] = {}

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the files."""
        for file in self._files.values():
            file.close()
        self._folder.cleanup()

    def add(self, rows: pa.Table, parts: Sequence[int | None]) -> None:
        """Take rows; those whose part is None are dropped."""
        numbers = np.array([-1 if part is None else part for part in parts], np.int64)
        if numbers.min(initial=0) < 0:
            rows, numbers = rows.filter(pa.array(numbers >= 0)), numbers[numbers >= 0]
        if not rows.num_rows:
            return
        self._held.append(rows)
        self._parts.append(numbers)
        self._held_bytes += rows.nbytes
        if self._held_bytes > self._limit:
            for part, dealt in self._dealt().items():
                self._file(part).write_table(dealt)

    def _dealt(self) -> dict[int, pa.Table]:
        """Return the rows that are held by part, and hold none any more."""
        dealt = dict(deal_out(self._held, self._parts)) if self._held else {}
        self._held, self._parts, self._held_bytes = [], [], 0
        return dealt

    def _file(self, part: int) -> pa.ipc.RecordBatchStreamWriter:
        if part not in self._files:
            self._files[part] = pa.ipc.new_stream(str(self._path(part)), self._schema, options=PACKED)
        return self._files[part]

    def _path(self, part: int) -> Path:
        return Path(self._folder.name) / f"{part}.arrow"

    def parts(self) -> Iterator[pa.Table]:
        """Yield the rows of each part, in the order of their numbers; within a part they stand as they came."""
        held = self._dealt()
        for part in sorted(self._files.keys() | held.keys()):
            yield self._whole(part, held)  # which keeps nothing of it

    def _whole(self, part: int, held: dict[int, pa.Table]) -> pa.Table:
        tables = [held.pop(part)] if part in held else []
        if part in self._files:
            self._files.pop(part).close()
            with pa.OSFile(str(self._path(part))) as file, pa.ipc.open_stream(file) as stream:
                tables.insert(0, stream.read_all())
            self._path(part).unlink()
        return pa.concat_tables(tables)
