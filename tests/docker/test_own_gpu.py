"""docker/own_gpu.py: each worker of a machine has a GPU to itself; Dask is real, nvidia-smi a script."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from distributed import Client

from tests.commons.cluster import cluster, eventually
from tests.docker.files import DOCKER

WORKER = ("--resources", "GPU=1", "--preload-nanny", str(DOCKER / "own_gpu.py"))


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """Make a machine of two GPUs; return the variables that make it that of a process."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf 'GPU-0a\\nGPU-1b\\n'\n")
    tool.chmod(0o755)
    return {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "XDG_CACHE_HOME": str(tmp_path / "not" / "there")}


def _gpus(client: Client) -> list[str]:
    return sorted(client.run(os.getenv, "CUDA_VISIBLE_DEVICES").values())


@pytest.mark.parametrize(
    "workers", [[WORKER, WORKER], [(*WORKER, "--nworkers", "2")]], ids=["two replicas", "one command"]
)
def test_two_workers_use_two_gpus_and_keep_them(tmp_path: Path, machine: dict[str, str], workers: list[Sequence[str]]):
    with cluster(tmp_path / "dask", workers, machine) as dask, Client(scheduler_file=str(dask.contact)) as client:
        client.wait_for_workers(2, timeout=60)
        assert _gpus(client) == ["GPU-0a", "GPU-1b"]
        client.restart()
        assert _gpus(client) == ["GPU-0a", "GPU-1b"]


def test_a_third_worker_ends_and_says_why_until_one_of_them_is_gone(tmp_path: Path, machine: dict[str, str]):
    workers = [WORKER, WORKER]
    with cluster(tmp_path / "dask", workers, machine) as dask, Client(scheduler_file=str(dask.contact)) as client:
        client.wait_for_workers(2, timeout=60)
        dask.start("worker", *WORKER)
        assert dask.processes[3].wait(60) == 1
        assert "no GPU is left" in dask.log(3)

        os.killpg(dask.processes[1].pid, signal.SIGKILL)
        assert eventually(lambda: len(client.scheduler_info()["workers"]) == 1)
        dask.start("worker", *WORKER)
        client.wait_for_workers(2, timeout=60)
        assert _gpus(client) == ["GPU-0a", "GPU-1b"]


def test_a_worker_that_was_given_gpus_keeps_to_them(tmp_path: Path, machine: dict[str, str]):
    machine |= {"CUDA_VISIBLE_DEVICES": "1"}
    with cluster(tmp_path / "dask", [WORKER], machine) as dask, Client(scheduler_file=str(dask.contact)) as client:
        client.wait_for_workers(1, timeout=60)
        assert _gpus(client) == ["1"]


def test_a_driver_that_fails_is_heard(tmp_path: Path, machine: dict[str, str]):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho driver/library version mismatch >&2\nexit 18\n")
    with cluster(tmp_path / "dask", [WORKER], machine) as dask:
        assert dask.processes[1].wait(60) == 1
        assert "nvidia-smi ended with 18: driver/library version mismatch" in dask.log(1)
