"""A release that follows another: what is different, what it cost, and that it is as if made from nothing."""

import base64
import gzip
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from distributed import Client

from pipelines.engine.step import Context
from pipelines.errors import ReleaseError
from pipelines.releases.reader import open_release
from pipelines.releases.sync import sync_release
from pipelines.releases.verify import verify_release
from pipelines.releases.versions import run_path
from pipelines.removals.takedowns import add_takedown
from pipelines.storage.store import Store
from pipelines.tables import Change
from tests.published import make
from tests.stages.making import url_of
from tests.world import World, downloads

pytestmark = pytest.mark.timeout(600)

FIRST, SECOND = "2026.01.01", "2026.02.01"
PARTITIONS = 40


def release(context: Context) -> Path:
    return Path(context.store.locate(f"releases/{context.version}"))


def changes(context: Context) -> dict[str, dict[str, dict[str, Any]]]:
    """Return what is different, by kind of change and URL."""
    read = {}
    reader = open_release(str(release(context)))
    for change in Change:
        rows = pq.read_table(release(context) / f"changes/{change}.parquet").to_pylist()
        assert list(reader.changes(change)) == rows
        assert [row["image_url"] for row in rows] == sorted({row["image_url"] for row in rows})
        read[change.value] = {row["image_url"]: row for row in rows}
    return read


def content(context: Context, *, whole: bool = True) -> Mapping[str, str]:
    """Return the checksum of every file of a release; without `whole`, of the files that hold its images."""
    folder = release(context)
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
        if whole or ("part-" in name and not name.startswith("quality/"))
    }


@pytest.fixture(scope="module")
def before_and_after(client: Client, tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Context, Context, Path]:
    """Make a release of 300 images, let the world go on, and make the next one."""
    folder = tmp_path_factory.mktemp("refresh")
    world = World()
    names = world.upload(300)
    world.nominated = {names[290]}
    with world.served(folder / "first") as settings:
        first = make(client, folder / "store", {**settings, "version": FIRST, "partitions": PARTITIONS})
    world.upload(5)
    for name in names[:3]:
        world.upload_again(name)
    for name in names[3:5]:
        world.move(name)
    world.deleted |= set(names[5:9])
    world.nominated = set(names[9:12])
    for name in names[12:14]:
        world.files[name].licence = "CC0"
    for name in names[14:20]:
        world.files[name].caption += 1
    with world.served(folder / "second") as settings:
        second = make(client, folder / "store", {**settings, "version": SECOND, "partitions": PARTITIONS})
    return world, first, second, folder


def test_the_changes_are_exactly_those_of_the_world(
    before_and_after: tuple[World, Context, Context, Path],
) -> None:
    _, _, second, _ = before_and_after
    names = [f"Picture_{number:05d}.jpg" for number in range(305)]
    urls = [url_of(name) for name in names]
    found = changes(second)
    assert found["added"].keys() == {urls[290], *urls[300:]}
    assert {found["added"][url]["reason"] for url in urls[300:]} == {"new among the captioned rows of WIT"}
    assert found["added"][urls[290]]["outcome_before"] == "deletion_candidate"
    assert {url: row["outcome"] for url, row in found["removed"].items()} == {
        **dict.fromkeys(urls[5:9], "missing"),
        **dict.fromkeys(urls[9:12], "deletion_candidate"),
    }
    assert all(row["reason"].startswith(row["outcome"]) for row in found["removed"].values())
    assert {url: row["what"] for url, row in found["changed"].items()} == {
        **{key: ["picture", "file"] for key in urls[:3]},
        **{key: ["name"] for key in urls[3:5]},
        **{key: ["licence"] for key in urls[12:14]},
        **{key: ["captions"] for key in urls[14:20]},
    }
    assert {row["licence_before"] for row in found["changed"].values()} == {"CC BY-SA 4.0"}
    assert {found["changed"][url]["licence"] for url in urls[12:14]} == {"CC0"}


def test_the_documents_count_them(before_and_after: tuple[World, Context, Context, Path]) -> None:
    _, first, second, _ = before_and_after
    manifest = json.loads((release(second) / "manifest.json").read_text())
    assert manifest["base"] == FIRST
    assert manifest["counts"]["changes"] == {
        "added": {"images": 6, "by": {"new": 5, "deletion_candidate": 1}},
        "removed": {"images": 7, "by": {"missing": 4, "deletion_candidate": 3}},
        "changed": {"images": 13, "by": {"captions": 6, "file": 3, "picture": 3, "licence": 2, "name": 2}},
    }
    assert manifest["files"]["changes/removed.parquet"]["rows"] == 7
    card = (release(second) / "README.md").read_text()
    assert "| removed | 7 | missing: 4, deletion_candidate: 3 |" in card
    assert "What changed since release 2026.01.01" in (release(second) / "report.html").read_text()
    assert not (release(first) / "changes").exists()
    assert list(open_release(str(release(first))).changes("removed")) == []
    assert json.loads((release(first) / "manifest.json").read_text())["base"] is None


def test_only_what_changed_was_downloaded(before_and_after: tuple[World, Context, Context, Path]) -> None:
    """New, replaced and moved files; and the one whose picture was removed while it was nominated for deletion."""
    *_, folder = before_and_after
    wanted = {f"Picture_{number:05d}.jpg" for number in (0, 1, 2, 290, *range(300, 305))}
    wanted |= {f"Moved_Picture_{number:05d}.jpg" for number in (3, 4)}
    asked = [path.rsplit("/", 1)[-1] for path in downloads(folder / "second")]
    assert sorted(asked) == sorted(wanted)


