"""When is a partition done? When its file carries the fingerprint that is wanted now.

A fingerprint is made of the step's revision, the settings that it reads, and the *content* of the columns that it
reads. Content rather than recipe: an input that was made again and came out the same changes nothing downstream. A
*recipe* is the fingerprint without the inputs: rows of an earlier run can be taken over while it is the same.
"""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.engine.step import Context, Step, table_path
from pipelines.errors import NotThere, StoreError
from pipelines.storage.store import Store

_METADATA = b"wit_release"


@dataclass(frozen=True, slots=True)
class Made:
    """What a partition's file says of how it was made.

    Args:
        fingerprint: see the module.
        recipe: see the module.
        rows: in the file.
        pending: rows that are to be tried again.
        digests: sha256 of the content of each column that is not payload.
        counts: what the step counted.

    """

    fingerprint: str
    recipe: str
    rows: int
    pending: int
    digests: Mapping[str, str]
    counts: Mapping[str, int]

    def metadata(self) -> dict[str, str]:
        """Return it as the Parquet file's key-value metadata."""
        values = {
            "fingerprint": self.fingerprint,
            "recipe": self.recipe,
            "rows": self.rows,
            "pending": self.pending,
            "digests": dict(self.digests),
            "counts": dict(self.counts),
        }
        return {_METADATA.decode(): json.dumps(values, sort_keys=True)}


def read_made(store: Store, path: str) -> Made | None:
    """Read how a partition's file was made; None where there is no file.

    Raises:
        StoreError: the file is no Parquet file of ours.

    """
    try:
        return _read_made(store, path, tuple(store.identity(path).values()))
    except NotThere:
        return None


@functools.lru_cache(maxsize=4096)
def _read_made(store: Store, path: str, identity: tuple[Any, ...]) -> Made:
    """Read a file's metadata once per process: several steps ask for it, and a refresh asks for that of every file."""
    with store.open(path) as file:
        try:
            metadata = pq.read_metadata(file).metadata or {}
            return Made(**json.loads(metadata[_METADATA]))
        except (pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{store.locate(path)} is damaged ({error}); remove it and run again") from None


def recipe(context: Context, step: Step, key: str) -> str:
    """Return the digest of everything but its inputs that a step's result depends on."""
    return _digest(
        {
            "step": step.name,
            "revision": step.revision,
            "settings": context.config.subset(step.settings),
            "observation": context.observation if step.observes else None,
            "depends": dict(step.depends(context, key)) if step.depends else None,
            "schema": [f"{column.name}: {column.type}" for column in step.writes.schema],
        }
    )


def fingerprint(context: Context, step: Step, key: str, recipe: str) -> str:
    """Return the digest of everything that a partition of a step's table depends on.

    Raises:
        NotThere: an input.

    """
    inputs: dict[str, dict[str, str]] = {}
    for reads in step.reads:
        for input_key in [key] if reads.keys is None else reads.keys(context):
            path = table_path(reads.table.name, input_key)
            made = read_made(context.store, path)
            if made is None:
                raise NotThere(f"{step.name} needs {context.store.locate(path)}: run the stage that makes it first")
            columns = [column for column in reads.columns if column not in reads.table.payload]
            inputs[path] = {column: made.digests[column] for column in columns}
    return _digest({"recipe": recipe, "inputs": inputs})


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


class ColumnDigests:
    """Hashes the columns of a table while it is written. The same rows in the same row groups give the same digests."""

    def __init__(self, columns: list[str]) -> None:
        self._hashes = {column: hashlib.sha256() for column in columns}

    def update(self, group: pa.Table) -> None:
        """Add a row group."""
        for name, digest in self._hashes.items():
            column = group.column(name).combine_chunks()
            if isinstance(column, pa.ChunkedArray):  # what combine_chunks gives for a table without rows
                column = pa.array([], column.type)
            if pa.types.is_primitive(column.type) and column.null_count:
                # What lies beneath a null is not content.
                digest.update(pa.record_batch([column.is_valid()], ["valid"]).serialize())
                column = pc.fill_null(column, pa.scalar(0).cast(column.type))
            digest.update(pa.record_batch([column], ["values"]).serialize())

    def result(self) -> dict[str, str]:
        """Return the digests in hex, by column."""
        return {name: digest.hexdigest() for name, digest in self._hashes.items()}
