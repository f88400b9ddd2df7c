"""One release at a time in a store: a lock with an owner and a heartbeat, kept in the store itself.

The owner is a run: the DAG run whose tasks make a release one after the other, or a command. While a process of it is
at work, it renews the heartbeat; a lock whose heartbeat ran out belongs to nobody any more, and the next run takes it
over. Whoever takes or renews it replaces just what was read before, which the store refuses if somebody else was
faster. Moments come from the clocks of the machines, which have to agree to within half of `EXPIRES`.
"""

import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace

import psutil  # type: ignore[import-untyped]

from pipelines.errors import StoreError, StoreLocked
from pipelines.storage.store import Store

log = logging.getLogger(__name__)

PATH = "lock.json"

EXPIRES = 120.0
"""Seconds after its last heartbeat at which a lock is anybody's: longer than Airflow takes from task to task."""

BEAT = 15.0
"""Seconds between heartbeats."""

RETURNS = 5400.0
"""Seconds for which a DAG run may be silent and still be expected: Airflow tries a failed task again within an hour."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds the lock.

    Args:
        run: whose release is being made; empty: nobody's.
        host: where its process runs,
        process: and as which number,
        started: since which moment, in seconds since 1970: numbers are used again.
        alone: no other process takes part in the run, so it ends with this one.
        heartbeat: in seconds since 1970.
        dashboard: address at which its Dask cluster can be watched now; empty: none.

    """

    run: str
    host: str
    process: int
    started: float
    alone: bool
    heartbeat: float
    dashboard: str = ""

    def in_words(self) -> str:
        """Return who it is, for people."""
        seconds = max(0.0, time.time() - self.heartbeat)
        return f"run {self.run} (process {self.process} on {self.host}, heard of {seconds:.0f} s ago)"

    def is_gone(self) -> bool:
        """Say whether it will not come back: it let go, or fell silent, or its process on this machine has ended."""
        if not self.run or time.time() - self.heartbeat > EXPIRES:
            return True
        return self.alone and self.host == socket.gethostname() and not _is_running(self.process, self.started)


