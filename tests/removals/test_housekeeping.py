"""Housekeeping: what no release needs goes, and nothing else; the next release is made at the same price as before."""

import os
import shutil
import time
from pathlib import Path

import pytest
import s3fs

from pipelines.cli import main
from pipelines.errors import SettingError, StoreLocked
from pipelines.releases.verify import verify_release
from pipelines.removals.housekeeping import collect_garbage
from pipelines.storage.lock import held
from pipelines.storage.store import Store
from tests.s3 import s3_server
from tests.scene import FIRST, SECOND, Scene
from tests.world import downloads

pytestmark = pytest.mark.timeout(1200)

ABANDONED, WAITING = "2026.01.15", "2026.02.15"


def begun(store: Store, version: str, like: str, started: str) -> None:
    """Leave a release as a killed run leaves it: begun, with a shard in its folder."""
    about = store.read_json(f"runs/{like}/begun.json")
    store.write_json(f"runs/{version}/begun.json", about | {"version": version, "run": "killed", "started": started})
    store.write_text(f"releases/{version}/image_pixels/part-00000.csv.gz", "half a release")


@pytest.fixture
def untidy(scene: Scene) -> Scene:
    store = scene.store
    begun(store, ABANDONED, FIRST, "2020-01-01T00:00:00+00:00")
    store.write_text("work/of_an_older_version/part-00000.parquet", "a table")
    store.write_text("work/pixels/part-00777.parquet", "a partition that no release has")
    store.write_text("work/files/image_pixels/part-00777.csv.gz", "a file that no table knows")
    store.write_text("work/pixels/part-00000.saved/000000.parquet", "a slice of a killed run")
    (Path(store.url) / ".tmp").mkdir(exist_ok=True)
    (Path(store.url) / ".tmp" / "elsewhere.1.abc").write_text("half a file")
    return scene


WANTED_GONE = {
    f"releases/{ABANDONED}",
    f"runs/{ABANDONED}",
    f"runs/{FIRST}/measurements.parquet",
    f"runs/{FIRST}/report.html",
    "work/of_an_older_version",
    "work/pixels/part-00777.parquet",
    "work/files/image_pixels/part-00777.csv.gz",
    "work/pixels/part-00000.saved",
}


def state(store: Store) -> dict[str, tuple[int, int]]:
    files = (Path(store.url) / path for path in store.files(""))
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in files}


