"""Makes one partition of one step's table, on a worker. This is what the engine submits to Dask."""

import functools
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.engine.fingerprint import Made, fingerprint, read_made, recipe
from pipelines.engine.reuse import Previous
from pipelines.engine.step import (
    FILES_FOLDER,
    WORK,
    Context,
    FileStep,
    LeasesFor,
    PartitionStep,
    RowStep,
    Step,
    Task,
    release_path,
    table_path,
)
from pipelines.engine.writer import open_writer
from pipelines.errors import NotThere
from pipelines.storage.store import Store
from pipelines.tables import KEY

log = logging.getLogger(__name__)

BYTES_WRITTEN = "bytes_written"
"""To the store: tables between stages and files of the release."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a partition: `fresh` rows were made now, the others stood already.

    `effort` is what that took, in numbers that are another time others, so they are kept with the run and never with
    what was made.
    """

    key: str
    rows: int
    fresh: int
    pending: int
    counts: dict[str, int]
    seconds: float
    skipped: bool
    effort: Mapping[str, float] = field(default_factory=dict)


def make_partition(
    context: Context,
    step: Step,
    key: str,
    progress: Callable[[int], None],
    leases: LeasesFor,
    device: str = "auto",
) -> Receipt:
    """Make a partition unless it is done; the arguments are those of a ``Task``.

    Raises:
        StoreError: an input is missing, or the store refuses a write.
        Exception: whatever the step raises; nothing half-made stays.

    """
    stands = standing(context, step, key)
    if stands is not None:
        return stands
    started = time.monotonic()
    path = table_path(step.name, key)
    this_recipe = recipe(context, step, key)
    wanted = fingerprint(context, step, key, this_recipe)
    task = Task(context, step, key, progress, leases, device)
    if isinstance(step, RowStep):
        made, fresh = _make_rows(task, step, path, wanted, this_recipe)
    elif isinstance(step, PartitionStep):
        made = _make_whole(task, path, wanted, this_recipe, step.run(task))
        fresh = made.rows
    elif isinstance(step, FileStep):
        step.run(task)
        made = _make_whole(task, path, wanted, this_recipe, iter([_file_receipts(task)]))
        fresh = made.rows
    else:
        raise TypeError(f"{step.name} is of no known kind of step")
    _place_files(context, step, path)
    seconds = time.monotonic() - started
    effort = {BYTES_WRITTEN: task.bytes_written}
    return Receipt(key, made.rows, fresh, made.pending, dict(made.counts), seconds, skipped=False, effort=effort)


def standing(context: Context, step: Step, key: str) -> Receipt | None:
    """Return the receipt of a partition that is done, after putting its files into the release; None: it is not done.

    Raises:
        StoreError: an input is missing, or the store refuses a write.

    """
    started = time.monotonic()
    made = read_made(context.store, table_path(step.name, key))
    if made is None or not _is_done(context, step, key, made):
        return None
    _place_files(context, step, table_path(step.name, key))
    return Receipt(key, made.rows, 0, 0, dict(made.counts), time.monotonic() - started, skipped=True)


def is_done(context: Context, step: Step, key: str) -> bool:
    """Say whether `make_partition` would find nothing to do."""
    made = read_made(context.store, table_path(step.name, key))
    try:
        return made is not None and _is_done(context, step, key, made)
    except NotThere:  # an input
        return False


def _is_done(context: Context, step: Step, key: str, made: Made) -> bool:
    if made.pending or made.fingerprint != fingerprint(context, step, key, recipe(context, step, key)):
        return False
    return not _again(context, step, key) and _files_are_there(context.store, step, table_path(step.name, key))


def _again(context: Context, step: Step, key: str) -> frozenset[str]:
    return step.again(context, key) if isinstance(step, RowStep) and step.again else frozenset()


def written_files(store: Store, path: str) -> list[tuple[str, int]]:
    """Return what a step that writes files noted of a partition: path below `FILES_FOLDER`, and bytes."""
    return _read_receipts(store, path, tuple(store.identity(path).values()))


