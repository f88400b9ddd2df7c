"""Rows that may not fit into memory, dealt out into parts: held while they are few, then kept in temporary files."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

_HELD_BYTES = 64 << 20


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
        if not self._held:
            return {}
        parts = np.concatenate(self._parts)
        order = np.argsort(parts, kind="stable")
        rows = pa.concat_tables(self._held).combine_chunks()
        self._held, self._parts, self._held_bytes = [], [], 0
        rows = rows.take(pa.array(order))
        found, starts = np.unique(parts[order], return_index=True)
        ends = [*starts[1:].tolist(), len(order)]
        return {
            part: rows.slice(start, end - start)
            for part, start, end in zip(found.tolist(), starts.tolist(), ends, strict=True)
        }

    def _file(self, part: int) -> pa.ipc.RecordBatchStreamWriter:
        if part not in self._files:
            options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
            self._files[part] = pa.ipc.new_stream(str(self._path(part)), self._schema, options=options)
        return self._files[part]

    def _path(self, part: int) -> Path:
        return Path(self._folder.name) / f"{part}.arrow"

    def parts(self) -> Iterator[pa.Table]:
        """Yield the rows of each part, in the order of their numbers; within a part they stand as they came."""
        held = self._dealt()
        for part in sorted(self._files.keys() | held.keys()):
            tables = [held.pop(part)] if part in held else []
            if part in self._files:
                self._files.pop(part).close()
                with pa.OSFile(str(self._path(part))) as file, pa.ipc.open_stream(file) as stream:
                    tables.insert(0, stream.read_all())
                self._path(part).unlink()
            yield pa.concat_tables(tables)