def test_a_dry_run_says_what_would_go_and_touches_nothing(untidy: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    before = state(untidy.store)
    assert main(["gc", "--dry-run", "--keep", "1", "--store", untidy.store.url]) == 0
    said = capsys.readouterr().out.splitlines()
    assert {line.split()[1] for line in said[:-1]} == WANTED_GONE
    size = sum(int(line.split()[0].replace(",", "")) for line in said[:-1])
    assert f"{len(WANTED_GONE)} things, {size:,} bytes would be removed" in said[-1]
    assert state(untidy.store) == before


def test_just_that_goes_and_the_next_release_costs_no_download(untidy: Scene) -> None:
    store = untidy.store
    before = set(store.files(""))
    found = collect_garbage(store, keep=1)
    assert {one.path for one in found} == WANTED_GONE
    gone = before - set(store.files(""))
    assert all(any(path == one or path.startswith(f"{one}/") for one in WANTED_GONE) for path in gone)
    assert {path for path in before & set(store.files("")) if path.startswith(tuple(WANTED_GONE))} == set()
    assert main(["status", "--store", store.url]) == 0
    asked = len(downloads(untidy.commons))
    third = untidy.refresh()
    assert len(downloads(untidy.commons)) == asked
    counts = store.read_json(f"runs/{third}/stages/embed_images.json")["counts"]
    assert counts["embeddings_fresh"] == 0
    for version in (FIRST, SECOND, third):
        assert list(verify_release(untidy.place(version))) == []
    same = {path: entry for path, entry in files(store, third).items() if "part-" in path}
    assert same == {path: entry for path, entry in files(store, SECOND).items() if "part-" in path}


def files(store: Store, version: str) -> dict[str, object]:
    return dict(store.read_json(f"releases/{version}/manifest.json")["files"])


def test_a_release_that_may_go_on_keeps_everything(untidy: Scene) -> None:
    begun(untidy.store, WAITING, SECOND, "2999-01-01T00:00:00+00:00")
    kept = {f"runs/{FIRST}/measurements.parquet", "work/pixels/part-00000.saved"}
    about = untidy.store.read_json(f"runs/{WAITING}/begun.json")
    untidy.store.write_json(f"runs/{WAITING}/begun.json", about | {"base": FIRST})
    gone = {one.path for one in collect_garbage(untidy.store, keep=1)}
    assert gone == WANTED_GONE - kept - {f"runs/{FIRST}/report.html"}
    assert untidy.store.exists(f"releases/{WAITING}/image_pixels/part-00000.csv.gz")


def without_lock(store: Store) -> set[str]:
    return {path for path in store.files("") if not path.endswith("lock.json")}


def test_it_refuses_while_a_run_is_at_work_and_names_it(untidy: Scene) -> None:
    before = without_lock(untidy.store)
    for dry_run in (True, False):
        with held(untidy.store, "monthly", alone=True), pytest.raises(StoreLocked, match="in use by run monthly"):
            collect_garbage(untidy.store, dry_run=dry_run)
    assert without_lock(untidy.store) == before
    with pytest.raises(SettingError, match="keep"):
        collect_garbage(untidy.store, keep=0)


def test_pictures_that_a_killed_publication_left_are_removed(scene: Scene) -> None:
    """A takedown that is published removes them by itself; here the tables are those of before its removal."""
    work = Path(scene.store.url) / "work"
    kept = shutil.copytree(work / "pixels", work.parent / "kept")
    scene.takedown("--now")
    shutil.rmtree(work / "pixels")
    kept.rename(work / "pixels")
    assert scene.held_by() >= {"work/pixels"}
    planned = {one.path: one.why for one in collect_garbage(scene.store, dry_run=True)}
    assert "pixels of 1 dropped pictures" in planned.values()
    collect_garbage(scene.store)
    assert scene.held_by() == {f"releases/{FIRST}", f"releases/{SECOND}", f"runs/{FIRST}", f"runs/{SECOND}"}


def test_scratch_of_killed_writers_goes_and_that_of_living_ones_stays(store: Store) -> None:
    folder = Path(store.url) / ".tmp"
    folder.mkdir(parents=True)
    (folder / "elsewhere.1.young").write_text("being written on another machine")
    old = folder / "elsewhere.1.old"
    old.write_text("left")
    os.utime(old, (time.time() - 100_000,) * 2)
    assert [one.path for one in collect_garbage(store, dry_run=True)] == [".tmp/elsewhere.1.old"]
    collect_garbage(store)
    assert [path.name for path in folder.iterdir()] == ["elsewhere.1.young"]


def test_an_upload_that_a_killed_writer_left_half_way_goes_and_those_of_others_stay(tmp_path: Path) -> None:
    """Nobody sees it in the bucket, but it may hold pictures. moto says of every upload that it was begun in 2010."""
    with s3_server() as bucket:
        store, other = Store(f"{bucket}/{tmp_path.name}"), Store(f"{bucket}/{tmp_path.name}-of-others")
        for one in (store, other):
            place = dict(zip(("Bucket", "Key"), f"{one.url}/work/pixels.parquet"[5:].split("/", 1), strict=True))
            upload = s3fs.S3FileSystem().call_s3("create_multipart_upload", **place)["UploadId"]
            part = {"UploadId": upload, "PartNumber": 1, "Body": b"x" * 1000}
            s3fs.S3FileSystem().call_s3("upload_part", **place, **part)
        (planned,) = collect_garbage(store, dry_run=True)
        assert (planned.path, planned.bytes) == ("work/pixels.parquet", 1000)
        collect_garbage(store)
        assert store.unfinished_uploads(0) == {}
        assert len(other.unfinished_uploads(0)) == 1
