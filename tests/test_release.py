"""A release from real pictures of Commons, made by the command line: what is in it, and what a crash does to it."""

import hashlib
import io
import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.demo.server import DemoCommons
from pipelines.releases.shards import read_captions, read_embeddings, read_pixels
from pipelines.stages import find_deletion_candidates
from tests.running import options, run, run_and_kill
from tests.shared import shared

VERSION = "2026.01.01"

pytestmark = pytest.mark.timeout(600)  # a run takes a minute, longer on a busy machine


@dataclass(frozen=True)
class Commons:
    """A Commons on loopback, and the settings of a release made from it."""

    settings: dict[str, object]
    env: dict[str, str]
    log: Path

    def requests(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture(scope="module")
def commons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commons]:
    log = tmp_path_factory.mktemp("commons") / "requests.jsonl"
    with DemoCommons(shared("commons"), request_log=log) as served:
        settings: dict[str, object] = {
            "wit_files": [str(shared("wit/commons_sample.tsv.gz"))],
            "version": VERSION,
            "origin": "demo",
            "media_url": served.url,
            "api_url": served.api_url,
            "face_model": "retinaface-mobilenet0.25",
            "embedding_model": "resnet50-stand-in",
            "stand_in": True,
        }
        yield Commons(settings, {"WIT_MODELS": str(shared("models"))}, log)


