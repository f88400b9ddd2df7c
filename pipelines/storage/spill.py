"""Rows that may not fit into memory, dealt out into parts: held while they are few, then kept in temporary files."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

_HELD_BYTES = 192 << 20


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
        self._held: dict[int, list[pa.Table]] = {}
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
        order = np.argsort(numbers, kind="stable")
        found, starts = np.unique(numbers[order], return_index=True)
        ends = [*starts[1:].tolist(), len(order)]
        for part, start, end in zip(found.tolist(), starts.tolist(), ends, strict=True):
            if part >= 0:
                taken = rows.take(pa.array(order[start:end]))
                self._held.setdefault(part, []).append(taken)
                self._held_bytes += taken.nbytes
        if self._held_bytes > self._limit:
            self._write()

    def _write(self) -> None:
        for part, tables in self._held.items():
            if part not in self._files:
                path = str(self._path(part))
                options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
                self._files[part] = pa.ipc.new_stream(path, self._schema, options=options)
            self._files[part].write_table(pa.concat_tables(tables).combine_chunks())
        self._held, self._held_bytes = {}, 0

    def _path(self, part: int) -> Path:
        return Path(self._folder.name) / f"{part}.arrow"

    def parts(self) -> Iterator[pa.Table]:
        """Yield the rows of each part, in the order of their numbers; within a part they stand as they came."""
        for part in sorted(self._files.keys() | self._held.keys()):
            tables = self._held.pop(part, [])
            if part in self._files:
                self._files.pop(part).close()
                with pa.OSFile(str(self._path(part))) as file, pa.ipc.open_stream(file) as stream:
                    tables = [stream.read_all(), *tables]
                self._path(part).unlink()
            yield pa.concat_tables(tables)
