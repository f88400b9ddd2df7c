"""Runs a release as ``python -m pipelines run`` does, and keeps account of what each stage takes.

    python -m tests.benchmarks.accounts SETTINGS.json ACCOUNT.json

It is started in a process of its own (`run`), so that the operating system adds up the CPU time of everything that took
part: the program itself, Dask's scheduler in it, its workers and their nannies, imports included.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
from distributed import Client

from pipelines.cli import _log_to_stderr
from pipelines.config import ReleaseConfig
from pipelines.engine.cluster import open_client
from pipelines.pipeline import STAGES, run_stage
from pipelines.releases.versions import begin
from pipelines.storage.lock import held
from pipelines.storage.store import Store
from tests.running import ROOT

_PRELOAD = "DASK_DISTRIBUTED__WORKER__PRELOAD"
CHEAP_NETWORKS = {_PRELOAD: "tests.benchmarks.cheap_networks"}
SEEDED_NETWORKS = {_PRELOAD: "tests.benchmarks.seeded_networks"}


@dataclass(frozen=True)
class StageAccount:
    """What a stage took.

    Args:
        seconds: by the clock.
        cpu: seconds of CPU, of this program and of the workers.
        peak: most memory of a worker during the stage, in bytes.

    """

    seconds: float
    cpu: float
    peak: int


@dataclass(frozen=True)
class Account:
    """What a run took: the stages, and all of it, with what comes before the first stage and after the last."""

    seconds: float
    cpu: float
    stages: dict[str, StageAccount] = field(default_factory=dict)


def run(settings: Mapping[str, object], env: Mapping[str, str] | None = None) -> Account:
    """Make a release in a process of its own; return what it took.

    Raises:
        SystemExit: it failed; what it said stands above.

    """
    with tempfile.TemporaryDirectory() as folder:
        given, told = Path(folder) / "settings.json", Path(folder) / "account.json"
        given.write_text(json.dumps(settings))
        started = time.monotonic()
        command = [sys.executable, "-m", "tests.benchmarks.accounts", str(given), str(told)]
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **(env or {})})
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"the run ended with {process.returncode}")
        stages = {name: StageAccount(**stage) for name, stage in json.loads(told.read_text()).items()}
        return Account(time.monotonic() - started, used.ru_utime + used.ru_stime, stages)


def _cpu() -> float:
    """Return the CPU seconds of this process and of its children, the ended ones included."""
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        times = process.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    from tests.running import peak_memory

    return peak_memory()


def _keep_account(client: Client, name: str, context: object) -> StageAccount:
    client.run(_forget_peak)
    started, before = time.monotonic(), _cpu()
    run_stage(name, context, client)  # type: ignore[arg-type]
    peaks = client.run(_peak).values()
    return StageAccount(time.monotonic() - started, _cpu() - before, max(peaks))


def main() -> None:
    """Run the stages in their order."""
    settings, told = map(Path, sys.argv[1:])
    _log_to_stderr()
    config = ReleaseConfig.parse(json.loads(settings.read_text()))
    stages = {}
    with held(Store(config.store), "benchmark", alone=True):
        context = begin(config, "benchmark")
        with open_client(config) as client:
            for name in STAGES:
                stages[name] = asdict(_keep_account(client, name, context))
    told.write_text(json.dumps(stages))


if __name__ == "__main__":
    main()