@functools.lru_cache(maxsize=4096)
def _read_receipts(store: Store, path: str, identity: tuple[Any, ...]) -> list[tuple[str, int]]:
    with store.open(path) as file:
        receipts = pq.ParquetFile(file).read(columns=["path", "bytes"], use_threads=False).to_pylist()
    return [(receipt["path"], receipt["bytes"]) for receipt in receipts]


def _files_are_there(store: Store, step: Step, path: str) -> bool:
    """A step that writes files is done only while each is still there in its size."""
    if not isinstance(step, FileStep):
        return True
    files = [(f"{FILES_FOLDER}/{name}", size) for name, size in written_files(store, path)]
    return all(store.exists(file) and store.size(file) == size for file, size in files)


def _place_files(context: Context, step: Step, path: str) -> None:
    """Put a step's files into the release, without copying where the file system can; other releases may share them."""
    if isinstance(step, FileStep):
        for name, _ in written_files(context.store, path):
            context.store.link(f"{FILES_FOLDER}/{name}", release_path(context.version, name))


def _make_whole(
    task: Task, path: str, wanted: str, this_recipe: str, batches: Iterator[pa.RecordBatch | pa.Table]
) -> Made:
    with open_writer(task.context.store, path, task.step) as writer:
        for batch in batches:
            writer.write(batch)
        made = writer.finish(wanted, this_recipe, task.counts)
    task.bytes_written += writer.bytes
    return made


def _file_receipts(task: Task) -> pa.Table:
    prefix = f"{FILES_FOLDER}/"
    rows = [
        {
            "path": written.path.removeprefix(prefix),
            "rows": written.rows,
            "bytes": written.bytes,
            "sha256": written.sha256,
        }
        for written in task.files
    ]
    return pa.Table.from_pylist(rows, schema=task.step.writes.schema)


def _make_rows(task: Task, step: RowStep, path: str, wanted: str, this_recipe: str) -> tuple[Made, int]:
    """Make a partition slice by slice; finished slices are saved at once, so a killed run goes on from there."""
    store = task.context.store
    saved_folder = f"{WORK}/{step.name}/{task.key}.saved"
    saved = store.files(saved_folder)
    fresh_rows = 0
    with (
        Previous(store, step, this_recipe, [path, *saved], _again(task.context, step, task.key)) as previous,
        open_writer(store, path, step) as writer,
    ):
        slices = _look_ahead(task.aligned([reads.table for reads in step.reads], step.slice_rows))
        for number, (rows, is_last) in enumerate(slices):
            taken, missing = previous.take(rows)
            parts = [taken] if taken is not None else []
            if any(missing):
                fresh = step.run(task, rows.filter(pa.array(missing)))
                fresh = fresh.select(step.writes.schema.names).cast(step.writes.schema)
                if fresh.num_rows != sum(missing):
                    raise ValueError(f"{step.name} made {fresh.num_rows} rows out of {sum(missing)}")
                if not is_last:
                    _save(store, f"{saved_folder}/{len(saved) + number:06d}.parquet", step, fresh, this_recipe)
                fresh_rows += fresh.num_rows
                parts.append(fresh)
            # Rows that were taken over come in the order of the inputs; a step may return its rows in any.
            writer.write(pa.concat_tables(parts).sort_by(KEY) if any(missing) else pa.concat_tables(parts))
            task.progress(rows.num_rows)
        made = writer.finish(wanted, this_recipe, task.counts)
    task.bytes_written += writer.bytes
    for name in store.files(saved_folder):
        store.remove(name)
    return made, fresh_rows


def _save(store: Store, path: str, step: RowStep, rows: pa.Table, this_recipe: str) -> None:
    with open_writer(store, path, step) as writer:
        writer.write(rows)
        writer.finish("", this_recipe, Counter())


def _look_ahead(slices: Iterator[pa.Table]) -> Iterator[tuple[pa.Table, bool]]:
    current = next(slices, None)
    while current is not None:
        following = next(slices, None)
        yield current, following is None
        current = following
