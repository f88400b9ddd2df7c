"""Kills that are aimed: at a service, while a stage is in the middle of its partitions."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from distributed import Client

from pipelines.storage.store import Store
from tests.cluster.deployment import GPU_WORKER, Deployment, workers
from tests.cluster.scenario import saved

A_BUSY_WORKER = "a CPU worker that is fetching"


@dataclass(frozen=True)
class Kill:
    """What is killed, and when: while a stage runs that has finished so many partitions of its table."""

    service: str
    stage: str
    table: str
    finished: int


AIMED = (
    Kill(A_BUSY_WORKER, "fetch_images", "pixels", 1),
    Kill("dask-scheduler", "fetch_images", "pixels", 2),
    Kill(GPU_WORKER, "detect_faces", "faces", 1),
    Kill("airflow-scheduler", "embed_images", "embeddings", 1),
)


@dataclass(frozen=True)
class Killed:
    """What was killed, and what stood at that moment: the finished images of the stage's table, by partition."""

    kill: Kill
    service: str
    attempt: int
    kept: dict[str, list[str]]


@dataclass
class Kills:
    """What happened."""

    killed: list[Killed] = field(default_factory=list)

    def happen(self, deployment: Deployment, store: Store, dag: str, run: str) -> None:
        """Kill everything in its turn while a run is on."""
        for kill in AIMED:
            looks = 0
            while len(store.files(f"work/{kill.table}")) < kill.finished:
                if (looks := looks + 1) % 40 == 0:
                    deployment.check(dag, run)
                time.sleep(0.05)
            service = busy_worker(deployment) if kill.service is A_BUSY_WORKER else kill.service
            deployment.supervisor.kill(service)
            _, attempt = deployment.run(dag, run)[kill.stage]
            self.killed.append(Killed(kill, service, attempt, saved(store, kill.table)))


def busy_worker(deployment: Deployment) -> str:
    """Return the name of a CPU worker that is at work."""
    with deployment.client() as client:
        busy = [name for name in _busy(client) if name in workers()]
    assert busy, "nobody fetches any more: it was over before it could be disturbed"
    return busy[0]


def _busy(client: Client) -> Iterator[str]:
    known = client.scheduler_info(n_workers=-1)["workers"]
    return iter(sorted(known[address]["name"] for address, tasks in client.processing().items() if tasks))
