"""Takedowns: the picture is in no later release and nowhere in the store, and who holds older releases is told."""

import json
import warnings
from pathlib import Path

import pytest
from distributed import Client

from pipelines.cli import main
from pipelines.errors import ReleaseError, StoreLocked
from pipelines.releases.notices import ReleaseSuperseded, notice_path, read_notice
from pipelines.releases.reader import open_release
from pipelines.releases.sync import sync_release
from pipelines.releases.verify import verify_release
from pipelines.releases.versions import latest, published
from pipelines.removals.takedowns import read_list, read_takedowns
from pipelines.removals.withdrawal import withdraw
from pipelines.storage.lock import held
from pipelines.storage.store import Store
from tests.releases.making import worked_on
from tests.s3 import s3_server
from tests.scene import FIRST, GONE, MOVED, MOVED_TO, NAME, NEW, REASON, SECOND, Scene, two_releases
from tests.stages.making import url_of
from tests.world import downloads

pytestmark = pytest.mark.timeout(1200)


def check_that_it_is_gone_for_good(scene: Scene, refreshes: int) -> None:
    """What the command does at once, and what stays so whatever is done later."""
    assert scene.held_by() >= {f"releases/{FIRST}", f"releases/{SECOND}", "work/pixels", "work/files"}
    fetched = sum(path.endswith(NAME) for path in downloads(scene.commons))
    assert scene.takedown("--now", "--withdraw") == 0
    third = latest(scene.store)
    assert published(scene.store) == [FIRST, SECOND, third]
    assert scene.held_by() == set()
    others = scene.urls(str(third))
    assert len(others) == 9
    assert url_of(NAME) not in others
    (removed,) = open_release(scene.place(str(third))).changes("removed")
    assert REASON in removed["reason"]
    for version in (FIRST, SECOND):
        check_notice(scene, version, by=str(third))
    assert scene.takedown("--now", "--withdraw") == 0, "it can be said twice"
    assert latest(scene.store) == third
    for _ in range(refreshes):
        assert main(["gc", "--store", scene.store.url, "--keep", "1"]) == 0
        assert scene.urls(scene.refresh()) == others
        assert scene.held_by() == set()
    for version in published(scene.store):
        assert list(verify_release(scene.place(version))) == []
    assert sum(path.endswith(NAME) for path in downloads(scene.commons)) == fetched


def check_notice(scene: Scene, version: str, by: str) -> None:
    notice = read_notice(scene.store, version)
    assert [(one.file, one.images, one.by) for one in notice.superseded] == [(NAME, (url_of(NAME),), by)]
    gone = {one.path: one for one in notice.withdrawn}
    (shard,) = {path.split("/")[1].split(".")[0] for path in gone if "/" in path}
    assert gone.keys() == {
        "report.html",
        f"captions/{shard}.tsv.gz",
        f"image_pixels/{shard}.csv.gz",
        f"parquet/{shard}.parquet",
        f"resnet_embeddings/{shard}.csv.gz",
    }
    files = scene.store.read_json(f"releases/{version}/manifest.json")["files"]
    for path, one in gone.items():
        assert (one.bytes, one.sha256) == (files[path]["bytes"], files[path]["sha256"])
        assert one.reason == REASON
        assert not scene.store.exists(f"releases/{version}/{path}")
    left = {path for path in files if scene.store.exists(f"releases/{version}/{path}")}
    assert left == files.keys() - gone.keys()
    with pytest.warns(ReleaseSuperseded, match=f"superseded by release {by}"):
        assert len(list(open_release(scene.place(version)).rows())) < 9


def test_its_bytes_are_nowhere_and_it_stays_out(scene: Scene) -> None:
    check_that_it_is_gone_for_good(scene, refreshes=2)


