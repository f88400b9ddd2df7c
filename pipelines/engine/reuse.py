"""Takes over rows that an earlier run made: of the partition's finished table, and of what a killed run had saved.

A row is found by its key and taken over if its identity is the same and it is not pending; so a resumed run, a refresh
and a second try of failed downloads are one and the same thing.
"""

import itertools
import operator
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.engine.fingerprint import read_made
from pipelines.engine.step import RowStep
from pipelines.storage.store import Store
from pipelines.tables import KEY

_Place = tuple[int, int, int]  # file, row group, row in it


class Previous:
    """The rows of earlier runs with the same recipe. A context manager: it holds files open.

    Args:
        store: where the files are.
        step: the step whose rows they are.
        recipe: files made by another one are ignored.
        paths: files to look in; a row that stands in several is taken from the last.
        again: keys of rows that are not to be taken over.

    """

    def __init__(self, store: Store, step: RowStep, recipe: str, paths: list[str], again: frozenset[str]) -> None:
        self._stack = ExitStack()
        self._files: list[pq.ParquetFile] = []
        self._places: dict[str, tuple[_Place, tuple[Any, ...]]] = {}
        self._cached: tuple[tuple[int, int], pa.Table] | None = None
        self._step = step
        self._again = again
        for path in paths:
            made = read_made(store, path)
            if made is not None and made.recipe == recipe:
                file = self._stack.enter_context(store.open(path))
                self._files.append(pq.ParquetFile(file, pre_buffer=False))
                self._index(len(self._files) - 1)

    def __enter__(self) -> "Previous":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files."""
        self._stack.close()

    def _index(self, number: int) -> None:
        file = self._files[number]
        pending = self._step.pending
        columns = [KEY, *self._step.identity, *([pending[0]] if pending else [])]
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, columns=columns)
            keys = rows.column(KEY).to_pylist()
            identities = zip(*(rows.column(name).to_pylist() for name in self._step.identity), strict=True)
            identity = list(identities) if self._step.identity else [()] * len(keys)
            marks = rows.column(pending[0]).to_pylist() if pending else [None] * len(keys)
            for row, key in enumerate(keys):
                if pending is None or marks[row] != pending[1]:
                    self._places[key] = ((number, group, row), identity[row])

    def take(self, rows: pa.Table) -> tuple[pa.Table | None, list[bool]]:
        """Find the rows that need not be made again.

        Args:
            rows: input rows, with the key and the identity columns.

        Returns:
            The output rows that are taken over (None: there are none), and for each input row whether it is to be made.

        """
        if not self._places:
            return None, [True] * rows.num_rows
        keys = rows.column(KEY).to_pylist()
        wanted = [rows.column(name).to_pylist() for name in self._step.identity]
        found: list[_Place] = []
        missing: list[bool] = []
        for row, key in enumerate(keys):
            known = self._places.get(key)
            identity = tuple(column[row] for column in wanted)
            same = known is not None and known[1] == identity and None not in identity and key not in self._again
            missing.append(not same)
            if known is not None and same:
                found.append(known[0])
        return (pa.concat_tables(list(self._read(found))) if found else None), missing

    def _read(self, places: list[_Place]) -> Iterator[pa.Table]:
        for group, rows in itertools.groupby(places, key=operator.itemgetter(0, 1)):
            if self._cached is None or self._cached[0] != group:
                self._cached = (group, self._files[group[0]].read_row_group(group[1]))
            yield self._cached[1].take(pa.array([row for _, _, row in rows]))
