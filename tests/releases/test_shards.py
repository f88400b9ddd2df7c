"""Shards: what is written is read back, by us and by every program that reads gzip and tab-separated text."""

import csv
import gzip
import io
import itertools
import logging
import platform
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.releases import shards
from pipelines.storage import gzipped
from pipelines.storage.gzipped import Gzip, probe, same_bytes_as_elsewhere
from pipelines.storage.store import Store
from pipelines.tables import WIT_COLUMNS

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)


def gzipped_pieces(pieces: list[bytes]) -> bytes:
    sink = io.BytesIO()
    with Gzip(sink) as file:
        for piece in pieces:
            file.write(piece)
    return sink.getvalue()


@settings(deadline=None)
@given(st.lists(st.lists(FLOATS, min_size=4, max_size=4), min_size=1, max_size=5))
def test_every_float32_reads_back_to_itself(rows: list[list[float]]) -> None:
    vectors = np.array(rows, np.float32)
    array = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 4)
    urls = pa.array([f"https://upload.wikimedia.org/{number}" for number in range(len(rows))])
    data = gzipped_pieces([bytes(shards.embedding_rows(urls, array))])
    read = list(shards.read_embeddings(io.BytesIO(data)))
    assert [url for url, _ in read] == urls.to_pylist()
    assert np.stack([vector for _, vector in read]).tobytes() == vectors.tobytes()  # the sign of a zero included


def test_embeddings_of_a_slice_are_those_of_the_slice() -> None:
    array = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(12, dtype=np.float32)), 2)
    urls = pa.array(list("abcdef"))
    assert bytes(shards.embedding_rows(urls[2:4], array[2:4])) == b"c\t4,5\nd\t6,7\n"


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=6))
def test_pictures_read_back(pictures: list[bytes]) -> None:
    urls = [f"https://upload.wikimedia.org/{number}.jpg" for number in range(len(pictures))]
    pages = [f"https://commons.wikimedia.org/wiki/File:{number}.jpg" for number in range(len(pictures))]
    data = gzipped_pieces([shards.pixel_rows(urls, pictures, pages)])
    read = list(shards.read_pixels(io.BytesIO(data)))
    assert read == [shards.PixelRow(*row) for row in zip(urls, pictures, pages, strict=True)]


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(WIT_COLUMNS[3:9]), TEXTS), max_size=4))
def test_captions_read_back_whatever_they_hold(rows: list[dict[str, str]]) -> None:
    table = pa.Table.from_pylist(
        [{name: row.get(name) for name in shards.CAPTION_COLUMNS} for row in rows],
        schema=pa.schema([(name, pa.string()) for name in shards.CAPTION_COLUMNS]),
    )
    data = gzipped_pieces([shards.header(), shards.caption_rows(table)])
    read = list(shards.read_captions(io.BytesIO(data)))
    assert read == [{name: row.get(name, "") for name in shards.CAPTION_COLUMNS} for row in rows]


@pytest.mark.parametrize("cell", ["a\rb", "\r", 'a "b"', '"', "a\tb", "a\nb"])
def test_what_would_end_a_cell_or_a_row_is_quoted(cell: str) -> None:
    row = dict.fromkeys(shards.CAPTION_COLUMNS, "") | {"page_title": cell}
    text = shards.caption_rows(pa.Table.from_pylist([row])).tobytes().decode()
    assert text.count('"') == 2 + 2 * cell.count('"')
    assert next(csv.reader(io.StringIO(text, newline=""), delimiter="\t")) == list(row.values())


def test_booleans_are_written_as_wit_writes_them() -> None:
    row = {name: None for name in shards.CAPTION_COLUMNS} | {"is_main_image": True, "page_changed_recently": False}
    schema = pa.schema(
        [
            (name, pa.bool_() if name in ("is_main_image", "page_changed_recently") else pa.string())
            for name in shards.CAPTION_COLUMNS
        ]
    )
    fields = shards.caption_rows(pa.Table.from_pylist([row], schema=schema)).tobytes().decode().rstrip("\n").split("\t")
    assert [fields[shards.CAPTION_COLUMNS.index(name)] for name in ("is_main_image", "page_changed_recently")] == [
        "true",
        "false",
    ]


def test_title_and_caption_are_joined_as_in_wit_base() -> None:
    titles, captions = pa.chunked_array([["Half Dome", "Paris"]]), pa.chunked_array([["seen from below", None]])
    assert shards.title_and_caption(titles, captions).to_pylist() == ["Half Dome [SEP] seen from below", "Paris [SEP] "]


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 400_000), max_size=8))
def test_the_bytes_do_not_depend_on_how_rows_are_cut_into_pieces(cuts: list[int]) -> None:
    data = np.random.default_rng(5).integers(65, 90, 900_000, dtype=np.uint8).tobytes()
    ends = sorted({0, len(data), *cuts})
    pieces = [data[start:end] for start, end in itertools.pairwise(ends)]
    assert gzipped_pieces(pieces) == gzipped_pieces([data])
    assert gzip.decompress(gzipped_pieces(pieces)) == data


def test_the_header_holds_no_name_and_no_time(tmp_path: Path) -> None:
    with Store(str(tmp_path)).write("shard.csv.gz") as written, shards.gzip_writer(written) as file:
        file.write(b"text")
    header = (tmp_path / "shard.csv.gz").read_bytes()[:10]
    assert header[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"


def test_a_file_that_failed_halfway_has_no_proper_end() -> None:
    sink = io.BytesIO()

    def fail() -> None:
        with Gzip(sink) as file:
            file.write(np.random.default_rng(6).bytes(1_000_000))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with pytest.raises(EOFError):
        gzip.decompress(sink.getvalue())


def test_this_machine_compresses_as_others_do() -> None:
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(f"the known answer is that of x86-64; this is {platform.machine()}")
    assert same_bytes_as_elsewhere(), f"ISA-L gives other bytes than before ({probe()}): is it another version?"


def test_a_machine_that_compresses_otherwise_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gzipped, "_LEVEL", 1)  # other bytes, as another processor gives them
    same_bytes_as_elsewhere.cache_clear()
    try:
        with caplog.at_level(logging.WARNING, "pipelines.storage.gzipped"):
            assert not same_bytes_as_elsewhere()
        assert "checksums differ" in caplog.text
    finally:
        same_bytes_as_elsewhere.cache_clear()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"url only\n", "line 2: 1 columns instead of 3"),
        (b"a\tb\tc\td\n", "line 2: 4 columns instead of 3"),
        (b"u\t!!!!\tp\n", "line 2: u: damaged base64"),
    ],
)
def test_a_bad_line_is_named(line: bytes, problem: str) -> None:
    data = gzipped_pieces([b"u\t\tp\n", line])
    with pytest.raises(ValueError, match=problem):
        list(shards.read_pixels(io.BytesIO(data)))


def test_the_standard_library_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "shard.csv.gz"
    path.write_bytes(gzipped_pieces([shards.pixel_rows(["u", "v"], [b"1", b"2"], ["p", "q"])]))
    with gzip.open(path, "rt", newline="") as text:
        assert list(csv.reader(text, delimiter="\t")) == [["u", "MQ==", "p"], ["v", "Mg==", "q"]]