def test_the_same_in_an_object_store(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", client.scheduler.address)
    with s3_server() as bucket, two_releases(client, f"{bucket}/{tmp_path.name}", tmp_path / "commons") as scene:
        check_that_it_is_gone_for_good(scene, refreshes=1)


def test_releases_that_hold_it_are_marked_at_once(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: scene.store.sha256(path) for path in scene.store.files("releases")}
    assert scene.takedown(name=NEW) == 0
    assert f"release {SECOND} is marked superseded" in capsys.readouterr().out
    assert read_notice(scene.store, FIRST).superseded == ()
    (mark,) = read_notice(scene.store, SECOND).superseded
    assert (mark.file, mark.images, mark.reason, mark.by) == (NEW, (url_of(NEW),), REASON, "")
    after = {path: scene.store.sha256(path) for path in scene.store.files("releases")}
    assert after.keys() - before.keys() == {notice_path(SECOND)}
    assert {path: after[path] for path in before} == before, "nothing of a release is rewritten"
    assert main(["status", "--store", scene.store.url]) == 0
    said = "superseded; no release without what was taken down is published yet"
    assert f"    ! release {SECOND} is {said}: File:{NEW} taken down on" in capsys.readouterr().out
    assert main(["verify", scene.place(SECOND)]) == 0
    assert said in capsys.readouterr().out
    with pytest.warns(ReleaseSuperseded, match="no release without"):
        open_release(scene.place(SECOND))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_release(scene.place(FIRST))


def test_a_copy_of_a_superseded_release_is_made_for_those_who_insist(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = str(tmp_path / "copy")
    scene.takedown(name=NEW)
    assert main(["sync", scene.place(SECOND), copy]) == 0, "there is none to use instead"
    assert url_of(NEW) in capsys.readouterr().err
    scene.takedown(name=GONE)
    assert read_notice(scene.store, FIRST).by == SECOND
    with pytest.raises(ReleaseError, match=f"superseded by release {SECOND}.* Take .*/releases/{SECOND}"):
        sync_release(scene.place(FIRST), copy)
    assert sync_release(scene.place(FIRST), copy, superseded=True).version == FIRST
    withdraw(scene.store, [GONE], "withdrawal")
    with pytest.raises(ReleaseError, match=f"cannot be copied whole any more; take .*/releases/{SECOND}"):
        sync_release(scene.place(FIRST), copy, superseded=True)
    assert list(verify_release(copy)) == []


def test_a_name_that_no_release_knows_is_on_the_list_and_what_is_no_name_is_refused(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scene.takedown("--now", name="not yet in WIT.jpg") == 0
    said = capsys.readouterr().out
    assert "File:Not_yet_in_WIT.jpg is in no ledger" in said
    assert "the newest release is without it already" in said
    assert read_takedowns(scene.store).keys() == {"Not_yet_in_WIT.jpg"}
    assert scene.takedown(name="<b>.jpg") == 1
    assert "may not hold '<'" in capsys.readouterr().err
    assert main(["takedown", f"File:{NAME}", "--reason", " ", "--requester", "other", "--store", scene.store.url]) == 1
    assert main(["takedown", f"File:{NAME}", "--reason", "x", "--store", scene.store.url]) == 1
    assert read_takedowns(scene.store).keys() == {"Not_yet_in_WIT.jpg"}


def test_a_file_is_found_by_each_of_its_names(scene: Scene) -> None:
    """One release knows it by the name that WIT has, the next one by another; the URL is the same."""
    assert scene.takedown(name=MOVED_TO) == 0
    assert scene.takedown(name=MOVED) == 0
    for version in (FIRST, SECOND):
        marks = {one.file: one.images for one in read_notice(scene.store, version).superseded}
        assert marks == dict.fromkeys((MOVED_TO, MOVED), (url_of(MOVED),))


def test_a_takedown_that_was_a_mistake_is_lifted_and_not_forgotten(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.takedown(name=NEW)
    assert scene.takedown("--lift", name=NEW) == 0
    assert read_takedowns(scene.store) == {}
    assert read_list(scene.store)[NEW]["lifted"]["reason"] == REASON
    assert not read_notice(scene.store, SECOND).is_superseded
    assert read_notice(scene.store, SECOND).superseded[0].lifted
    assert scene.takedown("--lift", name=NEW) == 1
    scene.takedown(name=NEW)
    assert read_takedowns(scene.store).keys() == {NEW}
    capsys.readouterr()
    assert main(["takedowns", "--store", scene.store.url]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert len(listed) == 2
    assert "lifted on" in listed[0]
    assert "lifted on" not in listed[1]


class Killed(BaseException):
    """What no code expects to catch: as if the process had ended here."""


def test_a_withdrawal_that_was_killed_is_finished_by_the_same_command(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before each of its removals in turn; what it had not come to is not called missing, but still there."""
    scene.takedown()
    remove = Store.remove
    kills = 0
    while True:
        left = kills

        def remove_some(store: Store, path: str) -> None:
            nonlocal left
            if left == 0 and store.exists(path):
                raise Killed
            left -= store.exists(path)
            remove(store, path)

        monkeypatch.setattr(Store, "remove", remove_some)
        try:
            withdraw(scene.store, [NAME], "withdrawal")
            break
        except Killed:
            kills += 1
            problems = [*verify_release(scene.place(FIRST)), *verify_release(scene.place(SECOND))]
            assert all(problem.endswith("withdrawn, and still there; withdraw it again") for problem in problems)
        finally:
            monkeypatch.setattr(Store, "remove", remove)
    assert kills >= 5
    assert scene.held_by() == set()
    for version in (FIRST, SECOND):
        check_notice_of_withdrawal(scene, version)
    assert NAME not in json.dumps(sorted(scene.urls(scene.refresh())))
    assert scene.held_by() == set()
    assert read_notice(scene.store, SECOND).by == latest(scene.store)


def check_notice_of_withdrawal(scene: Scene, version: str) -> None:
    assert len(read_notice(scene.store, version).withdrawn) == 5
    assert list(verify_release(scene.place(version))) == []


def test_it_drops_nobody_elses_work_unless_that_is_given_up(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = worked_on(scene.store, "trial", origin="demo", max_rows=1000)
    assert scene.takedown("--now") == 1
    said = capsys.readouterr().err
    assert f"release {theirs}, which run trial began with other wit_files, max_rows" in said
    assert "name the published release to follow (base, in the forms and on the command line)" in said
    assert scene.takedown("--now", "--base", SECOND) == 0
    assert url_of(NAME) not in scene.urls(str(latest(scene.store)))


def test_nothing_is_withdrawn_while_a_run_is_at_work(scene: Scene) -> None:
    scene.takedown()
    before = scene.store.files("releases")
    with held(scene.store, "monthly", alone=True), pytest.raises(StoreLocked, match="in use by run monthly"):
        withdraw(scene.store, [NAME], "withdrawal")
    with held(scene.store, "monthly", alone=True):
        assert scene.takedown("--now") == 1
    assert scene.store.files("releases") == before
    with pytest.raises(ReleaseError, match="not on the list"):
        withdraw(scene.store, [NEW], "withdrawal")
