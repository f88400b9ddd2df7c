"""Searching a store for a picture, however it is kept: its bytes, or its base64, also inside of archives."""

import base64
import gzip
import hashlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.storage.store import Store


def holding(store: Store, folder: str, picture: bytes) -> list[str]:
    """Return the files below a folder that hold a picture."""
    return [path for path in store.files(folder) if any(_is_in(picture, content) for content in contents(store, path))]


def _is_in(picture: bytes, content: bytes) -> bool:
    return picture in content or base64.b64encode(picture) in content


def contents(store: Store, path: str) -> Iterator[bytes]:
    """Yield what a file holds: its bytes, and what is compressed in it."""
    with store.open(path) as file:
        raw = file.read()
    yield raw
    if path.endswith(".gz"):
        yield gzip.decompress(raw)
    elif path.endswith(".parquet"):
        table = pq.read_table(pa.BufferReader(raw))
        for column in table.columns:
            yield from _cells(column.to_pylist())


def _cells(value: Any) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, str):
        yield value.encode()
    elif isinstance(value, dict):
        yield from _cells([*value.values()])
    elif isinstance(value, list) and not (value and isinstance(value[0], float)):
        for one in value:
            yield from _cells(one)


def digest(picture: bytes) -> str:
    return hashlib.sha256(picture).hexdigest()
