"""The cluster on this machine: so many processes, a GPU for each of the first, and none for the others."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from distributed import Client
from distributed.system import MEMORY_LIMIT

from pipelines.engine import cluster
from pipelines.engine.cluster import device_of, open_client, resources_for, visible_gpus, worker_specs
from pipelines.engine.step import Needs
from pipelines.storage import lock
from pipelines.storage.store import Store
from tests.engine import steps


def test_each_gpu_goes_to_one_process_which_sees_no_other() -> None:
    specs = worker_specs(4, ["0", "3"])
    assert [spec["options"].get("resources") for spec in specs.values()] == [{"GPU": 1}, {"GPU": 1}, None, None]
    seen = [spec["options"]["env"].get("CUDA_VISIBLE_DEVICES") for spec in specs.values()]
    assert seen == ["0", "3", None, None]
    assert len(worker_specs(1, ["0", "1"])) == 1


def test_without_a_driver_torch_is_not_asked_for_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cluster, "_NVIDIA", tmp_path / "absent")
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    assert visible_gpus() == []


def test_gpus_that_are_hidden_from_this_process_stay_hidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch

    monkeypatch.setattr(cluster, "_NVIDIA", tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-5f, 7")
    assert visible_gpus() == ["GPU-5f", "7"]


def test_the_embedded_cluster_runs_a_step_on_its_gpu_worker(
    monkeypatch: pytest.MonkeyPatch, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A real cluster of processes on a machine that says that it has a GPU."""
    monkeypatch.setattr(cluster, "visible_gpus", lambda: ["0"])
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)  # other tests' nannies leave it to this process
    with lock.held(store, "manual__1", alone=True), open_client(steps.context(store, workers=2).config) as client:
        assert find_spec("bokeh") or lock.dashboard_of(store, "manual__1") == "", "nothing to show without Bokeh"
        client.wait_for_workers(2, timeout=60)
        assert resources_for(client, Needs.CPU) == {}
        limits = client.run(lambda dask_worker: dask_worker.memory_manager.memory_limit)
        devices = client.run(lambda dask_worker: device_of(dask_worker))
        assert {devices[worker]: limits[worker] for worker in limits} == {"cuda": None, "cpu": MEMORY_LIMIT // 2}
        assert resources_for(client, Needs.GPU) == {"GPU": 1}
        assert set(client.run(_variable, "MALLOC_TRIM_THRESHOLD_").values()) == {None}, "networks take twice as long"
        assert set(client.run(_variable, "OMP_NUM_THREADS").values()) == {"1"}
        (seen,) = set(client.gather(client.map(_visible, range(4), resources={"GPU": 1}, pure=False)))
        assert seen == "0"


def _visible(_: int) -> str | None:
    return _variable("CUDA_VISIBLE_DEVICES")


def _variable(name: str) -> str | None:
    import os

    return os.environ.get(name)


def test_a_worker_in_this_process_offers_no_gpu(client: Client) -> None:
    assert resources_for(client, Needs.GPU) == {}
    assert set(client.run(lambda dask_worker: device_of(dask_worker)).values()) == {"cpu"}
