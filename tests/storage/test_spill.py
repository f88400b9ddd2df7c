"""Spill: rows come back part by part, whether they fitted into memory or not, and no file stays."""

import tempfile
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.storage.spill import Spill

SCHEMA = pa.schema([("number", pa.int64()), ("text", pa.string())])


@pytest.mark.parametrize("held_bytes", [0, 2000, 1 << 20])
def test_rows_come_back_part_by_part_in_the_order_in_which_they_came(
    held_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Spill(SCHEMA, held_bytes) as spill:
        for start in range(0, 100, 10):
            numbers = range(start, start + 10)
            rows = pa.table({"number": [*numbers], "text": [f"row {number}" * 5 for number in numbers]}, SCHEMA)
            spill.add(rows, [None if number % 5 == 4 else number % 5 for number in numbers])
        found = [part.column("number").to_pylist() for part in spill.parts()]
    assert found == [list(range(part, 100, 5)) for part in range(4)]
    assert not list(tmp_path.iterdir())


def test_nothing_comes_back_where_nothing_was_given() -> None:
    with Spill(SCHEMA) as spill:
        assert list(spill.parts()) == []
