"""What a stage declares and what it is handed: steps, and the task that runs one on a partition.

A step makes one table, partition by partition. It declares what it reads, which settings it depends on, and what it
needs; the engine does the rest. There are two kinds: a `PartitionStep` turns whole partitions into whole partitions; a
`RowStep` makes one row out of one row, so that the engine can also resume in the middle of a partition and take over
single rows from an earlier run.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import zip_longest
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.commons.politeness import Leases
from pipelines.config import ReleaseConfig
from pipelines.errors import StoreError
from pipelines.storage.store import Store, Written
from pipelines.tables import KEY, Reads, Table

WORK = "work"
FILES_FOLDER = f"{WORK}/files"
RELEASES = "releases"


class Needs(StrEnum):
    """What a step needs of the worker that runs it; also the name of the Airflow pool for what is scarce."""

    CPU = "cpu"
    GPU = "gpu"
    COMMONS_MEDIA = "commons_media"
    COMMONS_API = "commons_api"


def release_path(version: str, path: str) -> str:
    """Return the path in the store of a file of a release."""
    return f"{RELEASES}/{version}/{path}"


@dataclass(frozen=True, slots=True)
class Context:
    """What all partitions of a run share. It travels to the workers.

    Args:
        config: the settings.
        version: name of the release being made.
        store: where everything is.
        observation: names the moment at which the world was looked at. What Commons said belongs to one observation:
            a resumed run goes on with it, the next release asks again.
        base: the published release that this one follows and is compared with; empty: it is the first.

    """

    config: ReleaseConfig
    version: str
    store: Store
    observation: str
    base: str = ""


def shard_name(index: int) -> str:
    """Return the key of a partition, which is also the stem of its shard's file name."""
    return f"part-{index:05d}"


ALL = "all"
"""The key of a table that has one partition for all images."""


def one_key(context: Context) -> list[str]:
    """Return the key of a table that is not cut by image."""
    return [ALL]


def shard_keys(context: Context) -> list[str]:
    """Return the keys of all partitions."""
    return [shard_name(index) for index in range(context.config.partitions)]


def table_path(name: str, key: str) -> str:
    """Return where a partition of a table between stages is kept."""
    return f"{WORK}/{name}/{key}.parquet"


LeasesFor = Callable[[Literal["media", "api"]], Leases]
"""Gives the connections to Commons that a step may use, counted over all workers."""


@dataclass(slots=True)
class Task:
    """One step on one partition: its inputs, its settings, and what it reports.

    Args:
        context: what all partitions share.
        step: which one.
        key: of the partition.
        progress: told how many rows were made or taken over; may raise to end a task that nobody waits for.
        leases: the connections to Commons that may be used.
        device: where a network runs: cuda on a worker that offers a GPU, else cpu; auto takes what there is.
        counts: what the step counted, for the summary.
        files: what the step wrote into the release.
        bytes_written: to the store, so far.

    """

    context: Context
    step: "Step"
    key: str
    progress: Callable[[int], None]
    leases: LeasesFor
    device: str = "auto"
    counts: Counter[str] = field(default_factory=Counter)
    files: list[Written] = field(default_factory=list)
    bytes_written: int = 0

    @property
    def config(self) -> ReleaseConfig:
        """The settings of the run."""
        return self.context.config

    def _input(self, table: Table) -> Reads:
        return next(reads for reads in self.step.reads if reads.table == table)

    def _keys(self, reads: Reads) -> Sequence[str]:
        return [self.key] if reads.keys is None else reads.keys(self.context)

    def batches(self, table: Table, rows: int = 1024) -> Iterator[pa.RecordBatch]:
        """Stream an input in batches of at most `rows`; otherwise as `table` returns it."""
        reads = self._input(table)
        for key in self._keys(reads):
            with self.context.store.open(table_path(table.name, key)) as file:
                yield from _stream(file, rows, [*reads.columns])

    def aligned(self, tables: Sequence[Table], rows: int) -> Iterator[pa.Table]:
        """Stream inputs that have the same images in the same order, their declared columns side by side.

        Yields:
            Tables of `rows` rows, the last one of what is left.

        Raises:
            StoreError: the inputs hold different images.

        """
        with contextlib.ExitStack() as stack:
            streams = []
            for table in tables:
                file = stack.enter_context(self.context.store.open(table_path(table.name, self.key)))
                columns = list(dict.fromkeys([KEY, *self._input(table).columns]))
                streams.append(regrouped(_stream(file, rows, columns), rows))
            for parts in zip_longest(*streams):
                keys = [None if part is None else part.column(KEY) for part in parts]
                joined = parts[0]
                for part, key, table in zip(parts[1:], keys[1:], tables[1:], strict=True):
                    if key is None or key != keys[0]:
                        raise StoreError(
                            f"{self.step.name}: {table.name} and {tables[0].name} hold different images in {self.key}; "
                            f"run their stages again"
                        )
                    for name in part.schema.names:
                        if name != KEY:
                            joined = joined.append_column(part.schema.field(name), part.column(name))
                yield joined

    def table(self, table: Table) -> pa.Table:
        """Return an input whole: the declared columns of this partition, or of all the partitions that it names."""
        reads = self._input(table)
        parts = []
        for key in self._keys(reads):
            with self.context.store.open(table_path(table.name, key)) as file:
                parts.append(pq.ParquetFile(file, pre_buffer=False).read(columns=[*reads.columns], use_threads=False))
        # How the input was made is no part of what it says.
        return pa.concat_tables(parts).select([*reads.columns]).replace_schema_metadata(None)

    @contextlib.contextmanager
    def file(self, path: str) -> Iterator[Written]:
        """Write a file of the release, whole or not at all; its receipt is added to ``files``."""
        with self.context.store.write(f"{FILES_FOLDER}/{path}") as written:
            yield written
            self.disown()
        self.files.append(written)
        self.bytes_written += written.bytes

    def disown(self) -> None:
        """Remove the partition's table before files that it vouches for are replaced: the run may be killed halfway."""
        self.context.store.remove(table_path(self.step.name, self.key))


