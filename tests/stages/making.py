"""Small WIT files and contexts for tests of single stages."""

import gzip
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import pulled
from pipelines.commons.names import ImageUrl, original_url
from pipelines.config import ReleaseConfig
from pipelines.engine.step import Context, PartitionStep, shard_keys, table_path
from pipelines.engine.writer import open_writer
from pipelines.storage.store import Store
from pipelines.tables import ROW, WIT_COLUMNS, Table

NOWHERE = {"origin": "demo", "media_url": "http://127.0.0.1:9", "api_url": "http://127.0.0.1:9/w/api.php"}


def context(store: Store, *wit_files: str, **settings: object) -> Context:
    values = {**NOWHERE, "store": store.url, "partitions": 4, **settings}
    if wit_files:
        values["wit_files"] = list(wit_files)
    return Context(ReleaseConfig.parse(values), "2026.01.01", store, observation="2026.01.01")


def url_of(name: str) -> str:
    return original_url(ImageUrl("commons", name))


def write_wit(path: Path, *rows: dict[str, str] | bytes) -> str:
    """Write a WIT file, the same bytes for the same rows; rows that are bytes are written as they are."""
    lines = ["\t".join(WIT_COLUMNS).encode()]
    for row in rows:
        fields = row if isinstance(row, bytes) else "\t".join(row.get(name, "") for name in WIT_COLUMNS).encode()
        lines.append(fields)
    data = b"\n".join(lines) + b"\n"
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return str(path)


def read_table(context: Context, table: Table) -> pa.Table:
    """Return a table of all partitions, in their order."""
    parts = []
    for index in range(context.config.partitions):
        with context.store.open(table_path(table.name, f"part-{index:05d}")) as file:
            parts.append(pq.read_table(file))
    return pa.concat_tables(parts)


def read_rows(context: Context) -> pa.Table:
    """Return WIT's rows of the selected images of all partitions, in their order."""
    parts = [ROW.empty_table()]
    for key in shard_keys(context):
        parts += pulled.rows_of(context, key, pulled.captioned_images(context, key))
    return pa.concat_tables(parts)


def write_table(context: Context, table: Table, rows: pa.Table, key: str = "part-00000") -> None:
    """Write a partition of a table that a stage before would have made."""
    write_table_in_parts(context, table, iter([rows]), key)


def write_table_in_parts(
    context: Context, table: Table, parts: Iterator[pa.Table], key: str = "part-00000", row_group: int = 1024
) -> None:
    """Write a large partition of a table, part by part."""
    step = PartitionStep(writes=table, run=lambda task: iter(()), row_group=row_group)
    with open_writer(context.store, table_path(table.name, key), step) as writer:
        for rows in parts:
            writer.write(rows)
        writer.finish("", "", Counter())


def nulls(table: Table, **columns: pa.Array) -> pa.Table:
    """Return rows of a table with these columns; the others are null."""
    length = len(next(iter(columns.values())))
    return pa.table({name: columns.get(name, pa.nulls(length)) for name in table.schema.names}).cast(table.schema)


def rows_of(table: Table, rows: list[dict[str, object]]) -> pa.Table:
    """Return rows of a table; what they do not name is null."""
    return pa.Table.from_pylist(rows, schema=table.schema)
