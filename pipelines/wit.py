"""WIT's raw files: tab separated, quoted where needed, 17 columns, often gzipped, several gigabytes each.

Quoted fields hold newlines, tabs and quotes; an empty field is null; some captions are nothing but U+00A0. A row that
does not fit (columns, a number that is none, a byte that is not UTF-8) is set aside with its line and the reason; a
file that does not fit (header, truncated gzip) is an error. Copies whose lines were trimmed lack the last field where
it was empty (seen in the published sample rows): such a row is read as if its last tab were there. Parsing is
pyarrow's, one batch of some 8 MB at a time.
"""

import codecs
import csv as stdlib_csv
import threading
import zlib
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import IO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from isal import igzip, igzip_lib
from pyarrow import csv

from pipelines.errors import InputError
from pipelines.inputs import is_gzipped, open_input
from pipelines.storage.hashing import HashingReader
from pipelines.tables import WIT_BOOLEANS, WIT_COLUMNS, WIT_INTEGERS, wit_type

_BLOCK = 8 << 20
"""Bytes that are parsed at a time. A row must fit: two of its cells hold text of a page, of at most 2 MiB in MediaWiki.

Larger blocks cost more to parse, as they do not stay in the caches of a CPU.
"""

_AHEAD = 3  # blocks that are read before the rows of the first are given out
_PATIENCE = 1  # seconds that a reader waits for rows to be taken
_SHOWN = 200  # characters of a bad row that are kept to recognise it by


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was set aside.

    Args:
        line: the line of the file on which the row begins; the header is line 1.
        reason: what is wrong with it.
        text: its beginning.

    """

    line: int
    reason: str
    text: str


@dataclass(slots=True)
class WitBatch:
    """Some rows of a file: the good ones as texts that fit the types of their columns, and the bad ones."""

    rows: pa.Table
    bad: list[BadRow] = field(default_factory=list)


@dataclass(slots=True)
class Checksum:
    """The sha256 of a file that was read; empty as long as it was not read to its end."""

    sha256: str = ""


def read_wit(
    path: str, max_rows: int = 0, checksum: Checksum | None = None, user_agent: str = ""
) -> Iterator[WitBatch]:
    """Stream a WIT file.

    Args:
        path: a local path or a URL; ``.gz`` is decompressed.
        max_rows: stop after this many rows; 0 reads all.
        checksum: takes the file's, when all of it was read.
        user_agent: to name to the server of a URL.

    Raises:
        InputError: the file is missing or truncated, or its header is not WIT's.
        InputUnreachable: its server does not answer.

    """
    with open_input(path, user_agent) as file:
        raw = HashingReader(file)
        stream = cast(IO[bytes], igzip.IGzipFile(fileobj=raw, mode="rb") if is_gzipped(path) else raw)
        try:
            yield from _Parser(path, max_rows).parse(stream)
        except (EOFError, zlib.error, igzip.BadGzipFile, igzip_lib.IsalError) as error:  # type: ignore[misc]
            raise InputError(f"{path}: the gzip data is truncated or damaged ({error}); fetch the file again") from None
        if checksum is not None and not max_rows:
            checksum.sha256 = raw.drain()[1]


_BAD_BYTE = "\uffff"  # a noncharacter: no text has it
_MARK_BAD_BYTES = "wit-release-mark"
codecs.register_error(_MARK_BAD_BYTES, lambda error: (_BAD_BYTE, cast(UnicodeDecodeError, error).end))

_AS_TEXT = csv.ConvertOptions(
    column_types={column: pa.string() for column in WIT_COLUMNS},
    null_values=[""],
    strings_can_be_null=True,
    quoted_strings_can_be_null=True,
    check_utf8=False,  # _Utf8Stream has seen to it
)
_NO_ROWS = pa.schema([(column, pa.string()) for column in WIT_COLUMNS]).empty_table()


class _Utf8Stream:
    """Bytes in, valid UTF-8 out: a byte that is none becomes a mark by which its row is known to be bad.

    pyarrow's parser must not see such a byte: it fails on the whole file where the row is misshapen besides. It reads
    in a thread of its own, up to 32 blocks ahead: a quarter of a gigabyte that has left the caches of the CPU when its
    turn comes. Here it waits until what it read before was taken, though not for ever: it may need more to go on.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._held = b""  # the first bytes of a character that goes on in the next chunk
        self.marked = False  # whether there was a bad byte so far
        self.taken = threading.Semaphore(_AHEAD)  # released for each block that was taken
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        self.taken.acquire(timeout=_PATIENCE)
        if self.closed:
            return b""
        data = self._stream.read(size)
        if self._held:
            data, self._held = self._held + data, b""
        if _is_utf8(data):
            return data
        end = len(data) - (0 if len(data) < size else _unfinished(data))
        self._held = data[end:]
        data = data[:end]
        if _is_utf8(data):
            return data
        self.marked = True
        return data.decode(errors=_MARK_BAD_BYTES).encode()

    def close(self) -> None:
        """Leave the stream to its owner."""
        self.closed = True
        self.taken.release()


