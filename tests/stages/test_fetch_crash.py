"""A fetch that is killed, whatever of it is killed: no finished picture is lost or fetched again, no lease leaks."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import psutil
import pytest
from distributed import Client, LocalCluster

from pipelines.config import ReleaseConfig
from pipelines.pipeline import run_stage
from pipelines.releases.versions import begin
from pipelines.tables import FETCHED
from tests.commons.cluster import QUICK, QUICK_ENV, cluster, eventually, free_leases
from tests.commons.server import Log, serving
from tests.running import ROOT
from tests.stages.fetching import VERSION, Originals, finished, pictures, ready, slices, so_far, times_asked

PICTURES = pictures(448)
NARROW: dict[str, dict[str, Any]] = {name: {} for name in PICTURES}
SLICE, WORKERS = 64, 2
PROGRAM = """
import json, logging, sys
from pipelines.pipeline import run_one
logging.basicConfig(level=logging.INFO)
run_one("fetch_images", json.loads(sys.argv[1]), "crash")
"""
QUICK_CLIENT = {**QUICK_ENV, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s"}


@dataclass(frozen=True)
class Crash:
    """A release that is ready to fetch, and the server that it fetches from."""

    store: Path
    settings: dict[str, Any]
    log: Log

    @contextmanager
    def running(self, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        """Run the stage in a process, as a task of Airflow does; it is killed at the end with all that it started."""
        with (self.store.parent / "run.log").open("ab") as said:
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, json.dumps(self.settings)],
                cwd=ROOT,
                env={**os.environ, **QUICK_CLIENT, **env},
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def run(self, env: Mapping[str, str]) -> None:
        """Run the stage to its end."""
        with self.running(env) as process:
            assert process.wait(90) == 0, self.said()

    def said(self) -> str:
        return (self.store.parent / "run.log").read_text()

    def in_the_middle(self) -> bool:
        return len(slices(self.store)) >= 2

    def settle(self) -> None:
        """Wait until nothing is fetched any more, which must be long before everything is."""
        asked = -1
        while asked != (asked := len(self.log.requests)):
            time.sleep(1)
        assert asked < len(PICTURES)

    def assert_nothing_was_lost(self, kept: Mapping[str, dict[str, Any]]) -> None:
        """Check the end against what was saved at the time of the crash, and against the server's log."""
        rows = finished(self.store)
        assert rows.keys() == PICTURES.keys()
        assert {row["status"] for row in rows.values()} == {FETCHED}
        assert SLICE <= len(kept) < len(PICTURES), "killed in the middle"
        assert {name: rows[name] for name in kept} == kept
        asked = times_asked(self.log.paths)
        assert {name: asked[name] for name in kept} == dict.fromkeys(kept, 1), "what was saved is not fetched again"
        assert sum(asked.values()) <= len(PICTURES) + WORKERS * SLICE
        assert self.log.most_in_flight <= 2
        assert slices(self.store) == []


@pytest.fixture
def crash(tmp_path: Path) -> Iterator[Crash]:
    with serving(Originals(PICTURES)) as server:
        settings = {
            **{"origin": "demo", "media_url": server.url, "api_url": f"{server.url}/w/api.php", "connections": 2},
            **{"store": str(tmp_path / "store"), "version": VERSION, "partitions": 2, "workers": WORKERS},
        }
        ready(tmp_path / "store", NARROW, settings)
        begin(ReleaseConfig.parse(settings), "crash")
        yield Crash(tmp_path / "store", settings, server.log)


def test_a_killed_worker(crash: Crash) -> None:
    with (
        dask.config.set(QUICK),
        LocalCluster(
            **{"n_workers": WORKERS, "threads_per_worker": 1, "processes": True, "host": "127.0.0.1"},
            **{"dashboard_address": None, "silence_logs": 50},
        ) as two,
        Client(two) as client,
        ThreadPoolExecutor(1) as thread,
    ):
        context = ready(crash.store, NARROW, crash.settings)
        victim = next(iter(client.run(os.getpid).values()))
        running = thread.submit(run_stage, "fetch_images", context, client)
        assert eventually(crash.in_the_middle)
        os.kill(victim, signal.SIGKILL)
        kept = so_far(crash.store)
        assert running.result(60)["pixels_rows"] == len(PICTURES), "the same run goes on without it"
        assert eventually(lambda: free_leases(client, context.config.commons()) == 2)
    crash.assert_nothing_was_lost(kept)


def test_the_killed_process_of_a_task_with_its_own_workers(crash: Crash) -> None:
    with crash.running({}) as task:
        assert eventually(crash.in_the_middle), crash.said()
        below = psutil.Process(task.pid).children(recursive=True)
        os.kill(task.pid, signal.SIGKILL)  # it alone: what it started must notice
        assert len(below) >= WORKERS
        assert eventually(lambda: not any(process.is_running() and process.status() != "zombie" for process in below))
    kept, asked = so_far(crash.store), len(crash.log.requests)
    time.sleep(0.5)
    assert len(crash.log.requests) == asked, "nothing goes on fetching"
    crash.run({})
    crash.assert_nothing_was_lost(kept)


def test_the_killed_process_of_a_task_on_a_cluster(crash: Crash, tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster", [()] * WORKERS) as two:
        env = {"DASK_SCHEDULER_ADDRESS": json.loads(two.contact.read_text())["address"]}
        with crash.running(env) as task:
            assert eventually(crash.in_the_middle), crash.said()
            os.kill(task.pid, signal.SIGKILL)
        crash.settle()  # the workers stop after the slice that they are at
        kept = so_far(crash.store)
        crash.run(env)
        with dask.config.set(QUICK), Client(env["DASK_SCHEDULER_ADDRESS"], set_as_default=False) as client:
            origin = ready(tmp_path / "other", {}, crash.settings).config.commons()
            assert eventually(lambda: free_leases(client, origin) == 2)
    crash.assert_nothing_was_lost(kept)


def test_a_killed_scheduler(crash: Crash, tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster", [()] * WORKERS) as two:
        env = {"DASK_SCHEDULER_ADDRESS": json.loads(two.contact.read_text())["address"]}
        with crash.running(env) as task:
            assert eventually(crash.in_the_middle), crash.said()
            two.scheduler.kill()
            assert task.wait(60) != 0, "the task fails, and Airflow tries it again"
        assert "StageFailed: pixels failed on part-0000" in crash.said(), "an error that Airflow retries"
        assert "SchedulerLost: the Dask scheduler died" in crash.said()
        crash.settle()  # a worker may use a lease as long as it can be sure that it is its own
        kept = so_far(crash.store)
    with cluster(tmp_path / "another", [()] * WORKERS) as two:
        crash.run({"DASK_SCHEDULER_ADDRESS": json.loads(two.contact.read_text())["address"]})
    crash.assert_nothing_was_lost(kept)
