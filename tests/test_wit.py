"""WIT's raw format: real rows to the letter, and every way in which a file or a row can be wrong."""

import csv
import gzip
import threading
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from pipelines.errors import InputError
from pipelines.tables import WIT_BOOLEANS, WIT_COLUMNS, WIT_INTEGERS
from pipelines.wit import _AHEAD, _BLOCK, BadRow, _Utf8Stream, read_wit, typed
from tests.shared import shared

GOOD = {
    "language": "en",
    "image_url": "https://upload.wikimedia.org/wikipedia/commons/3/3a/Carrie.jpg",
    "caption_reference_description": 'A "portrait"\nin two lines',
    "original_height": "600",
    "original_width": "800",
    "is_main_image": "false",
}


def wit(path: Path, *rows: dict[str, str] | bytes) -> str:
    lines = ["\t".join(WIT_COLUMNS).encode() + b"\n"]
    for row in rows:
        lines.append(row if isinstance(row, bytes) else _line(row))
    data = b"".join(lines)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


def _line(row: dict[str, str]) -> bytes:
    fields = [row.get(column, "") for column in WIT_COLUMNS]
    quoted = ['"' + field.replace('"', '""') + '"' if set(field) & set('"\n\t') else field for field in fields]
    return ("\t".join(quoted) + "\n").encode()


def read(path: str, max_rows: int = 0) -> tuple[list[dict[str, object]], list[BadRow]]:
    rows, bad = [], []
    for batch in read_wit(path, max_rows):
        rows += pa.table({name: typed(batch.rows.column(name), name) for name in WIT_COLUMNS}).to_pylist()
        bad += batch.bad
    return rows, bad


@pytest.mark.parametrize("name", ["train-00000-of-00009.tsv", "val-00000-of-00005.tsv", "test-00000-of-00005.tsv"])
def test_real_rows_are_read_field_by_field(name: str) -> None:
    path = shared(f"wit/{name}")
    rows, bad = read(str(path))
    assert bad == []
    with path.open(encoding="utf-8", newline="") as file:
        expected = list(csv.reader(file, delimiter="\t"))[1:]
    assert len(rows) == len(expected) > 0
    for row, fields in zip(rows, expected, strict=True):
        assert list(row) == list(WIT_COLUMNS)
        # One of the published sample files was cut off in the last field but one of its last row.
        fields += [""] * (len(WIT_COLUMNS) - len(fields))
        for column, field in zip(WIT_COLUMNS, fields, strict=True):
            assert row[column] == _expected(column, field), column


def _expected(column: str, field: str) -> object:
    if column in WIT_INTEGERS:
        return int(field)
    if column in WIT_BOOLEANS:
        return {"true": True, "false": False}[field]
    return field.rstrip("\n") or None


def test_there_are_five_real_rows() -> None:
    files = [shared(f"wit/{name}") for name in ("train-00000-of-00009.tsv", "val-00000-of-00005.tsv")]
    files.append(shared("wit/test-00000-of-00005.tsv"))
    assert sum(len(read(str(path))[0]) for path in files) == 5


@pytest.mark.parametrize("name", ["rows.tsv", "rows.tsv.gz"])
def test_quotes_newlines_and_nulls(tmp_path: Path, name: str) -> None:
    rows, bad = read(wit(tmp_path / name, GOOD))
    assert bad == []
    assert rows[0]["caption_reference_description"] == 'A "portrait"\nin two lines'
    assert (rows[0]["original_height"], rows[0]["is_main_image"], rows[0]["page_title"]) == (600, False, None)


def test_bad_rows_are_set_aside_with_their_line(tmp_path: Path) -> None:
    path = wit(
        tmp_path / "rows.tsv",
        GOOD,  # lines 2 and 3
        b"too\tfew\n",  # 4
        GOOD | {"original_width": "wide"},  # 5, 6
        GOOD | {"is_main_image": "maybe"},  # 7, 8
        _line(GOOD).replace(b"portrait", b"portr\xff\xfe"),  # 9, 10
        b"few\tand \xff undecodable\n",  # 11
        GOOD,  # 12, 13
        b"x" + b"\tx" * 17 + b"\n",  # 14
    )
    rows, bad = read(path)
    assert len(rows) == 2
    assert [(row.line, row.reason) for row in bad] == [
        (4, "2 columns instead of 17"),
        (5, "original_width: 'wide' is no number"),
        (7, "is_main_image: 'maybe' is neither true nor false"),
        (9, "caption_reference_description: a byte that is not UTF-8"),
        (11, "2 columns instead of 17"),
        (14, "18 columns instead of 17"),
    ]
    assert bad[0].text == "too\tfew"


def test_a_row_whose_empty_last_field_was_trimmed_is_read(tmp_path: Path) -> None:
    rows, bad = read(wit(tmp_path / "rows.tsv", _line(GOOD)[:-2] + b"\n", GOOD))
    assert (len(rows), bad) == (2, [])


