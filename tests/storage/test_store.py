"""The store: files appear whole or not at all, on a disk and on a real S3 server alike."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
import s3fs

from pipelines.errors import StoreError
from pipelines.storage.refusals import StoreUnreachable
from pipelines.storage.store import Store


def write_and_fail(store: Store, path: str) -> None:
    with store.write(path) as written:
        written.file.write(b"half")
        raise RuntimeError


def test_what_was_written_is_read_back(any_store: Store) -> None:
    with any_store.write("a/b/c.bin") as written:
        written.file.write(b"one ")
        written.file.write(b"two")
    assert (written.bytes, written.sha256) == (7, any_store.sha256("a/b/c.bin"))
    with any_store.open("a/b/c.bin") as file:
        assert file.read() == b"one two"
    assert any_store.size("a/b/c.bin") == 7
    assert any_store.files("") == ["a/b/c.bin"]
    assert any_store.folders("a") == ["b"]


def test_a_write_that_fails_leaves_nothing(any_store: Store) -> None:
    with pytest.raises(RuntimeError):
        write_and_fail(any_store, "a.bin")
    assert any_store.files("") == []


def test_a_write_that_fails_leaves_the_file_that_was_there(any_store: Store) -> None:
    any_store.write_text("a.txt", "old")
    with pytest.raises(RuntimeError):
        write_and_fail(any_store, "a.txt")
    with any_store.open("a.txt") as file:
        assert file.read() == b"old"


def test_a_file_gets_a_second_name_and_outlives_its_first(any_store: Store) -> None:
    any_store.write_text("work/a.txt", "content")
    any_store.link("work/a.txt", "releases/1/a.txt")
    any_store.write_text("work/a.txt", "newer")
    any_store.remove("work/a.txt")
    with any_store.open("releases/1/a.txt") as file:
        assert file.read() == b"content"


def test_identity_changes_with_the_content(any_store: Store) -> None:
    any_store.write_text("a.txt", "old")
    before = any_store.identity("a.txt")
    assert any_store.identity("a.txt") == before
    any_store.write_text("a.txt", "newer")
    assert any_store.identity("a.txt") != before


def test_what_is_not_there_is_named(any_store: Store) -> None:
    assert not any_store.exists("no.json")
    assert any_store.read_json("no.json") is None
    assert any_store.files("no") == any_store.folders("no") == []
    for read in (any_store.open, any_store.identity):
        with pytest.raises(StoreError, match=r"no\.json is not there"):
            read("no.json")
    with pytest.raises(StoreError, match=r"no\.json"):
        any_store.link("no.json", "other.json")
    any_store.remove("no.json")


@pytest.mark.parametrize("path", ["../a", "/etc/passwd", "a/../../b", "a//b", ""])
def test_no_path_leads_out_of_the_store(any_store: Store, path: str) -> None:
    with pytest.raises(StoreError, match="not a path inside the store"), any_store.write(path):
        pass
    with pytest.raises(StoreError, match="not a path inside the store"):
        any_store.open(path)


def test_json_that_is_none_is_named(any_store: Store) -> None:
    any_store.write_text("a.json", "{")
    with pytest.raises(StoreError, match=r"a\.json is not valid JSON"):
        any_store.read_json("a.json")


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = Store(str(tmp_path / "file"))
    with pytest.raises(StoreError, match="cannot write to the store"):
        store.write_text("a.txt", "x")


def test_a_full_disk_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    if not Path("/dev/full").exists() or not stat.S_ISCHR(Path("/dev/full").stat().st_mode):
        pytest.skip("needs /dev/full")
    store = Store(str(tmp_path))
    store.write_text("a.txt", "old")
    with pytest.raises(StoreError, match=r"cannot write .*a\.txt: .*No space left"), store.write("a.txt"):
        Path("/dev/full").write_bytes(b"x" * 8192)
    assert store.files("") == ["a.txt"]


def test_clearing_scratch_removes_what_killed_writers_left_and_nothing_else(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with store.write("a.txt") as written:
        mine = next((tmp_path / ".tmp").iterdir())
        killed = subprocess.Popen(["true"])
        killed.wait()
        left = mine.with_name(mine.name.replace(f".{os.getpid()}.", f".{killed.pid}."))
        left.write_text("half")
        store.clear_scratch()
        assert mine.exists()
        assert not left.exists()
        written.file.write(b"whole")
    assert store.files("") == ["a.txt"]


def test_a_store_that_does_not_answer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    for url in ("s3://bucket/store", "http://127.0.0.1:9/store"):
        with pytest.raises(StoreUnreachable, match="the store cannot be reached"):
            Store(url).exists("a.txt")
    s3fs.S3FileSystem.clear_instance_cache()
