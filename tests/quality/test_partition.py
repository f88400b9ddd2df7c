"""Measuring: damage is a measurement whatever it is, numbers are those of the files, and memory stays small."""

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.engine.step import table_path
from pipelines.releases import joined, shards
from pipelines.storage.store import Store
from pipelines.tables import MEASUREMENTS
from tests.quality.small_release import SmallRelease

KEY_0 = "part-00000"
PATHS = [
    shards.image_shard(KEY_0),
    shards.embedding_shard(KEY_0),
    shards.caption_shard(KEY_0),
    shards.ledger_shard(KEY_0),
    joined.shard(KEY_0),
]


def measured(release: SmallRelease, about: str) -> list[dict[str, Any]]:
    release.measure()
    with release.store.open(table_path(MEASUREMENTS.name, KEY_0)) as file:
        rows = pq.read_table(file).to_pylist()
    return [row for row in rows if row["about"] == about]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> SmallRelease:
    return SmallRelease(Store(str(tmp_path_factory.mktemp("store")))).write()


def changes(data: bytes) -> st.SearchStrategy[bytes]:
    places = st.integers(0, len(data) - 1)
    flipped = st.builds(lambda at, to: data[:at] + bytes([data[at] ^ to]) + data[at + 1 :], places, st.integers(1, 255))
    cut = places.map(lambda at: data[:at])
    inserted = st.builds(lambda at, more: data[:at] + more + data[at:], places, st.binary(min_size=1, max_size=40))
    return st.one_of(flipped, cut, inserted, st.binary(max_size=200).filter(lambda other: other != data))


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.data())
def test_no_damage_to_a_file_stops_the_measuring(written: SmallRelease, path: str, chosen: st.DataObject) -> None:
    whole = written.read(path)
    try:
        written.overwrite(path, chosen.draw(changes(whole)))
        files = {row["path"]: row for row in measured(written, "file")}
    finally:
        written.overwrite(path, whole)
    assert files[path]["sha256"] != files[path]["receipt_sha256"]
    assert all(row["error"] is None for other, row in files.items() if other != path)


@pytest.mark.parametrize("path", PATHS[:3])
@settings(max_examples=25, deadline=None)
@given(chosen=st.data())
def test_no_damage_to_the_lines_of_a_shard_stops_the_measuring(
    written: SmallRelease, path: str, chosen: st.DataObject
) -> None:
    """As before, but the gzip stream is sound: what is in it is not."""
    whole = written.read(path)
    try:
        written.overwrite(path, gzip.compress(chosen.draw(changes(gzip.decompress(whole))), mtime=0))
        files = {row["path"]: row for row in measured(written, "file")}
    finally:
        written.overwrite(path, whole)
    assert files[path]["present"]


def test_the_numbers_are_those_of_the_files(written: SmallRelease) -> None:
    images = {row["image_url"]: row for row in measured(written, "image")}
    assert list(images) == sorted(images)
    assert set(images) == {row["image_url"] for row in written.images[0]}
    for line in written.shown[0]:
        image = images[line.url]
        assert image["pixel_bytes"] == len(line.image)
        assert image["embedding_min"] == pytest.approx(line.embedding.min())
        assert image["embedding_spread"] == pytest.approx(line.embedding.max() - line.embedding.min())
        assert (image["caption_rows"], image["captions"], image["released_lines"]) == (2, 1, 1)
    languages = {row["language"]: row["language_rows"] for row in measured(written, "language")}
    assert languages == {"de": len(written.shown[0]), "nn": len(written.shown[0])}
    for file in measured(written, "file"):
        receipt = written.receipts[file["path"]]
        assert (file["rows"], file["bytes"], file["sha256"]) == (receipt["rows"], receipt["bytes"], receipt["sha256"])


def test_memory_does_not_grow_with_a_partition(tmp_path: Path) -> None:
    """A shard of 6,000 pictures is 240 MB of text; measuring it may not take a quarter of that."""
    script = Path(__file__).with_name("large_shards.py")
    done = subprocess.run(
        [sys.executable, "-m", "tests.quality.large_shards", str(tmp_path), "6000"],
        cwd=script.parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    text, grown = (int(number) for number in done.stdout.split())
    assert text > 240e6
    assert grown < 60e6