def _stream(file: IO[bytes], rows: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Read a table in batches of at most so many rows, in this thread.

    The engine gives each core a partition; threads of Arrow's would only take memory, a heap for each of them.
    """
    whole = pq.ParquetFile(file, pre_buffer=False)
    for batch in whole.iter_batches(batch_size=rows, columns=columns, use_threads=False):
        yield batch.select(columns)


def regrouped(parts: Iterable[pa.RecordBatch | pa.Table], rows: int) -> Iterator[pa.Table]:
    """Yield tables of exactly so many rows, however they come; the last one has what is left."""
    held: pa.Table | None = None
    for part in parts:
        table = pa.Table.from_batches([part]) if isinstance(part, pa.RecordBatch) else part
        held = table if held is None else pa.concat_tables([held, table])
        while held.num_rows >= rows:
            yield held.slice(0, rows).combine_chunks()
            held = held.slice(rows)
    if held is not None and held.num_rows:
        yield held.combine_chunks()


Depends = Callable[[Context, str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What every step declares.

    Args:
        writes: its table. A table is written by one step only.
        reads: its inputs.
        settings: names of the ReleaseConfig fields that change its result.
        revision: raised whenever the code changes what comes out.
        needs: what it needs of a worker.
        observes: it looks at the world, so its result belongs to one observation.
        depends: further facts that its result depends on (a model's checksum, a file's identity).
        keys: its partitions.
        count_by: the column whose values are counted for the run's summary.
        row_group: rows in a row group of its table.

    """

    writes: Table
    reads: tuple[Reads, ...] = ()
    settings: tuple[str, ...] = ()
    revision: int = 1
    needs: Needs = Needs.CPU
    observes: bool = False
    depends: Depends | None = None
    keys: Callable[[Context], Sequence[str]] = shard_keys
    count_by: str | None = None
    row_group: int = 1024

    @property
    def name(self) -> str:
        """The name of its table."""
        return self.writes.name


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionStep(Step):
    """Makes a partition as a stream of batches, sorted by the table's key."""

    run: Callable[[Task], Iterator[pa.RecordBatch | pa.Table]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStep(Step):
    """Writes files of the release for a partition, through ``Task.file``; its table (`files_table`) holds receipts."""

    run: Callable[[Task], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowStep(Step):
    """Makes one row out of one row.

    Its inputs have the same rows in the same order; `run` is handed their columns side by side, some rows at a time,
    and returns one row for each. A row is taken over from an earlier run if that run had the same settings, the row's
    `identity` columns are the same, and it is not pending.

    Args:
        run: rows of the inputs to rows of the output.
        slice_rows: rows that are handed over at a time. A killed run loses no more than that; it is also the row group.
        identity: columns that stand both in the inputs and in the output, and on which the output depends alone.
        pending: column and value that mark a row as not done: the next run tries it again.
        again: keys of rows of a partition that are to be made again although nothing changed for them.

    """

    run: Callable[[Task, pa.Table], pa.Table]
    slice_rows: int = 1024
    identity: tuple[str, ...] = ()
    pending: tuple[str, str] | None = None
    again: Callable[[Context, str], frozenset[str]] | None = None
