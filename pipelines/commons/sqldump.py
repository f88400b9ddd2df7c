"""MediaWiki's SQL dumps, read row by row as they stream by.

A dump is a gzipped script of mysqldump: one CREATE TABLE, then INSERT statements of about a megabyte each. Columns are
found by the names in CREATE TABLE, never by position: Wikimedia adds, drops and moves them.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, cast

from isal import igzip
from isal.igzip_lib import IsalError

from pipelines.errors import InputError
from pipelines.inputs import open_input

Value = bytes | None

_LONGEST_LINE = 256 << 20  # bytes; mysqldump breaks INSERT statements at about one MiB
_VALUE = rb"'(?:[^'\\]++|\\.)*+'|[^,'()]++"
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_ESCAPED = {b"0": b"\0", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"Z": b"\x1a"}


class DumpError(InputError):
    """A dump is no dump of the table that was wanted, is damaged, or is cut short; names the file and the line."""


def read_rows(path: str, table: str, columns: Sequence[str], user_agent: str = "") -> Iterator[tuple[Value, ...]]:
    """Yield the wanted columns of each row; numbers come as digits, NULL as None.

    Args:
        path: of a .sql.gz file, local or a URL that fsspec knows.
        table: that the dump must hold.
        columns: in the order in which they are wanted.
        user_agent: to name to the server of a URL.

    Raises:
        DumpError: the file is missing or damaged, or lacks the table or a column.

    """
    with _opened(path, user_agent) as stream:
        yield from _rows(stream, path, table, columns)


@contextmanager
def _opened(path: str, user_agent: str) -> Iterator[IO[bytes]]:
    """Open a dump, and say in the reader's words what is wrong with it."""
    try:
        with open_input(path, user_agent) as raw:
            try:
                with igzip.IGzipFile(fileobj=raw) as plain:
                    yield cast(IO[bytes], plain)
            except (EOFError, igzip.BadGzipFile, IsalError) as error:  # type: ignore[misc]  # a stub calls a class an instance
                raise DumpError(f"{path} is damaged or cut short ({error}): get it again") from error
    except DumpError:
        raise
    except InputError as error:
        raise DumpError(f"{error}: get it from https://dumps.wikimedia.org/commonswiki/") from None


def _rows(stream: IO[bytes], path: str, table: str, columns: Sequence[str]) -> Iterator[tuple[Value, ...]]:
    lines = _lines(stream, path)
    names = _columns(lines, path, table)
    if lacking := [column for column in columns if column not in names]:
        raise DumpError(f"{path}: table {table} has no column {', '.join(lacking)}; it has {', '.join(names)}")
    groups = [rb"(" + _VALUE + rb")" if name in columns else rb"(?:" + _VALUE + rb")" for name in names]
    row = re.compile(rb"\s*\(" + rb",".join(groups) + rb"\)\s*([,;])", re.DOTALL)
    in_order = [name for name in names if name in columns]
    order = [in_order.index(column) for column in columns]
    start = re.compile(rb"INSERT INTO `" + table.encode() + rb"` (?:\([^)]*\) )?VALUES\s*")
    for number, line in lines:
        insert = start.match(line)
        if insert is None:
            continue
        at, more = insert.end(), True
        while more:
            match = row.match(line, at)
            if match is None:
                raise DumpError(
                    f"{path}, line {number}: no row of {len(names)} columns at byte {at}: {line[at:][:80]!r}"
                )
            values = match.groups()
            yield tuple(_plain(values[place]) for place in order)
            at, more = match.end(), values[-1] == b","


def _plain(value: bytes) -> Value:
    if value[:1] != b"'":
        return None if value == b"NULL" else value
    value = value[1:-1]
    if b"\\" not in value:
        return value
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), value)


def _lines(stream: IO[bytes], path: str) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := stream.readline(_LONGEST_LINE):
        number += 1
        if len(line) >= _LONGEST_LINE:
            raise DumpError(f"{path}, line {number}: longer than {_LONGEST_LINE} bytes; this is no dump of mysqldump's")
        yield number, line


def _columns(lines: Iterator[tuple[int, bytes]], path: str, table: str) -> list[str]:
    """Read up to the end of CREATE TABLE."""
    names: list[str] = []
    inside = False
    for _, line in lines:
        if line.startswith(b"CREATE TABLE"):
            if f"`{table}`".encode() not in line:
                raise DumpError(f"{path}: expected table {table}, found {line.decode(errors='replace').strip()[:80]}")
            inside = True
        elif inside and (column := re.match(rb"\s*`([^`]+)`", line)):
            names.append(column[1].decode())
        elif inside and line.lstrip().startswith(b")"):
            return names
    raise DumpError(f"{path}: no CREATE TABLE `{table}` in it: this is no SQL dump of that table, or it is cut short")
