"""Dask: the cluster that a run uses, and what its workers offer.

``DASK_SCHEDULER_ADDRESS`` names a cluster; without it, processes on this machine are started for the time of the run.
A worker with a GPU is one that was started with ``--resources GPU=1``, or one of ours where this machine has a GPU: one
process for each. The others leave GPUs alone, however many there are.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dask
from dask.typing import Key
from distributed import Client, Nanny, Scheduler, SpecCluster, Worker
from distributed.system import MEMORY_LIMIT

from pipelines import logs
from pipelines.config import ReleaseConfig
from pipelines.cores import cores
from pipelines.engine.step import Needs
from pipelines.errors import WitReleaseError
from pipelines.storage import lock

log = logging.getLogger(__name__)

_NVIDIA = Path("/proc/driver/nvidia/gpus")
_ONE_GPU = {"GPU": 1.0}
_HERE = {"host": "127.0.0.1", "protocol": "tcp://"}


class SchedulerLost(WitReleaseError):
    """The Dask scheduler died, or cannot be reached any more."""

    def __init__(self) -> None:
        super().__init__(
            "the Dask scheduler died or cannot be reached; what was finished is kept: go on by running the stage again"
        )


@contextlib.contextmanager
def open_client(config: ReleaseConfig) -> Iterator[Client]:
    """Connect to the cluster, or start one on this machine and stop it at the end."""
    logging.getLogger("distributed").setLevel(logging.WARNING)  # a line for each task would bury ours
    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    if address:
        log.info("using the Dask cluster at %s", address)
        with Client(address) as client, lock.watched_at(dashboard(client)):
            yield client
        return
    settings = {
        "distributed.worker.daemon": False,
        "distributed.admin.tick.limit": "60s",  # a stage that holds the GIL for a while is no reason to warn
        # Dask has workers give every 64 KB back to the system at once, and take them anew: the networks, which ask for
        # megabytes thousands of times, took nearly twice as long.
        "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
    }
    count = config.workers or cores()
    with (
        dask.config.set(settings),
        SpecCluster(
            scheduler={"cls": Scheduler, "options": {**_HERE, "port": 0, "dashboard_address": "127.0.0.1:0"}},
            workers=worker_specs(count, visible_gpus()),
            silence_logs=logging.CRITICAL,  # errors come back to us and are told there
        ) as cluster,
        Client(cluster) as client,
        lock.watched_at(dashboard(client)),
    ):
        yield client


def dashboard(client: Client) -> str:
    """Return the address of the cluster's dashboard as Dask's setting ``distributed.dashboard.link`` gives it.

    Empty where there is none: without Bokeh, which the embedded default does not install, as it would cost each task
    more than a second to load it, a scheduler has no more to show than that it is there.
    """
    with contextlib.suppress(KeyError, ValueError):  # a scheduler without an HTTP server; or one that runs no code
        if client.run_on_scheduler(find_spec, "bokeh"):
            return str(client.dashboard_link or "")
    return ""


def worker_specs(count: int, gpus: list[str]) -> dict[int, dict[str, Any]]:
    """Describe so many worker processes of one thread each; the first of them get a GPU each, as far as there are any.

    Those with a GPU have no limit of memory: CUDA alone may take more than a core's share of it, and Dask would pause
    or kill them for what they cannot give back.

    Args:
        count: of the processes.
        gpus: as CUDA_VISIBLE_DEVICES names them.

    """
    shared = {**_HERE, "nthreads": 1, "memory_limit": MEMORY_LIMIT // count, "silence_logs": logging.CRITICAL}
    own = {logs.FORMAT: ""}  # what they log is logged by this process
    specs: dict[int, dict[str, Any]] = {
        number: {"cls": Nanny, "options": {**shared, "env": own}} for number in range(count)
    }
    for spec, gpu in zip(specs.values(), gpus, strict=False):
        seen = {**own, "CUDA_VISIBLE_DEVICES": gpu}
        spec["options"] |= {"resources": _ONE_GPU, "memory_limit": None, "env": seen}
    return specs


def visible_gpus() -> list[str]:
    """Return the names of the GPUs that this process may use; torch is only asked where there is a driver."""
    if not _NVIDIA.is_dir():
        return []
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return (named or [str(number) for number in range(count)])[:count]


def resources_for(client: Client, needs: Needs) -> dict[str, float]:
    """Return the worker resources that a step asks for: a GPU where some worker offers one."""
    if needs is not Needs.GPU:
        return {}
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    offering = sum(bool(worker.get("resources", {}).get("GPU")) for worker in workers)
    if offering:
        log.info("runs on the GPU workers: %d of %d workers", offering, len(workers))
        return _ONE_GPU
    log.info("no worker offers a GPU: runs on the CPU")
    return {}


def device_of(worker: Worker) -> str:
    """Return where a network runs on a worker: one that offers no GPU leaves those of its machine to others.

    One that offers a GPU must have it: all partitions go to it, and on its CPU they would take days that nobody
    expects. So it fails, in words, unless ``WIT_DEVICE`` in its environment names another device: ``cpu``, to rehearse
    a deployment where there are no GPUs.
    """
    return os.environ.get("WIT_DEVICE", "cuda") if worker.state.total_resources.get("GPU") else "cpu"


def is_cancelled(worker: Worker, task: Key) -> bool:
    """Say whether a task that runs on a worker is one that nobody waits for any more.

    A thread cannot be stopped, so a worker runs a task to its end even if its client was killed meanwhile.
    """
    known = worker.state.tasks.get(task)
    return known is None or known.state == "cancelled"
