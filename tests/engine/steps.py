"""A pipeline of three small steps to try the engine on: numbers, their squares (row by row), and a file of them."""

import threading
from collections.abc import Iterator

import pyarrow as pa

from pipelines.config import ReleaseConfig
from pipelines.engine.step import Context, FileStep, PartitionStep, RowStep, Task
from pipelines.errors import InputError
from pipelines.storage.store import Store
from pipelines.tables import KEY, Table, files_table

NUMBERS = Table("numbers", pa.schema([(KEY, pa.string()), ("number", pa.int64()), ("note", pa.string())]))
SQUARES = Table(
    "squares",
    pa.schema(
        [
            (KEY, pa.string()),
            ("number", pa.int64()),
            ("status", pa.string()),
            ("value", pa.int64()),
            ("square", pa.binary()),
        ]
    ),
    frozenset({"square"}),
)
SQUARE_FILES = files_table("square_files")

calls: list[int] = []
"""The numbers that were squared, in order."""
fails: dict[int, str] = {}
"""What happens to a number: "refuse" makes its row pending, "crash" raises, "lock" raises what cannot be pickled."""
ITS_FILE = -1
"""Stands in `fails` for what the last step writes."""
notes: dict[int, str] = {}
numbers: list[int] = []


def reset(count: int) -> None:
    calls.clear()
    fails.clear()
    notes.clear()
    numbers[:] = range(count)


def context(store: Store, **settings: object) -> Context:
    config = ReleaseConfig.parse(
        {"origin": "demo", "media_url": "http://127.0.0.1", "api_url": "http://127.0.0.1", "partitions": 2, **settings}
    )
    return Context(config, "2026.01.01", store, observation="first")


def _numbers(task: Task) -> Iterator[pa.Table]:
    shard = int(task.key[-1])
    mine = [number for number in numbers if number % 2 == shard]
    rows = [{KEY: f"{number:06d}", "number": number, "note": notes.get(number, "")} for number in mine]
    yield pa.Table.from_pylist(rows, schema=NUMBERS.schema)


def _square(task: Task, rows: pa.Table) -> pa.Table:
    made = []
    for row in rows.to_pylist():
        number = row["number"]
        if fails.get(number) == "crash":
            raise RuntimeError(f"no square of {number}")
        if fails.get(number) == "lock":
            try:
                raise OSError("locked", threading.Lock())
            except OSError as error:
                raise InputError(f"no square of {number}") from error
        calls.append(number)
        status = "pending" if fails.get(number) == "refuse" else "done"
        value = number**2 * int(task.config.face_threshold * 10)
        made.append({KEY: row[KEY], "number": number, "status": status, "value": value, "square": str(value).encode()})
    return pa.Table.from_pylist(made, schema=SQUARES.schema)


def _write(task: Task) -> None:
    with task.file(f"squares/{task.key}.txt") as written:
        for batch in task.batches(SQUARES):
            for square in batch.column("square").to_pylist():
                written.file.write(square + b"\n")
                written.rows += 1
    if fails.get(ITS_FILE) == "crash":
        raise RuntimeError(f"{written.path} is written, and not yet noted")


def _world(context: Context, key: str) -> dict[str, object]:
    return {"numbers": [*numbers], "notes": sorted(notes.items())}


MAKE_NUMBERS = PartitionStep(writes=NUMBERS, run=_numbers, depends=_world)
SQUARE = RowStep(
    writes=SQUARES,
    run=_square,
    reads=(NUMBERS.columns(KEY, "number"),),
    settings=("face_threshold",),
    slice_rows=4,
    identity=("number",),
    pending=("status", "pending"),
    count_by="status",
)
WRITE = FileStep(writes=SQUARE_FILES, run=_write, reads=(SQUARES.columns(KEY, "value", "square"),))
STEPS = (MAKE_NUMBERS, SQUARE, WRITE)
