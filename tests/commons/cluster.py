"""Dask clusters whose processes can be killed, and what happened to their leases."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from distributed import Client

from pipelines.commons.leases import DaskLeases
from pipelines.commons.origin import Origin
from tests.running import ROOT

QUICK = {
    "distributed.scheduler.locks.lease-timeout": "3s",
    "distributed.scheduler.locks.lease-validation-interval": "200ms",
    "distributed.admin.tick.limit": "60s",
}
"""Settings under which a lease is given up for lost after seconds instead of half a minute."""

QUICK_ENV = {f"DASK_{key.replace('.', '__').replace('-', '_').upper()}": value for key, value in QUICK.items()}


def eventually(true: Callable[[], bool], within: float = 30.0) -> bool:
    """Wait for something to come true."""
    end = time.monotonic() + within
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def free_leases(client: Client, origin: Origin) -> int:
    """Take every lease that is free, and give them back."""
    leases = DaskLeases(client, "media", origin)
    taken = []
    while lease := leases.acquire(0.1):
        taken.append(lease)
    for lease in taken:
        lease.release()
    return len(taken)


@dataclass
class Cluster:
    """A scheduler and workers, each a process of its own, as a deployment starts them."""

    folder: Path
    env: Mapping[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def contact(self) -> Path:
        return self.folder / "scheduler.json"

    def log(self, number: int) -> str:
        """Return what a process has said so far; 0 is the scheduler, workers follow in their order."""
        return self._log(number).read_text()

    def _log(self, number: int) -> Path:
        return self.folder / f"{number}.log"

    @property
    def scheduler(self) -> subprocess.Popen[bytes]:
        return self.processes[0]

    def start(self, program: str, *arguments: str) -> None:
        command = [sys.executable, "-m", f"distributed.cli.dask_{program}", "--host", "127.0.0.1", "--no-dashboard"]
        with self._log(len(self.processes)).open("wb") as log:
            self.processes.append(
                subprocess.Popen(
                    [*command, "--scheduler-file", str(self.contact), *arguments],
                    cwd=ROOT,
                    env={**os.environ, **QUICK_ENV, **self.env},
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )


@contextmanager
def cluster(
    folder: Path, workers: Sequence[Sequence[str]] = (), env: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Cluster]:
    """Run a scheduler, and a worker of one thread with each of these lists of options; all are killed at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Cluster(folder, env)
    try:
        made.start("scheduler", "--port", "0")
        for options in workers:
            made.start("worker", "--nthreads", "1", *options)
        assert eventually(made.contact.exists)
        yield made
    finally:
        for process in made.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
