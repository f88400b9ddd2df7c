"""Runs processes as Compose runs containers: what ends is started again, and all of it ends with its first process."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pipelines.demo.processes import members, stop_sessions

_POLL = 0.2  # seconds
_STOPPING = 3.0  # seconds before what has not ended is killed


@dataclass(frozen=True)
class Service:
    """How a process is started, and how it is asked for its health."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    healthy: Sequence[str] = ()
    restarts: bool = True

    def run(self, command: Sequence[str], log: IO[bytes] | int) -> subprocess.Popen[bytes]:
        """Start a command where the service runs, in a session of its own: the leader stands for its container."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def is_healthy(self) -> bool:
        return self.run(self.healthy, subprocess.DEVNULL).wait() == 0


@dataclass
class _Running:
    service: Service
    process: subprocess.Popen[bytes]
    starts: int = 1


@dataclass
class Supervisor:
    """Keeps services running; a context manager, at whose end nothing of them is left."""

    _running: dict[str, _Running] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ending: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Supervisor":
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        assert self._thread is not None
        self._thread.join()
        with self._lock:
            leaders = [running.process.pid for running in self._running.values()]
            stop_sessions(leaders, _STOPPING)
            for running in self._running.values():
                running.process.wait()

    def start(self, *services: Service) -> None:
        with self._lock:
            for service in services:
                self._running[service.name] = _Running(service, _start(service))

    def wait_until_healthy(self, seconds: float) -> None:
        """Wait until every service that can be asked says that it is well."""
        waiting = [running.service for running in self._running.values() if running.service.healthy]
        end = time.monotonic() + seconds
        while waiting := [service for service in waiting if not service.is_healthy()]:
            if time.monotonic() > end:
                names = ", ".join(service.name for service in waiting)
                raise TimeoutError(f"not healthy after {seconds:.0f} s: {names}\n{self.tails()}")
            time.sleep(1)

    def wait(self, name: str) -> int:
        """Wait for the end of a service that ends by itself; return its exit status."""
        return self._running[name].process.wait()

    def starts(self, name: str) -> int:
        """Return how often a service was started."""
        return self._running[name].starts

    def kill(self, name: str) -> None:
        """Kill all processes of a service at once, as the end of its container does; it is started again."""
        with self._lock:
            _kill(self._running[name])

    def members(self) -> list[int]:
        """Return all processes of all services."""
        return members([running.process.pid for running in self._running.values()])

    def tails(self, lines: int = 15) -> str:
        """Return the ends of all logs, for people."""
        parts = []
        for name, running in self._running.items():
            said = running.service.log.read_text("utf-8", "replace").splitlines()[-lines:]
            parts.append("\n".join([f"--- {name} (started {running.starts}×)", *said]))
        return "\n".join(parts)

    def _watch(self) -> None:
        while not self._ending.wait(_POLL):
            with self._lock:
                for running in self._running.values():
                    if running.service.restarts and running.process.poll() is not None:
                        _kill(running)
                        running.process = _start(running.service)
                        running.starts += 1


def _start(service: Service) -> subprocess.Popen[bytes]:
    with service.log.open("ab") as log:
        return service.run(service.command, log)


def _kill(running: _Running) -> None:
    while left := members([running.process.pid]):
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.02)
    running.process.wait()
