"""The files of a release, as their readers know them: writers and, in the same place, the reader.

Pixels, embeddings: tab separated, gzip, no header, as the 2021 release has them. Captions: WIT's own format, with a
header. The same rows give the same bytes: sorted, and compressed by `gzipped`.
"""

import base64
import csv
import gzip
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TextIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from isal import igzip, igzip_lib

from pipelines.storage.gzipped import Gzip
from pipelines.storage.store import Written
from pipelines.tables import WIT_COLUMNS

PIXELS_FOLDER = "image_pixels"
EMBEDDINGS_FOLDER = "resnet_embeddings"
CAPTIONS_FOLDER = "captions"
LEDGER_FOLDER = "ledger"

TITLE_AND_CAPTION = "caption_title_and_reference_description"
CAPTION_COLUMNS = (*WIT_COLUMNS, TITLE_AND_CAPTION, "wit_image_url")
"""WIT's columns, with image_url in its canonical spelling, and two more."""

_QUOTED = r'[\t\n\r"]'
"""What a cell cannot hold as it is. A carriage return ends a line, too, for Python's reader and others."""

SEPARATOR = " [SEP] "
"""Between title and caption, as in wikimedia/wit_base."""

DAMAGE: tuple[type[Exception], ...] = (
    ValueError,
    EOFError,
    gzip.BadGzipFile,
    zlib.error,
    cast(type[Exception], igzip_lib.IsalError),
    pa.ArrowException,
)
"""What the readers below raise when the content of a file is not what it should be."""


@contextmanager
def gzip_writer(written: Written) -> Iterator[Gzip]:
    """Compress what is written to a file of the store."""
    with Gzip(written.file) as file:
        yield file


def pixel_rows(urls: list[str], pictures: list[bytes], pages: list[str]) -> bytes:
    """Return the lines ``image_url ⇥ base64 ⇥ metadata_url``."""
    return b"".join(
        b"%b\t%b\t%b\n" % (url.encode(), base64.b64encode(picture), page.encode())
        for url, picture, page in zip(urls, pictures, pages, strict=True)
    )


def embedding_rows(urls: pa.Array, embeddings: pa.FixedSizeListArray) -> memoryview:
    """Return the lines ``image_url ⇥ f,f,f,…``; each number reads back to the same float32.

    Args:
        urls: (n,) strings, at least one.
        embeddings: (n,) lists of float32, no nulls. All text together must stay below 2 GB: some 100,000 rows.

    """
    texts = pc.cast(embeddings.flatten(), pa.string())
    width = embeddings.type.list_size
    offsets = pa.array(np.arange(0, len(embeddings) * width + 1, width, dtype=np.int32))
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, texts), ",")
    lines = pc.binary_join_element_wise(pc.cast(urls, pa.string()), joined, "\t")
    return _content(pc.binary_join_element_wise(lines, "", "\n"))


def _content(texts: pa.StringArray) -> memoryview:
    """Return the UTF-8 of texts without nulls, one after the other, as it lies in memory."""
    _, offsets, content = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[[texts.offset, texts.offset + len(texts)]]
    return memoryview(content)[ends[0] : ends[1]]


def caption_rows(rows: pa.Table) -> memoryview:
    """Return WIT rows in WIT's format, without a header line.

    Args:
        rows: with the columns of `CAPTION_COLUMNS`. All text together must stay below 2 GB.

    """
    if not rows.num_rows:
        return memoryview(b"")
    lines = pc.binary_join_element_wise(*(_cells(rows.column(name)) for name in CAPTION_COLUMNS), "\t")
    return _content(pc.binary_join_element_wise(lines, "", "\n"))


def _cells(column: pa.ChunkedArray) -> pa.Array:
    """Return values as they stand between tabs: quoted where they must be, which few are; a null is empty."""
    texts = pc.fill_null(column.cast(pa.string()), "").combine_chunks()
    marked = pc.match_substring_regex(texts, _QUOTED)
    if not pc.any(marked).as_py():
        return texts
    doubled = pc.replace_substring(texts.filter(marked), '"', '""')
    return pc.replace_with_mask(texts, marked, pc.binary_join_element_wise('"', doubled, '"', ""))


