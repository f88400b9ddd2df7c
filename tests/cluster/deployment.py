"""A deployment as docker/compose.yaml and compose.gpu.yaml describe it, on this machine and without containers.

Postgres and every service of ours are processes, and the object store is a real S3 server. Nothing but waiting times is
set otherwise than there: what is lost is given up for lost after seconds, so that the tests need not wait for minutes.
"""

import importlib.util
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from distributed import Client

from pipelines.demo.airflow_api import AirflowApi, Unreachable
from pipelines.pipeline import STAGES
from tests.cluster.compose import Compose
from tests.cluster.image import unpack
from tests.cluster.postgres import postgres
from tests.cluster.supervisor import Supervisor
from tests.commons.cluster import QUICK_ENV
from tests.docker.files import DOCKER
from tests.s3 import s3_server

WORKERS = 3
GPU_WORKER = "dask-gpu-worker"

_IMPATIENT = {
    **QUICK_ENV,
    "WIT_DEVICE": "cpu",  # for the GPU worker, which has none here
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",  # the same machine runs all of it
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
}
_STARTING = 240.0  # seconds; on two busy cores


@dataclass(frozen=True)
class Deployment:
    """A running deployment."""

    supervisor: Supervisor
    api: AirflowApi
    home: Path
    dask: str

    def run(self, dag: str, run: str) -> dict[str, tuple[str, int]]:
        """Return the state and the attempt of each task of a run."""
        return {task.task: (task.state, task.attempt) for task in self.api.tasks(dag, run)}

    def errors(self, dag: str, run: str) -> str:
        """Return what the tasks of a run said of errors, for people."""
        said = []
        for task in sorted(self.api.tasks(dag, run), key=lambda task: STAGES.index(task.task)):
            for attempt in range(1, task.attempt + 1):
                for entry in self.api.log(dag, run, task.task, attempt):
                    if entry.get("level") in ("error", "critical", "warning"):
                        said.append(f"{task.task} {attempt}: {entry['event']} {entry.get('error_detail', '')}")
        return "\n".join(said[-40:])

    def check(self, dag: str, run: str) -> str:
        """Return the state of a run, which must not be that it failed; empty if nobody answers just now."""
        try:
            state = self.api.run_state(dag, run)
        except Unreachable:  # busy, or restarted
            return ""
        assert state != "failed", self.errors(dag, run)
        return state

    def until_success(self, dag: str, run: str) -> None:
        """Wait until a run has succeeded."""
        while self.check(dag, run) != "success":
            time.sleep(1)

    def ran(self) -> dict[str, set[str]]:
        """Return which workers ran the tasks of each step, since this was asked for the first time."""
        with self.client() as client:
            names = {
                address: about["name"] for address, about in client.scheduler_info(n_workers=-1)["workers"].items()
            }
            ran: dict[str, set[str]] = defaultdict(set)
            for task in client.get_task_stream():
                ran[str(task["key"]).partition("-")[0]].add(names.get(task["worker"], "a worker that is gone"))
            return ran

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Connect to Dask."""
        with Client(self.dask, set_as_default=False, timeout=30) as client:
            yield client


@contextmanager
def deployed(folder: Path) -> Iterator[Deployment]:
    """Deploy everything for the time of a ``with`` block."""
    with s3_server() as _:
        compose = _compose(folder, os.environ["AWS_ENDPOINT_URL"])
        database = compose.environment("postgres")
        with (
            postgres(
                compose.port("postgres", 5432),
                database["POSTGRES_USER"],
                database["POSTGRES_PASSWORD"],
                database["POSTGRES_DB"],
                folder / "postgres.log",
            ),
            Supervisor() as supervisor,
        ):
            _prepare(compose, supervisor)
            _start(compose, supervisor)
            supervisor.wait_until_healthy(_STARTING)
            url = compose.environment("airflow-api-server")["AIRFLOW__API__BASE_URL"]
            api = AirflowApi(url, "admin", compose.variables["AIRFLOW_ADMIN_PASSWORD"])
            address = compose.environment("airflow-scheduler")["DASK_SCHEDULER_ADDRESS"]
            yield Deployment(supervisor, api, compose.images["airflow"].home, address)
        assert supervisor.members() == [], "something of the deployment is left running"


def _compose(folder: Path, s3: str) -> Compose:
    images = {target: unpack(target, folder / target) for target in ("airflow", "worker", "gpu-worker")}
    home = images["airflow"].home
    (home / ".airflow").mkdir()
    (home / "release-defaults.json").write_text((DOCKER / "release-defaults.json").read_text())
    here = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **_IMPATIENT}
    variables = dict(
        line.split("=", 1)
        for line in _make_env().fill((DOCKER / ".env.example").read_text("utf-8")).splitlines()
        if "=" in line and not line.startswith("#")
    )
    compose = Compose(folder, variables, images, here)
    api = compose.port("airflow-api-server", 8080)
    variables["WIT_RELEASE_SCHEDULE"] = "none"  # no refresh but those of the tests
    variables |= {"S3_ENDPOINT": s3, "WORKERS": str(WORKERS), "AIRFLOW_URL": f"http://127.0.0.1:{api}"}
    here["AIRFLOW__API__PORT"] = str(api)
    here["AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT"] = str(compose.port("airflow-scheduler", 8974))
    return compose


def _make_env() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_env", DOCKER / "make_env.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _prepare(compose: Compose, supervisor: Supervisor) -> None:
    supervisor.start(compose.service("airflow-init"))
    if supervisor.wait("airflow-init") != 0:
        raise RuntimeError(f"the deployment could not be prepared\n{supervisor.tails()}")


def _start(compose: Compose, supervisor: Supervisor) -> None:
    loopback = ("--host", "127.0.0.1")
    supervisor.start(compose.service("dask-scheduler", None, *loopback))
    for kind in ("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"):
        supervisor.start(compose.service(kind))
    for number in range(compose.replicas("dask-worker")):
        supervisor.start(compose.service("dask-worker", number, "--name", worker(number), *loopback))
    supervisor.start(compose.service(GPU_WORKER, None, "--name", GPU_WORKER, *loopback))


def worker(number: int) -> str:
    """Return the name of a CPU worker."""
    return f"dask-worker-{number}"


def workers() -> Sequence[str]:
    return [worker(number) for number in range(WORKERS)]