def make(commons: Commons, store: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    done = run("run", *options({**commons.settings, "store": store, **settings}), env=commons.env)
    assert done.returncode == 0, done.stderr[-4000:]
    return done


@pytest.fixture(scope="module")
def store(commons: Commons, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a release, once for all tests of this module."""
    folder = tmp_path_factory.mktemp("store")
    make(commons, folder)
    return folder


FEW: dict[str, object] = {"partitions": 12}
"""What a run costs is mostly its 200 partitions; where they are not the point, fewer do."""


@pytest.fixture(scope="module")
def small(commons: Commons, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the same release of fewer shards."""
    folder = tmp_path_factory.mktemp("small")
    make(commons, folder, **FEW)
    return folder


def release(store: Path, version: str = VERSION) -> Path:
    return store / "releases" / version


def ledger(store: Path, version: str = VERSION) -> dict[str, dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for path in sorted((release(store, version) / "ledger").iterdir()):
        rows += pq.read_table(path).to_pylist()
    assert len({row["image_url"] for row in rows}) == len(rows)
    return {row["commons_name"]: row for row in rows}


def pixels(store: Path) -> dict[str, tuple[bytes, str]]:
    found = {}
    for path in sorted((release(store) / "image_pixels").iterdir()):
        with path.open("rb") as file:
            for row in read_pixels(file):
                assert row.url not in found
                found[row.url] = (row.picture, row.page)
    return found


def content(store: Path, version: str = VERSION) -> dict[str, str]:
    """Return the digest of every file of a release."""
    folder = release(store, version)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_release_has_its_files(store: Path) -> None:
    shards = [f"part-{number:05d}" for number in range(200)]
    for folder, ending in (
        ("image_pixels", ".csv.gz"),
        ("resnet_embeddings", ".csv.gz"),
        ("captions", ".tsv.gz"),
        ("ledger", ".parquet"),
    ):
        assert sorted(path.name for path in (release(store) / folder).iterdir()) == [name + ending for name in shards]
    for name in ("README.md", "manifest.json", "SHA256SUMS", "quality/index.html"):
        assert (release(store) / name).is_file(), name
    assert json.loads((store / "releases/latest.json").read_text())["version"] == VERSION


def test_sha256sum_accepts_it(store: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("needs sha256sum")
    check = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"],
        cwd=release(store),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (check.returncode, check.stdout + check.stderr) == (0, "")


def test_every_image_has_one_outcome(store: Path) -> None:
    images = ledger(store)
    outcomes = Counter(row["outcome"] for row in images.values())
    assert len(images) == 22
    assert outcomes["deletion_candidate"] == 3
    assert outcomes["not_on_commons"] == 1
    assert outcomes["missing"] == 2
    assert sum(row["fetched_sha256"] is not None for row in images.values()) == 19
    assert sum(outcomes.values()) == 22
    assert outcomes["released"] == 16 - outcomes["face"]
    assert set(outcomes) <= {"released", "face", "deletion_candidate", "not_on_commons", "missing"}


def test_rows_without_caption_or_url_select_nothing(store: Path) -> None:
    selected = {row["image_url"] for row in ledger(store).values()}
    assert "" not in selected
    for row in read_wit_rows():
        if not row["image_url"]:
            continue
        captioned = any(
            other["caption_reference_description"].strip()
            for other in read_wit_rows()
            if other["image_url"].split("/")[-1] == row["image_url"].split("/")[-1]
        )
        assert any(url.split("/")[-1] == row["image_url"].split("/")[-1] for url in selected) == captioned


def read_wit_rows() -> list[dict[str, str]]:
    with shared("wit/commons_sample.tsv.gz").open("rb") as file:
        return list(read_captions(file))


def test_pictures_are_as_wide_as_they_should_be_and_of_the_right_type(store: Path) -> None:
    images = {row["image_url"]: row for row in ledger(store).values()}
    for url, (picture, page) in pixels(store).items():
        row = images[url]
        with Image.open(io.BytesIO(picture)) as opened:
            opened.load()
            ending = url.rsplit(".", 1)[-1].lower()
            assert opened.format == ("JPEG" if ending in ("jpg", "jpeg", "tif", "tiff") else "PNG"), url
            assert opened.width == min(300, row["original_width"]), url
            assert abs(opened.height - row["original_height"] * opened.width / row["original_width"]) <= 1, url
            assert not {"icc_profile", "exif", "comment", "xmp"} & set(opened.info), url
        assert page == f"https://commons.wikimedia.org/wiki/File:{url.rsplit('/', 1)[-1]}"
        assert hashlib.sha256(picture).hexdigest() == row["image_sha256"]


def test_exif_rotation_is_applied(store: Path) -> None:
    """The upper left corner of the released picture is the lower right one of the file that says 180°."""
    url, (picture, _) = next(item for item in pixels(store).items() if "EXIF_rotation_180" in item[0])
    with (
        Image.open(shared("commons/originals/EXIF_rotation_180.jpg")) as original,
        Image.open(io.BytesIO(picture)) as turned,
    ):
        upright = original.rotate(180).convert("RGB").resize(turned.size)
        difference = sum(abs(a - b) for a, b in zip(upright.tobytes(), turned.convert("RGB").tobytes(), strict=True))
        assert difference / len(upright.tobytes()) < 8, url


def test_embeddings_and_captions_are_of_the_released_images(store: Path) -> None:
    released = set(pixels(store))
    embedded: dict[str, Any] = {}
    captioned: set[str] = set()
    for number in range(200):
        with (release(store) / f"resnet_embeddings/part-{number:05d}.csv.gz").open("rb") as file:
            embedded |= dict(read_embeddings(file))
        with (release(store) / f"captions/part-{number:05d}.tsv.gz").open("rb") as file:
            captioned |= {row["image_url"] for row in read_captions(file)}
    assert set(embedded) == captioned == released
    assert {len(vector) for vector in embedded.values()} == {2048}


def test_licences_and_authors_are_in_the_ledger(store: Path) -> None:
    images = ledger(store)
    assert images["Hafnia_alvei.tif"]["licence"] == "Public domain"
    assert images["Hafnia_alvei.tif"]["author"] == "CDC"
    assert images["Tower.jpg"]["licence"] == "CC BY-SA 4.0"
    assert images["Tower.jpg"]["author"] == "Example"


def test_two_undisturbed_runs_are_byte_identical(commons: Commons, small: Path, tmp_path: Path) -> None:
    make(commons, tmp_path, **FEW)
    assert content(tmp_path) == content(small)


def test_the_number_of_shards_changes_none_of_the_decisions(store: Path, small: Path) -> None:
    assert ledger(small) == ledger(store)
    assert pixels(small) == pixels(store)


def test_another_threshold_fetches_nothing_and_detects_nothing(commons: Commons, small: Path, tmp_path: Path) -> None:
    copy = tmp_path / "store"
    shutil.copytree(small, copy)
    before = len(commons.requests())
    done = make(commons, copy, version="2026.01.02", face_threshold=0.0, **FEW)
    new = [request["path"] for request in commons.requests()[before:]]
    assert new
    assert not [path for path in new if path.startswith("/wikipedia/")]
    assert "faces: 22 rows (0 made now)" in done.stderr
    assert "ledger: 22 rows (0 made now)" not in done.stderr
    first, second = ledger(small), ledger(copy, "2026.01.02")
    faces = {name for name, row in first.items() if row["face_ratio"] and row["outcome"] == "released"}
    assert faces
    assert {name for name in second if second[name]["outcome"] != first[name]["outcome"]} == faces
    assert content(copy) == content(small)  # the release before is as it was


MIDDLES = {
    "pull_rows": "work/images",
    "describe_files": "work/descriptions",
    "fetch_images": "work/pixels",
    "detect_faces": "work/faces",
    "find_deletion_candidates": "work/candidates",
    "decide": "work/ledger",
    "write_shards": "work/pixel_files",
    "embed_images": "work/embeddings",
    "validate": "work/measurements",
    "publish": f"releases/{VERSION}/README.md",  # before the checksums and the manifest
}
"""What appears in the store in the middle of each stage."""


@pytest.mark.timeout(1200)  # eleven runs
def test_killed_in_every_stage_it_goes_on_and_the_release_is_the_same(
    commons: Commons, small: Path, tmp_path: Path
) -> None:
    """No partition that was finished is made again, but for the candidates, whom publish asks after a last time."""
    arguments = ("run", *options({**commons.settings, **FEW, "store": tmp_path}))
    asked_again = {tmp_path / "work" / step.name for step in find_deletion_candidates.STEPS}
    finished: dict[Path, int] = {}
    for stage, place in MIDDLES.items():
        path = tmp_path / place

        def in_the_middle(path: Path = path) -> bool:
            if path.suffix:
                return path.exists()
            return path.is_dir() and len(list(path.glob("*.parquet"))) >= 3

        assert run_and_kill(in_the_middle, *arguments, env=commons.env), f"{stage} ended before it could be killed"
        assert not (tmp_path / "releases/latest.json").exists(), stage
        for table, written in finished.items():
            if stage == "publish" and table.parent in asked_again:
                continue
            assert table.stat().st_mtime_ns == written, f"{table} was made again after the crash in {stage}"
        finished |= {table: table.stat().st_mtime_ns for table in (tmp_path / "work").rglob("*.parquet")}
    make(commons, tmp_path, **FEW)
    assert content(tmp_path) == content(small)
    assert [path.name for path in (tmp_path / ".tmp").glob("*")] == []
    assert all(isinstance(pq.read_schema(table), pa.Schema) for table in finished if table.exists())