def _is_utf8(data: bytes) -> bool:
    """Validate; many times faster than by decoding, and without a copy."""
    try:
        whole = np.array([0, len(data)], np.int32)
        pa.Array.from_buffers(pa.binary(), 1, [None, pa.py_buffer(whole), pa.py_buffer(data)]).cast(pa.string())
    except pa.ArrowInvalid:
        return False
    return True


def _unfinished(data: bytes) -> int:
    """Return how many bytes at the end are the beginning of a character that may go on."""
    for count in range(1, min(4, len(data) + 1)):
        lead = data[-count]
        if lead < 0x80:
            break
        if lead >= 0xC0:
            return count if count < (2 if lead < 0xE0 else 3 if lead < 0xF0 else 4) else 0
    return 0


class _Parser:
    """One pass over one file. It counts lines, so that a bad row can be found again with any editor."""

    def __init__(self, path: str, max_rows: int) -> None:
        self._path = path
        self._left = max_rows or None
        self._record = 2  # number of the next record, the header being the first …
        self._line = 2  # … and the line on which it begins
        self._misshapen: deque[tuple[int, int, str]] = deque()  # record, columns, text: wrong number of columns
        self._set_aside_characters = 0

    def parse(self, stream: IO[bytes]) -> Iterator[WitBatch]:
        self._stream = _Utf8Stream(stream)
        try:
            reader = csv.open_csv(
                self._stream,
                read_options=csv.ReadOptions(block_size=_BLOCK, use_threads=False),
                parse_options=csv.ParseOptions(
                    delimiter="\t", newlines_in_values=True, invalid_row_handler=self._set_aside
                ),
                convert_options=_AS_TEXT,
            )
            self._check_header(reader.schema.names)
            for batch in reader:
                self._stream.taken.release()
                yield self._batch(pa.Table.from_batches([batch]))
                if self._left == 0:
                    return
        except pa.ArrowInvalid as error:
            if "straddl" in str(error):
                raise InputError(
                    f"{self._path}: a row at or after line {self._line} is longer than {_BLOCK >> 20} MiB. "
                    "A quote that is opened there and not closed? Mend or remove the row"
                ) from None
            raise InputError(f"{self._path}: not a WIT file: {error}") from None
        finally:
            self._stream.close()
        if self._misshapen:
            yield self._batch(_NO_ROWS)

    def _check_header(self, found: list[str]) -> None:
        if tuple(found) == WIT_COLUMNS:
            return
        missing = [column for column in WIT_COLUMNS if column not in found]
        unknown = [column for column in found if column not in WIT_COLUMNS]
        what = f"missing {missing}" if missing else f"unknown {unknown}" if unknown else "columns in another order"
        raise InputError(f"{self._path}: the header is not WIT's: {what}. WIT's columns are {', '.join(WIT_COLUMNS)}")

    def _set_aside(self, row: csv.InvalidRow) -> str:
        self._misshapen.append((row.number, row.actual_columns, row.text))
        self._set_aside_characters += len(row.text)
        if self._set_aside_characters >= _BLOCK:  # of a block of nothing else there are no rows to be taken
            self._set_aside_characters = 0
            self._stream.taken.release()
        return "skip"

    def _batch(self, table: pa.Table) -> WitBatch:
        reasons = _reasons(table, self._stream.marked)
        bad, trimmed = self._locate(table, reasons)
        if reasons:
            table = _without(table, reasons)
        if trimmed:
            mended, still_bad = self._mend(trimmed)
            table = pa.concat_tables([table, mended])
            bad = sorted(bad + still_bad, key=lambda row: row.line)
        if self._left is not None:
            table = table.slice(0, self._left)
            self._left -= table.num_rows
        return WitBatch(table, bad)

    def _locate(self, table: pa.Table, reasons: dict[int, str]) -> tuple[list[BadRow], list[tuple[int, str]]]:
        """Name the line of every bad record up to the end of this batch, and move on to the record after it.

        Returns:
            The bad ones, and line and text of those that lack one column.

        """
        last = self._record + table.num_rows + len(self._misshapen)
        if not reasons and not (self._misshapen and self._misshapen[0][0] < last):
            self._record += table.num_rows
            self._line += table.num_rows + sum(_count_newlines(column) for column in table.columns)
            return [], []
        newlines = _newlines(table)
        bad: list[BadRow] = []
        trimmed: list[tuple[int, str]] = []
        for row in range(table.num_rows):
            self._pass_misshapen(bad, trimmed)
            if row in reasons:
                text = "\t".join((table.column(column)[row].as_py() or "") for column in WIT_COLUMNS)
                bad.append(BadRow(self._line, reasons[row], _shown(text)))
            self._record += 1
            self._line += 1 + newlines[row]
        if not table.num_rows:
            self._pass_misshapen(bad, trimmed)
        return bad, trimmed

    def _pass_misshapen(self, bad: list[BadRow], trimmed: list[tuple[int, str]]) -> None:
        while self._misshapen and self._misshapen[0][0] <= self._record:
            _, columns, text = self._misshapen.popleft()
            if columns == len(WIT_COLUMNS) - 1:
                trimmed.append((self._line, text))
            else:
                bad.append(BadRow(self._line, f"{columns} columns instead of {len(WIT_COLUMNS)}", _shown(text)))
            self._record += 1
            self._line += 1 + text.count("\n")

    def _mend(self, trimmed: list[tuple[int, str]]) -> tuple[pa.Table, list[BadRow]]:
        """Read rows that lack their last field; return them, and those that do not fit even so."""
        rows = [_fields(text) for _, text in trimmed]
        table = pa.table([pa.array(column, pa.string()) for column in zip(*rows, strict=True)], schema=_NO_ROWS.schema)
        reasons = _reasons(table, self._stream.marked)
        bad = [BadRow(trimmed[row][0], reason, _shown(trimmed[row][1])) for row, reason in reasons.items()]
        return _without(table, reasons), bad


