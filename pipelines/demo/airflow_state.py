"""The folder of all that an Airflow writes: its password and secrets, its database, its logs, and a lock.

Secrets are made when they are first asked for, and are for the owner's eyes only. The lock is inherited by Airflow's
processes, so it is held as long as one of them lives, even if whoever started them is gone; and it names them.
"""

import contextlib
import fcntl
import json
import os
import secrets
from base64 import urlsafe_b64encode
from pathlib import Path

from pipelines.errors import WitReleaseError

USER = "admin"


class AirflowRunning(WitReleaseError):
    """An Airflow over the same database is running already; says which processes it consists of."""


class AirflowState:
    """The state folder of an Airflow; it is made at the first use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._lock: int | None = None

    @property
    def password(self) -> str:
        """The password of the user ``admin``."""
        return self._kept("passwords.json", {USER: secrets.token_urlsafe(9)})[USER]

    def environment(self) -> dict[str, str]:
        """Return the settings that name this folder, and those that are secret."""
        return {
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": f"{self.folder}/passwords.json",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.folder}/airflow.db?timeout=60",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{self.folder}/logs",
            "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": f"{self.folder}/logs/dag_processor",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": f"{self.folder}/bundles",
            **self._kept(
                "secrets.json",
                {
                    "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(48),
                    "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(48),
                    "AIRFLOW__CORE__FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                },
            ),
        }

    def log(self, component: str) -> Path:
        """Return where the output of one of Airflow's processes goes."""
        path = self.folder / "logs" / f"{component.replace(' ', '-')}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def acquire(self) -> int:
        """Take the lock, and return the file descriptor that Airflow's processes are to inherit.

        Raises:
            AirflowRunning: some process has it.

        """
        self._make()
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise AirflowRunning(
                f"Airflow is running over {self.folder} already (sessions "
                f"{', '.join(map(str, self.sessions()))}); end the other make ui or make demo, or stop what one left "
                "behind with: make stop"
            ) from None
        os.ftruncate(lock, 0)
        self._lock = lock
        return lock

    def note(self, sessions: list[int]) -> None:
        """Write down, while the lock is held, which sessions of processes Airflow consists of."""
        assert self._lock is not None, "the lock is not held"
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, json.dumps(sessions).encode(), 0)

    def release(self) -> None:
        """Give the lock back; without it, nothing happens."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def sessions(self) -> list[int]:
        """Return the sessions of the Airflow that holds the lock; none if it is free."""
        path = self.folder / "lock"
        if not path.exists():
            return []
        with path.open("r+") as lock:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return []
            text = lock.read()
        return list(json.loads(text)) if text else []

    def _make(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _kept(self, name: str, made: dict[str, str]) -> dict[str, str]:
        """Return what a private file holds; it is written at the first call."""
        self._make()
        path = self.folder / name
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(made, file)
        return dict(json.loads(path.read_text()))
