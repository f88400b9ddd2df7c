"""Dask: the cluster that a run uses, and what its workers offer.

``DASK_SCHEDULER_ADDRESS`` names a cluster; without it, processes on this machine are started for the time of the run.
A worker with a GPU is one that was started with ``--resources GPU=1``.
"""

import contextlib
import logging
import os
from collections.abc import Iterator

import dask
from distributed import Client, LocalCluster

from pipelines.config import ReleaseConfig
from pipelines.engine.step import Needs

log = logging.getLogger(__name__)


@contextlib.contextmanager
def open_client(config: ReleaseConfig) -> Iterator[Client]:
    """Connect to the cluster, or start one on this machine and stop it at the end."""
    logging.getLogger("distributed").setLevel(logging.WARNING)  # a line for each task would bury ours
    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    if address:
        log.info("using the Dask cluster at %s", address)
        with Client(address) as client:
            yield client
        return
    settings = {
        "distributed.worker.daemon": False,
        "distributed.admin.tick.limit": "60s",  # a stage that holds the GIL for a while is no reason to warn
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=config.workers or len(os.sched_getaffinity(0)),
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,  # errors come back to us and are told there
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def resources_for(client: Client, needs: Needs) -> dict[str, float]:
    """Return the worker resources that a step asks for: a GPU where some worker offers one."""
    if needs is not Needs.GPU:
        return {}
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    if any(worker.get("resources", {}).get("GPU") for worker in workers):
        log.info("runs on the GPU workers")
        return {"GPU": 1}
    log.info("no worker offers a GPU: runs on the CPU")
    return {}