def _without(table: pa.Table, rows: Collection[int]) -> pa.Table:
    return table.filter(pa.array([row not in rows for row in range(table.num_rows)], pa.bool_()))


def _shown(text: str) -> str:
    return text[:_SHOWN].replace(_BAD_BYTE, "\ufffd")


def _fields(text: str) -> list[str | None]:
    """Return the fields of a row that lacks the last one, and perhaps the quote that closes the one before."""
    stdlib_csv.field_size_limit(len(text) + 1)
    fields = next(stdlib_csv.reader([text.rstrip("\r\n")], delimiter="\t"))
    return [field or None for field in fields] + [None] * (len(WIT_COLUMNS) - len(fields))


def _count_newlines(column: pa.ChunkedArray) -> int:
    """Count the newlines in a column of texts, as they lie in memory."""
    count = 0
    for chunk in column.chunks:
        _, offsets, content = chunk.buffers()
        if len(chunk) and content is not None:
            ends = np.frombuffer(offsets, np.int32)[[chunk.offset, chunk.offset + len(chunk)]]
            count += int(np.count_nonzero(np.frombuffer(content, np.uint8)[ends[0] : ends[1]] == ord("\n")))
    return count


def _newlines(table: pa.Table) -> list[int]:
    """Count the newlines inside each row's fields."""
    total: pa.ChunkedArray | None = None
    for column in WIT_COLUMNS:
        counts = pc.fill_null(pc.count_substring(table.column(column), "\n"), 0)
        total = counts if total is None else pc.add(total, counts)
    return cast(list[int], total.to_pylist()) if total is not None else []


def _reasons(table: pa.Table, marked: bool) -> dict[int, str]:
    """Return what is wrong with each bad row of a batch, by its index; bytes are looked at where some were marked."""
    bad: dict[int, str] = {}
    for name in WIT_COLUMNS if marked else ():
        undecodable = pc.fill_null(pc.match_substring(table.column(name), _BAD_BYTE), False)
        if pc.any(undecodable).as_py():
            rows = [row for row, is_bad in enumerate(undecodable.to_pylist()) if is_bad]
            bad.update({row: f"{name}: a byte that is not UTF-8" for row in rows})
    for names, pattern, what in (
        (WIT_INTEGERS, r"^[0-9]{1,9}$", "is no number"),
        (WIT_BOOLEANS, r"^(?i:true|false)$", "is neither true nor false"),
    ):
        for name in names:
            fits = pc.fill_null(pc.match_substring_regex(table.column(name), pattern), True)
            if not pc.all(fits).as_py():
                for row, fit in enumerate(fits.to_pylist()):
                    if not fit:
                        bad.setdefault(row, f"{name}: {table.column(name)[row].as_py()[:40]!r} {what}")
    return bad


def typed(texts: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Return a column of WIT with its type. The texts are those of good rows."""
    if name in WIT_BOOLEANS:  # bool("false") is True: compare
        return pc.equal(pc.utf8_lower(texts), "true")
    return texts.cast(wit_type(name))