def test_rows_that_were_trimmed_and_do_not_fit_are_named_by_their_lines(tmp_path: Path) -> None:
    trimmed, wide = _line(GOOD)[:-2] + b"\n", _line(GOOD | {"original_width": "wide"})
    rows, bad = read(wit(tmp_path / "rows.tsv", trimmed, wide[:-2] + b"\n", trimmed, wide, wide[:-2] + b"\n"))
    assert len(rows) == 2
    assert [(row.line, row.reason) for row in bad] == [
        (line, "original_width: 'wide' is no number") for line in (4, 8, 10)
    ]


def test_a_row_that_lacks_another_field_is_not_taken_for_one(tmp_path: Path) -> None:
    rows, bad = read(wit(tmp_path / "rows.tsv", _line(GOOD).replace(b"600\t", b"")))
    assert (len(rows), len(bad)) == (0, 1)


def test_fields_larger_than_any_default_limit(tmp_path: Path) -> None:
    rows, bad = read(wit(tmp_path / "rows.tsv", GOOD | {"context_page_description": "é\n" * 400_000}))
    assert (len(rows), bad) == (1, [])


def test_characters_that_straddle_chunks_stay_whole(tmp_path: Path) -> None:
    text = "ਪੰਜਾਬੀ 漢字 é" * 200_000
    for shift in ("", "a", "ab"):  # three reads of the file, cut at every byte of a character
        row = GOOD | {"context_page_description": shift + text}
        rows, bad = read(wit(tmp_path / "rows.tsv", row, row, row))
        assert (tmp_path / "rows.tsv").stat().st_size > 2 * _BLOCK
        assert [row["context_page_description"] == shift + text for row in rows] == [True] * 3
        assert bad == []


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Read small blocks, and note the size of each; an attempt to wait for rows that nobody takes fails."""
    sizes: list[int] = []
    read = _Utf8Stream.read

    def noted(self: _Utf8Stream, size: int) -> bytes:
        sizes.append(size)
        return read(self, size)

    class Patient(threading.Semaphore):
        def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
            assert super().acquire(timeout=20), "waits in vain"
            return True

    monkeypatch.setattr(_Utf8Stream, "read", noted)
    monkeypatch.setattr("pipelines.wit.threading", SimpleNamespace(Semaphore=Patient))
    monkeypatch.setattr("pipelines.wit._BLOCK", 1 << 14)
    return sizes


def test_a_file_is_not_read_further_ahead_than_rows_are_taken(tmp_path: Path, reads: list[int]) -> None:
    path = wit(tmp_path / "rows.tsv", *[GOOD] * 4000)
    ahead = [len(reads) - number for number, _ in enumerate(read_wit(path))]
    assert len(ahead) > 20
    assert max(ahead) <= _AHEAD + 2


def test_a_file_without_rows_to_take_is_read_to_its_end_without_waiting(tmp_path: Path, reads: list[int]) -> None:
    path = Path(wit(tmp_path / "rows.tsv"))
    path.write_bytes(path.read_bytes() + b"too\tfew\tcolumns\n" * 6000)
    _, bad = read(str(path))
    assert len(bad) == 6000
    assert len(reads) > _AHEAD + 2


def test_a_quote_that_is_never_closed_names_file_line_and_way_out(tmp_path: Path) -> None:
    path = Path(wit(tmp_path / "rows.tsv", *[GOOD] * 3))
    plain = _line(dict.fromkeys(GOOD, "1"))
    path.write_bytes(path.read_bytes() + b'"' + plain * (2 * _BLOCK // len(plain)))
    with pytest.raises(InputError, match=r"rows\.tsv: a row at or after line 8 is longer than 8 MiB.*quote.*Mend"):
        read(str(path))


def test_max_rows_stops_early(tmp_path: Path) -> None:
    rows, _ = read(wit(tmp_path / "rows.tsv", *[GOOD] * 10), max_rows=3)
    assert len(rows) == 3


def test_a_wrong_header_names_file_and_columns(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text("\t".join(column for column in WIT_COLUMNS if column != "mime_type") + "\n")
    with pytest.raises(InputError, match=r"rows\.tsv: the header is not WIT's: missing \['mime_type'\]"):
        read(str(path))


def test_truncated_gzip_names_the_file(tmp_path: Path) -> None:
    path = Path(wit(tmp_path / "rows.tsv.gz", *[GOOD | {"page_title": str(number)} for number in range(2000)]))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"rows\.tsv\.gz: the gzip data is truncated or damaged"):
        read(str(path))


def test_a_file_that_is_no_gzip_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "rows.tsv.gz").write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match=r"rows\.tsv\.gz: the gzip data is truncated or damaged"):
        read(str(tmp_path / "rows.tsv.gz"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.tsv\.gz is not there"):
        read(str(tmp_path / "no.tsv.gz"))


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.tsv").write_bytes(b"")
    with pytest.raises(InputError, match=r"rows\.tsv: not a WIT file"):
        read(str(tmp_path / "rows.tsv"))
