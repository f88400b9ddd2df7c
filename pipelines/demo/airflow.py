"""Airflow on this machine: its four processes, started from ./airflow.cfg and stopped without leaving anything behind.

``airflow standalone`` does nearly the same, but serves logs on all interfaces and cannot be given another port without
breaking its tasks. Here everything listens on loopback.
"""

import contextlib
import fcntl
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Self

from pipelines.demo.airflow_api import AirflowApi, Unreachable
from pipelines.demo.airflow_state import USER, AirflowState
from pipelines.demo.processes import stop_sessions
from pipelines.errors import WitReleaseError

POOLS = {
    "commons_media": "Connections to Wikimedia's media servers: its policy allows an operator two, in all",
    "commons_api": "Connections to Wikimedia's Action API: its policy allows one, in all",
}

_COMPONENTS = {
    "api-server": (),
    "scheduler": ("--skip-serve-logs",),
    "dag-processor": (),
    "triggerer": ("--skip-serve-logs",),
}
_PORT = 8080
_STARTING = 180.0  # seconds; a first start on two busy cores takes about 30
_STOPPING = 10.0  # seconds before what has not ended is killed


class AirflowFailed(WitReleaseError):
    """Airflow could not be started or has died; says where its log is."""


class Airflow:
    """Airflow of a checkout: a context manager for the time that it runs.

    Args:
        root: the checkout; DAGs, plugins and airflow.cfg are taken from here.
        state: folder of everything that Airflow writes; ``.airflow`` in the checkout if None.
        extra: further environment variables for its processes.

    Raises:
        AirflowRunning: it is running already.
        AirflowFailed: it does not start.

    """

    def __init__(self, root: Path, state: Path | None = None, extra: Mapping[str, str] | None = None) -> None:
        self._root = root.resolve()
        self._state = AirflowState(state or root / ".airflow")
        self._extra = dict(extra or {})
        self._port = _PORT
        self._port_lock: int | None = None
        self._inherited: tuple[int, ...] = ()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        if not (self._root / "airflow.cfg").is_file():
            raise AirflowFailed(f"{self._root}/airflow.cfg is not there: this must run from a checkout")

    @property
    def url(self) -> str:
        """Where the web UI is."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def password(self) -> str:
        """The password of the user ``admin``, made at the first start."""
        return self._state.password

    def api(self) -> AirflowApi:
        """Return the REST API, logged in."""
        return AirflowApi(self.url, USER, self.password)

    def environment(self) -> dict[str, str]:
        """Return the environment of every airflow command over this checkout, secrets included."""
        return {
            "AIRFLOW_HOME": str(self._root),
            "AIRFLOW_CONFIG": str(self._root / "airflow.cfg"),
            "AIRFLOW__API__PORT": str(self._port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            **self._state.environment(),
            **self._extra,
        }

    def start(self) -> Self:
        """Start it, on a free port if the usual one is taken, and return when it answers and has its pools."""
        self._inherited = (self._state.acquire(),)
        try:
            self._port = self._take_port(_PORT)
            self._migrate()
            for component, options in _COMPONENTS.items():
                self._spawn(component, *options)
            self._wait()
            api = self.api()
            for pool, description in POOLS.items():
                api.ensure_pool(pool, slots=1, description=description)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop every process of it, tasks included. Stopping twice is no error."""
        stop_sessions([process.pid for process in self._processes.values()], _STOPPING)
        for process in self._processes.values():
            process.wait()
        self._processes = {}
        if self._port_lock is not None:
            os.close(self._port_lock)
            self._port_lock = None
        self._state.release()

    def check(self) -> None:
        """Raise AirflowFailed if one of its processes has died."""
        for component, process in self._processes.items():
            if process.poll() is not None:
                log = self._state.log(component)
                raise AirflowFailed(f"airflow {component} ended with {process.returncode}; {log}:\n{_tail(log)}")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _take_port(self, preferred: int) -> int:
        """Return the preferred port if it is free and no other Airflow is about to take it; else any that is free.

        An Airflow listens half a minute after it has chosen its port, so it keeps a lock on it.
        """
        path = Path(tempfile.gettempdir()) / f"wit-release.{os.getuid()}.port-{preferred}.lock"
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return _any_port()
        if _is_free(preferred):
            self._port_lock = lock
            self._inherited = (*self._inherited, lock)
            return preferred
        os.close(lock)
        return _any_port()

    def _spawn(self, component: str, *options: str) -> subprocess.Popen[bytes]:
        with self._state.log(component).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "airflow", *component.split(), *options],
                cwd=self._root,
                env=os.environ | self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=self._inherited,
            )
        self._processes[component] = process
        self._state.note([process.pid for process in self._processes.values()])
        return process

    def _migrate(self) -> None:
        """Make or update the tables of the database, once for each version of Airflow."""
        done, database = self._state.folder / "migrated", self._state.folder / "airflow.db"
        wanted = version("apache-airflow-core")
        if done.exists() and done.read_text() == wanted and database.exists():
            return
        if self._spawn("db migrate").wait():
            self.check()
        del self._processes["db migrate"]
        with contextlib.closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # readers and the writer do not wait for each other
        done.write_text(wanted)

    def _wait(self) -> None:
        until = time.monotonic() + _STARTING
        api = self.api()
        while time.monotonic() < until:
            self.check()
            with contextlib.suppress(Unreachable):
                if api.healthy():
                    return
            time.sleep(0.5)
        raise AirflowFailed(f"Airflow does not answer after {_STARTING:.0f} s; logs: {self._state.log('*').parent}")


def stop_leftovers(state: Path) -> bool:
    """Stop the Airflow that runs over a state folder, whoever started it; say whether there was one."""
    sessions = AirflowState(state).sessions()
    stop_sessions(sessions, _STOPPING)
    return bool(sessions)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _any_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tail(path: Path, lines: int = 20) -> str:
    return "\n".join(path.read_text("utf-8", "replace").splitlines()[-lines:])
