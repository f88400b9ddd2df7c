"""sync: a copy of a release, from a folder or a web server, that goes on wherever it was interrupted."""

import hashlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipelines.engine.step import Context
from pipelines.errors import ReleaseError
from pipelines.releases.sync import sync_release
from pipelines.releases.verify import verify_release
from pipelines.reports.checksums import SUMS, format_sums, parse_sums
from tests.web import web_server

ADDED, SHARD = "changes/added.parquet", "ledger/part-00001.parquet"


@pytest.fixture
def release(published: Context, tmp_path: Path) -> Path:
    """Give a copy of the release to do with as one likes."""
    return Path(shutil.copytree(published.store.locate(f"releases/{published.version}"), tmp_path / "release"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy"


def interrupt(release: Path, copy: Path) -> None:
    """Begin a copy that a damaged shard puts an end to; the release is whole again after it."""
    right = (release / SHARD).read_bytes()
    (release / SHARD).write_bytes(right[::-1])
    with pytest.raises(ReleaseError, match=f"{SHARD} is not what was published"):
        sync_release(str(release), str(copy))
    (release / SHARD).write_bytes(right)


def test_a_first_copy_that_was_interrupted_is_none_and_goes_on(release: Path, copy: Path) -> None:
    interrupt(release, copy)
    there = {str(path.relative_to(copy)) for path in copy.rglob("part-*")}
    assert there
    assert not (copy / "manifest.json").exists()
    assert there <= set(sync_release(str(release), str(copy)).kept)
    assert list(verify_release(str(copy))) == []


def test_what_came_of_one_release_before_the_interruption_goes_when_it_becomes_another(
    release: Path, copy: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(release, tmp_path / "other"))
    (other / "changes").mkdir()
    (other / ADDED).write_bytes(b"list")
    sums = parse_sums((other / SUMS).read_text()) | {ADDED: hashlib.sha256(b"list").hexdigest()}
    (other / SUMS).write_text(format_sums(sums))
    interrupt(other, copy)
    assert (copy / ADDED).exists()
    assert sync_release(str(release), str(copy)).removed == (ADDED,)
    assert list(verify_release(str(copy))) == []


def test_a_first_copy_that_was_killed_goes_on_and_leaves_nothing_behind(release: Path, copy: Path) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def stop_at_the_shard(path: str) -> None:
        if path.endswith(SHARD) and not reached.is_set():
            reached.set()
            go_on.wait(60)

    with web_server(release.parent, stop_at_the_shard) as url:
        command = [sys.executable, "-m", "pipelines", "sync", f"{url}/release", str(copy)]
        with subprocess.Popen(command) as process:
            assert reached.wait(60)
            process.kill()
        go_on.set()
        assert list((copy / ".tmp").iterdir())
        sync_release(f"{url}/release", str(copy))
    assert list(verify_release(str(copy))) == []


@pytest.mark.parametrize("name", ["thesis.txt", SUMS])
def test_a_folder_of_other_things_is_left_alone(release: Path, copy: Path, name: str) -> None:
    copy.mkdir()
    (copy / name).write_text("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  thesis.txt\n")
    with pytest.raises(ReleaseError, match="no copy of a release"):
        sync_release(str(release), str(copy))
    assert [path.name for path in copy.iterdir()] == [name]


def test_what_lies_in_such_a_folder_for_long_is_no_rubbish(release: Path, copy: Path) -> None:
    mine = copy / ".tmp" / "notes.2025.txt"
    mine.parent.mkdir(parents=True)
    mine.touch()
    os.utime(mine, (0, 0))
    with pytest.raises(ReleaseError, match="no copy of a release"):
        sync_release(str(release), str(copy))
    assert mine.exists()