def _is_running(process: int, started: float) -> bool:
    try:
        running = psutil.Process(process)
        return bool(abs(running.create_time() - started) < 1 and running.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextlib.contextmanager
def held(store: Store, run: str, *, alone: bool, keep: bool = False) -> Iterator[None]:
    """Hold the lock of a store for the time of a ``with`` block.

    Args:
        store: no two runs make a release in it at once.
        run: the owner. Several processes may hold it for one run, if none of them is alone.
        alone: this process is all of the run.
        keep: leave the lock to the run's next process when the block ends.

    Raises:
        StoreLocked: another run holds it, or took it over because this process was not heard of for too long.

    """
    me = Owner(run, socket.gethostname(), os.getpid(), psutil.Process().create_time(), alone, 0.0)
    _take(store, me)
    heart = _Heart(store, me)
    heart.start()
    token = _HEART.set(heart)
    try:
        yield
        check()
    finally:
        _HEART.reset(token)
        heart.stop()
        if not keep and not heart.lost:
            _let_go(store, me)


def check() -> None:
    """Go on only if the lock that this process holds, if any, is still its own.

    Raises:
        StoreLocked: another run took it over.

    """
    heart = _HEART.get()
    if heart is None:
        return
    if heart.is_overdue():  # it may be anybody's by now: this process slept, or the store did not answer
        heart.beat()
    if heart.lost:
        raise StoreLocked(f"{heart.store.url} was taken over from run {heart.me.run} by {heart.lost}")


@contextlib.contextmanager
def watched_at(dashboard: str) -> Iterator[None]:
    """For the time of a ``with`` block, let the lock that this process holds, if any, say where its work is watched."""
    heart = _HEART.get()
    if heart is None or not dashboard:
        yield
        return
    heart.say(dashboard)
    try:
        yield
    finally:
        heart.say("")


def is_at_work(store: Store, run: str) -> bool:
    """Say whether a process of a run is at work, or was until just now."""
    return _at_work(store, run) is not None


def dashboard_of(store: Store, run: str) -> str:
    """Return the address at which a run that is at work can be watched; empty: there is none, or it is not at work."""
    owner = _at_work(store, run)
    return owner.dashboard if owner is not None else ""


def _at_work(store: Store, run: str) -> Owner | None:
    _, owner = _read(store)
    return owner if owner is not None and owner.run == run and not owner.is_gone() else None


def refuse_if_held(store: Store) -> None:
    """Look whether a run is at work, and leave the lock alone.

    Raises:
        StoreLocked: it is.

    """
    _, owner = _read(store)
    if owner is not None and not owner.is_gone():
        raise StoreLocked(f"{store.url} is in use by {owner.in_words()}; wait until it has ended")


def refuse_if_expected(store: Store, run: str) -> None:
    """Look whether a run is at work, or `run`, as a task of it that failed is tried again, may soon be.

    Raises:
        StoreLocked: it is, or may.

    """
    refuse_if_held(store)
    _, owner = _read(store)
    if owner is not None and owner.run == run and not owner.alone and time.time() - owner.heartbeat < RETURNS:
        raise StoreLocked(f"{store.url}: {owner.in_words()} is not finished, and may be tried again")


def _read(store: Store) -> tuple[str | None, Owner | None]:
    text = store.read_text(PATH)
    return text, None if text is None else Owner(**json.loads(text))


def _swap(store: Store, before: str | None, owner: Owner) -> bool:
    return store.swap_text(PATH, before, json.dumps(asdict(owner), sort_keys=True) + "\n")


def _beating(owner: Owner, *, let_go: bool = False) -> Owner:
    return Owner(**asdict(owner) | {"heartbeat": time.time()} | ({"run": ""} if let_go else {}))


def _take(store: Store, me: Owner) -> None:
    while True:
        text, owner = _read(store)
        if owner is not None and not owner.is_gone() and not _shared(owner, me):
            raise StoreLocked(
                f"{store.url} is in use by {owner.in_words()}; wait until it has ended, or for {EXPIRES:.0f} s if it "
                f"was killed"
            )
        if owner is not None and owner.run not in ("", me.run):
            log.warning("%s: taking over from %s", store.url, owner.in_words())
        if _swap(store, text, _beating(me)):
            return


def _shared(owner: Owner, me: Owner) -> bool:
    same_process = (owner.host, owner.process, owner.started) == (me.host, me.process, me.started)
    return owner.run == me.run and (same_process or not (owner.alone or me.alone))


def _renew(store: Store, me: Owner, *, let_go: bool = False) -> Owner | None:
    """Renew the heartbeat, or let go; return who holds the lock if it is not this run."""
    while True:
        text, owner = _read(store)
        if owner is None or owner.run != me.run:
            return owner or me
        if _swap(store, text, _beating(me, let_go=let_go)):
            return None


def _let_go(store: Store, me: Owner) -> None:
    try:
        _renew(store, me, let_go=True)
    except (OSError, StoreError) as error:  # what the run has to say itself is of more interest
        log.warning("the lock is not given back, and lasts for %.0f s more: %s", EXPIRES, error)


class _Heart(threading.Thread):
    """Renews the heartbeat until it is stopped, or the lock is somebody else's."""

    def __init__(self, store: Store, me: Owner) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self.store = store
        self.me = me
        self._stopped = threading.Event()
        self._beating = threading.Lock()
        self._beaten = time.monotonic()
        self.lost = ""

    def run(self) -> None:
        while not self._stopped.wait(BEAT) and not self.lost:
            self.beat()

    def say(self, dashboard: str) -> None:
        """Beat at once, with another address from now on."""
        with self._beating:
            self.me = replace(self.me, dashboard=dashboard)
        self.beat()

    def beat(self) -> None:
        """Renew the heartbeat, or find out who has the lock now."""
        with self._beating:
            if self.lost:
                return
            now = time.monotonic()
            try:
                other = _renew(self.store, self.me)
            except (OSError, StoreError) as error:  # it does not answer now; the lock lasts for some heartbeats more
                log.warning("heartbeat: %s", error)
                return
            if other is not None:
                self.lost = other.in_words()
            self._beaten = now

    def is_overdue(self) -> bool:
        """Say whether so much time has passed that the lock may be somebody else's."""
        return time.monotonic() - self._beaten > EXPIRES

    def stop(self) -> None:
        self._stopped.set()
        self.join()


_HEART: ContextVar[_Heart | None] = ContextVar("heart", default=None)