def title_and_caption(titles: pa.ChunkedArray, captions: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return ``page_title [SEP] caption``, and ``page_title [SEP] `` where there is no caption, as wit_base has it."""
    return pc.binary_join_element_wise(pc.fill_null(titles, ""), pc.fill_null(captions, ""), SEPARATOR)


def header() -> bytes:
    """Return the header line of the caption files."""
    return ("\t".join(CAPTION_COLUMNS) + "\n").encode()


# Reading, as a consumer does


@dataclass(frozen=True, slots=True)
class PixelRow:
    """A line of image_pixels. `page` is empty in files of releases that have no third column."""

    url: str
    picture: bytes
    page: str


def pixel_row(number: int, fields: list[str]) -> PixelRow:
    """Read the fields of a line of image_pixels.

    Args:
        number: of the line, for the error.
        fields: two or three.

    Raises:
        ValueError: there are other than two or three columns, or the base64 is damaged.

    """
    if len(fields) not in (2, 3):
        raise ValueError(f"line {number}: {len(fields)} columns instead of 3")
    try:
        picture = base64.b64decode(fields[1], validate=True)
    except ValueError as error:
        raise ValueError(f"line {number}: {fields[0]}: damaged base64: {error}") from None
    return PixelRow(fields[0], picture, fields[2] if len(fields) == 3 else "")


def read_pixels(file: IO[bytes]) -> Iterator[PixelRow]:
    """Read a gzipped pixel shard.

    Raises:
        ValueError: a line has other than two or three columns, or its base64 is damaged.

    """
    for number, fields in read_lines(file):
        yield pixel_row(number, fields)


def embedding_row(number: int, fields: list[str]) -> tuple[str, np.ndarray]:
    """Read the fields of a line of resnet_embeddings: URL and vector (float32, as many values as the line has).

    Raises:
        ValueError: there are other than two columns, or a value is no number.

    """
    if len(fields) != 2:
        raise ValueError(f"line {number}: {len(fields)} columns instead of 2")
    try:
        # Half the time that numpy takes to read as many words.
        values = pc.split_pattern(pa.scalar(fields[1]), ",").values.cast(pa.float32())
    except ValueError as error:
        raise ValueError(f"line {number}: {fields[0]}: {error}") from None
    return fields[0], values.to_numpy().copy()


def read_embeddings(file: IO[bytes]) -> Iterator[tuple[str, np.ndarray]]:
    """Read a gzipped embedding shard: URL and vector (float32, as many values as the line has).

    Raises:
        ValueError: a line has other than two columns, or a value is no number.

    """
    for number, fields in read_lines(file):
        yield embedding_row(number, fields)


def caption_reader(text: TextIO) -> "csv.DictReader[str]":
    """Read the text of a caption file: a dict for each row; `fieldnames` is the header."""
    csv.field_size_limit(sys.maxsize)  # WIT's fields exceed the default limit
    return csv.DictReader(text, delimiter="\t")


def read_captions(file: IO[bytes]) -> Iterator[dict[str, str]]:
    """Read a gzipped caption file: a dict for each row, empty strings for nulls."""
    with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
        yield from caption_reader(text)


def read_lines(file: IO[bytes]) -> Iterator[tuple[int, list[str]]]:
    """Read the lines of a gzipped shard: number, from 1 on, and fields.

    Raises:
        ValueError: a line is not UTF-8.
        EOFError: the gzip stream ends too early; `isal.igzip_lib.IsalError`, `gzip.BadGzipFile`: it is damaged.

    """
    with igzip.IGzipFile(fileobj=file, mode="rb") as lines:
        for number, line in enumerate(lines, start=1):
            yield number, line.decode().rstrip("\n").split("\t")


def image_shard(key: str) -> str:
    """Return the path of a pixel shard below the release; the other folders have shards of the same names."""
    return f"{PIXELS_FOLDER}/{key}.csv.gz"


def embedding_shard(key: str) -> str:
    """Return the path of an embedding shard below the release."""
    return f"{EMBEDDINGS_FOLDER}/{key}.csv.gz"


def caption_shard(key: str) -> str:
    """Return the path of a caption file below the release."""
    return f"{CAPTIONS_FOLDER}/{key}.tsv.gz"


def ledger_shard(key: str) -> str:
    """Return the path of a ledger file below the release."""
    return f"{LEDGER_FOLDER}/{key}.parquet"
