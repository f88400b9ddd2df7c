"""A task of a real Airflow is killed in the middle of the fetch: Airflow tries it again, and it goes on from there.

It takes some minutes, most of which Airflow waits before it tries again, so it is run where ``WIT_SLOW_TESTS`` is set.
What it shows of Airflow, ``tests/stages/test_fetch_crash.py`` always shows of the process that a task is.
"""

import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from pipelines.demo.airflow import Airflow
from tests.commons.cluster import eventually
from tests.dags.parse import ROOT
from tests.stages.fetching import finished, slices, so_far
from tests.world import World, downloads

DAG, PICTURES, SLICE = "wit_release", 320, 64

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not os.environ.get("WIT_SLOW_TESTS"), reason="takes minutes: set WIT_SLOW_TESTS=1"),
]


def test_a_killed_task_is_tried_again_and_fetches_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WIT_RELEASE_SCHEDULE", "none")
    world, store, commons = World(), tmp_path / "store", tmp_path / "commons"
    world.upload(PICTURES)
    slowly = {"partitions": 1, "workers": 1, "connections": 1, "bits_per_second": 400_000}
    with world.served(commons) as settings, Airflow(ROOT, state=tmp_path / "state") as airflow:
        api = airflow.api()
        api.wait_for_dag(DAG)
        run = api.trigger(DAG, {**settings, **slowly, "store": str(store), "version": "2026.01.01"})
        assert eventually(lambda: len(slices(store)) >= 2, within=180)
        owner = json.loads((store / "lock.json").read_text())
        os.kill(owner["process"], signal.SIGKILL)
        kept = so_far(store)

        def fetching() -> tuple[str, int]:
            airflow.check()
            return next((task.state, task.attempt) for task in api.tasks(DAG, run) if task.task == "fetch_images")

        assert eventually(lambda: fetching()[0] in ("success", "failed"), within=240), fetching()
        assert fetching() == ("success", 2)
    asked = Counter(path.rsplit("/", 1)[-1] for path in downloads(commons))
    assert SLICE <= len(kept) < PICTURES
    assert {name: asked[name] for name in kept} == dict.fromkeys(kept, 1)
    assert sum(asked.values()) <= PICTURES + SLICE
    assert {name: finished(store)[name]["sha256"] for name in kept} == {
        name: row["sha256"] for name, row in kept.items()
    }
