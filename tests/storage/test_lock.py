"""Two runs, one store: one of them works, the other is told who does; and a dead owner stands in nobody's way."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.errors import StoreLocked
from pipelines.storage import lock
from pipelines.storage.lock import PATH, check, held
from pipelines.storage.store import Store
from tests.running import ROOT


def test_only_one_of_many_swaps_succeeds(any_store: Store) -> None:
    url = any_store.url
    for before in (None, "0\n"):
        if before is not None:
            assert any_store.swap_text("a.json", any_store.read_text("a.json"), before)
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda n, b=before: Store(url).swap_text("a.json", b, f"{n}\n"), range(1, 9)))
        assert sum(won) == 1
        assert any_store.read_text("a.json") == f"{won.index(True) + 1}\n"


def test_a_second_run_is_refused_and_told_whose_store_it_is(any_store: Store) -> None:
    with (
        held(any_store, "first", alone=False, keep=True),
        pytest.raises(StoreLocked, match="in use by run first"),
        held(any_store, "second", alone=False),
    ):
        pytest.fail("two runs at once")
    with pytest.raises(StoreLocked, match="run first"), held(any_store, "second", alone=True):
        pytest.fail("the first run goes on with its next task")
    with held(any_store, "first", alone=False):
        pass
    with held(any_store, "second", alone=True):
        pass


def test_tasks_of_one_run_hold_it_together(any_store: Store) -> None:
    with held(any_store, "run", alone=False, keep=True), held(any_store, "run", alone=False, keep=True):
        pass
    assert json.loads(any_store.read_text(PATH) or "")["run"] == "run"


def test_a_lock_whose_heartbeat_ran_out_is_taken_over(any_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with held(any_store, "first", alone=False, keep=True):
        pass
    now = time.time()
    monkeypatch.setattr(lock.time, "time", lambda: now + lock.EXPIRES - 5)
    with pytest.raises(StoreLocked), held(any_store, "second", alone=False):
        pytest.fail("not yet")
    monkeypatch.setattr(lock.time, "time", lambda: now + lock.EXPIRES + 5)
    with held(any_store, "second", alone=False):
        assert json.loads(any_store.read_text(PATH) or "")["run"] == "second"


def test_the_heart_beats_while_the_block_runs(any_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT", 0.05)
    with held(any_store, "run", alone=True):
        first = json.loads(any_store.read_text(PATH) or "")["heartbeat"]
        deadline = time.monotonic() + 30
        while json.loads(any_store.read_text(PATH) or "")["heartbeat"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert json.loads(any_store.read_text(PATH) or "")["run"] == ""
    assert [thread.name for thread in threading.enumerate() if thread.name == "heartbeat"] == []


def hold_until_another_takes_it(store: Store) -> None:
    with held(store, "first", alone=True):
        owner = json.loads(store.read_text(PATH) or "") | {"run": "second"}
        store.write_text(PATH, json.dumps(owner))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            check()
            time.sleep(0.02)


def test_who_lost_the_lock_stops_and_says_to_whom(any_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT", 0.05)
    with pytest.raises(StoreLocked, match="taken over from run first by run second"):
        hold_until_another_takes_it(any_store)
    assert json.loads(any_store.read_text(PATH) or "")["run"] == "second"


HOLD = """
import sys, time
from pipelines.storage.lock import held
from pipelines.storage.store import Store
with held(Store(sys.argv[1]), "other", alone=True):
    print("held", flush=True)
    time.sleep(100)
"""


def test_a_process_that_was_killed_on_this_machine_holds_nothing(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, store.url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            with pytest.raises(StoreLocked, match=f"process {other.pid} on"), held(store, "other", alone=True):
                pytest.fail("the same command runs already")
        finally:
            os.kill(other.pid, signal.SIGKILL)
    with held(store, "mine", alone=True):
        pass


def test_the_lock_says_where_the_work_can_be_watched_while_there_is_work(store: Store) -> None:
    with held(store, "manual__1", alone=False, keep=True):
        assert lock.dashboard_of(store, "manual__1") == ""
        with lock.watched_at("http://127.0.0.1:8787/status"):
            assert lock.dashboard_of(store, "manual__1") == "http://127.0.0.1:8787/status"
            assert lock.dashboard_of(store, "manual__2") == "", "it belongs to its run"
        assert lock.dashboard_of(store, "manual__1") == ""
        with lock.watched_at("http://127.0.0.1:8787/status"):
            pass
    assert lock.is_at_work(store, "manual__1"), "its next process is expected"
    assert lock.dashboard_of(store, "manual__1") == ""


def test_who_was_killed_is_watched_nowhere(store: Store) -> None:
    gone = lock.Owner("cli-1", "another machine", 1, 0.0, True, time.time() - lock.EXPIRES - 1, "http://there/status")
    store.write_json(lock.PATH, dataclasses.asdict(gone))
    assert lock.dashboard_of(store, "cli-1") == ""