def test_shards_in_which_nothing_changed_are_the_same_files(
    before_and_after: tuple[World, Context, Context, Path],
) -> None:
    _, first, second, _ = before_and_after
    before, after = content(first, whole=False), content(second, whole=False)
    same = [name for name in after if before.get(name) == after[name]]
    assert len(same) > len(after) // 3
    for name in same:
        assert (release(first) / name).stat().st_ino == (release(second) / name).stat().st_ino, name


def test_files_that_are_the_very_same_are_not_measured_again(
    before_and_after: tuple[World, Context, Context, Path],
) -> None:
    _, first, second, _ = before_and_after
    before, after = content(first, whole=False), content(second, whole=False)
    shards = {name.rsplit("/", 1)[-1].split(".")[0] for name in after}
    changed = {name.rsplit("/", 1)[-1].split(".")[0] for name in after if before.get(name) != after[name]}
    (measuring,) = second.store.read_json(run_path(SECOND, "stages/validate.json"))["steps"]
    assert measuring["skipped"] > 0
    assert measuring["skipped"] >= len(shards - changed)


def test_it_is_as_if_made_from_nothing(
    client: Client, before_and_after: tuple[World, Context, Context, Path], tmp_path: Path
) -> None:
    world, _, second, _ = before_and_after
    with world.served(tmp_path / "world") as settings:
        fresh = make(client, tmp_path / "store", {**settings, "version": SECOND, "partitions": PARTITIONS})
    assert content(fresh, whole=False) == content(second, whole=False)


def test_a_copy_is_brought_to_the_next_release_by_what_changed(
    before_and_after: tuple[World, Context, Context, Path], tmp_path: Path
) -> None:
    _, first, second, _ = before_and_after
    copy = str(tmp_path / "copy")
    whole = sync_release(str(release(first)), copy)
    assert whole.kept == whole.removed == ()
    assert list(verify_release(copy)) == []
    gone = next(image for image in open_release(copy).images() if image.url == url_of("Picture_00005.jpg"))
    synced = sync_release(str(release(second)), copy)
    same = {name for name, digest in content(first).items() if content(second).get(name) == digest}
    assert set(synced.kept) == same
    assert synced.version == SECOND
    assert list(verify_release(copy)) == []
    assert {image.url for image in open_release(copy).images()} == {
        image.url for image in open_release(str(release(second))).images()
    }
    assert all(base64.b64encode(gone.picture) not in contents for contents in unpacked(Path(copy)))
    assert set(sync_release(str(release(first)), copy).removed) == {f"changes/{change}.parquet" for change in Change}


def unpacked(folder: Path) -> list[bytes]:
    return [gzip.decompress(path.read_bytes()) for path in (folder / "image_pixels").iterdir()]


def test_a_copy_that_was_interrupted_is_none_and_goes_on(
    before_and_after: tuple[World, Context, Context, Path], tmp_path: Path
) -> None:
    _, first, second, _ = before_and_after
    broken = shutil.copytree(release(second), tmp_path / "broken")
    copy = str(tmp_path / "copy")
    sync_release(str(release(first)), copy)
    damaged = sorted((broken / "ledger").iterdir())[0]
    right = damaged.read_bytes()
    damaged.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    with pytest.raises(ReleaseError, match=f"{damaged.name} is not what was published"):
        sync_release(str(broken), copy)
    assert not (Path(copy) / "manifest.json").exists()
    damaged.write_bytes(right)
    sync_release(str(broken), copy)
    assert list(verify_release(copy)) == []


def test_a_folder_with_other_things_in_it_is_left_alone(
    before_and_after: tuple[World, Context, Context, Path], tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ReleaseError, match="no copy of a release"):
        sync_release(str(release(before_and_after[1])), str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_what_was_taken_down_is_out_of_the_next_releases_and_of_the_work_tables(
    client: Client, before_and_after: tuple[World, Context, Context, Path], tmp_path: Path
) -> None:
    """It stays out, too; what the releases before it hold is theirs: they are not rewritten."""
    world, _, second, folder = before_and_after
    name = "Picture_00050.jpg"
    picture = next(image.picture for image in open_release(str(release(second))).images() if image.url == url_of(name))
    store = Store(str(shutil.copytree(folder / "store", tmp_path / "store")))
    add_takedown(store, name, "the person in it asked for it", "subject")
    with world.served(tmp_path / "world") as settings:
        for version in ("2026.03.01", "2026.04.01", "2026.05.01"):
            third = make(client, store.url, {**settings, "version": version, "partitions": PARTITIONS})
            assert url_of(name) not in {image.url for image in open_release(str(release(third))).images()}
            removed = list(open_release(str(release(third))).changes("removed"))
            assert [row["image_url"] for row in removed] == ([url_of(name)] if version == "2026.03.01" else [])
            assert all("the person in it asked for it" in row["reason"] for row in removed)
            held = [path for path in holding(tmp_path / "store" / "work", picture)] + [
                *holding(release(third), picture)
            ]
            assert held == [], version


def holding(folder: Path, picture: bytes) -> Iterator[Path]:
    """Yield the files that hold a picture: its bytes, or its base64 in compressed text."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        contents = path.read_bytes()
        if path.suffix == ".gz":
            contents = gzip.decompress(contents)
        if picture in contents or base64.b64encode(picture) in contents:
            yield path


def test_the_search_for_a_picture_finds_it(before_and_after: tuple[World, Context, Context, Path]) -> None:
    _, _, second, folder = before_and_after
    picture = next(open_release(str(release(second))).images()).picture
    kinds = {path.relative_to(folder / "store").parts[:3] for path in holding(folder / "store", picture)}
    assert {parts[0] for parts in kinds} == {"work", "releases"}
    assert {parts[-1] for parts in kinds} >= {"image_pixels", "parquet"}
