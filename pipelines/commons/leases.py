"""Leases over a Dask cluster: one semaphore for all workers, one pause for all leases; see also `machine`.

The scheduler keeps the leases (`distributed.Semaphore`), and takes back those of a worker that died. A worker that lost
touch with the scheduler cannot know whether its leases were given to another, so a lease is only valid while the
scheduler was heard of lately: the connection stops well before the scheduler would give its lease away.

The shared pause is a value in the scheduler's metadata, which every worker looks at four times a second, and so keeps
in touch. It is a time of day, so the clocks of the machines should agree within seconds.
"""

import asyncio
import logging
import math
import threading
import time
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, Literal
from urllib.parse import urlsplit

import dask
from dask.utils import parse_timedelta
from distributed import Client, Semaphore

from pipelines.commons.machine import lock_share
from pipelines.commons.origin import Origin
from pipelines.commons.politeness import Allowance, Lease
from pipelines.commons.traffic import Traffic

log = logging.getLogger(__name__)

Kind = Literal["media", "api"]

_LOOK = 0.25  # seconds between two looks at the shared pause
_UNUSED = 5.0  # seconds without a question after which the looking stops
_RETRY = 0.05  # seconds between two looks at whether another run on this machine has ended its use of a connection
_TELL = 60.0  # seconds between two lines in the log that say what is waited for

_watches: dict[tuple[str, str], "_Watch"] = {}
_watches_lock = threading.Lock()


class DaskLeases:
    """The connections that an origin allows, shared by all workers of a cluster; see `politeness.Leases`.

    Args:
        client: of the cluster; on a worker, `distributed.get_client()`.
        kind: of connection: to the media servers or to the Action API.
        origin: whose limits these are. Runs that give it other numbers of connections use it one after the other, the
            one with the fewest first.
        traffic: counts what goes over the connections.

    """

    def __init__(self, client: Client, kind: Kind, origin: Origin, traffic: Traffic | None = None) -> None:
        self._client = client
        self._connections = origin.connections if kind == "media" else origin.api_connections
        self.traffic = traffic or Traffic()
        self.allowance: Allowance = origin.media_allowance if kind == "media" else origin.api_allowance
        server = urlsplit(origin.media_url if kind == "media" else origin.api_url)
        host = server.netloc
        self._name = f"wit-release {kind} {host}"
        self._demo = origin.profile == "demo" and server.hostname == "127.0.0.1"
        self._watch = _watch(client, f"wit-release pause {kind} {host}")
        self.per_task = max(1, math.ceil(self._connections / max(1, self._watch.workers)))

    def acquire(self, timeout: float) -> Lease | None:
        """Wait up to `timeout` seconds for a lease; None: there was none."""
        self._watch.ask()
        ends = time.monotonic() + timeout
        if self._others() < self._connections:
            self._watch.waits()
            time.sleep(min(timeout, _LOOK))
            return None
        semaphore = Semaphore(
            max_leases=self._connections,
            name=f"{self._name} {self._connections}",
            scheduler_rpc=self._client.scheduler,
            loop=self._client.loop,
        )
        with ExitStack() as held:
            held.callback(semaphore.refresh_callback.stop)
            self._client.set_metadata([self._name, self._connections], True)
            if not semaphore.acquire(timeout=timeout):
                return None
            held.callback(semaphore.release)
            # All look at the others after getting a lease: two that come at the same time cannot miss each other.
            while (others := self._others()) < math.inf or (share := self._share()) is None:
                self._watch.waits()
                if others < self._connections or time.monotonic() > ends:
                    return None
                time.sleep(_RETRY)
            held.enter_context(share)
            return _DaskLease(semaphore, held.pop_all(), self._watch)

    def _others(self) -> float:
        """Return the least other number of connections that has a lease on this cluster; infinity: there is none."""
        return float(self._client.sync(self._look_at_others))

    async def _look_at_others(self) -> float:
        scheduler: Any = self._client.scheduler
        others = {*await self._client.get_metadata([self._name], default={})} - {self._connections}
        held = [number for number in others if await scheduler.semaphore_value(name=f"{self._name} {number}")]
        return min(held, default=math.inf)

    def _share(self) -> AbstractContextManager[object] | None:
        """Take one of the machine's connections; the demo's own servers, on a new port each time, are nobody's."""
        return nullcontext() if self._demo else lock_share(self._name, self._connections)

    def paused_for(self) -> float:
        """Return the seconds that are left of the shared pause."""
        return self._watch.paused_for()

    def announce_pause(self, seconds: float) -> None:
        """Pause every lease of every worker."""
        self._watch.announce(time.time() + seconds)


class _DaskLease:
    def __init__(self, semaphore: Semaphore, held: ExitStack, watch: "_Watch") -> None:
        self._semaphore: Semaphore | None = semaphore
        self._held = held
        self._watch = watch

    def valid(self) -> bool:
        if self._semaphore is None or self._watch.in_touch():
            return self._semaphore is not None
        self._semaphore.refresh_leases = False  # else it would renew what may belong to another by now
        return False

    def release(self) -> None:
        self._semaphore = None
        self._held.close()


class _Watch:
    """Looks at the shared pause, and so at whether the scheduler is there; one per process and pause."""

    def __init__(self, client: Client, name: str) -> None:
        self.workers = len(client.nthreads())
        self._client = client
        self._loop: Any = client.loop
        self._key = ["wit-release", name]
        self._pause_ends = 0.0
        self._heard = time.monotonic()
        self._asked = time.monotonic()
        self._looking = False
        self._told = -math.inf
        timeout = dask.config.get("distributed.scheduler.locks.lease-timeout")
        self._trust = math.inf if timeout == "inf" else parse_timedelta(timeout, "s") / 2
        self.ask()

    def ask(self) -> None:
        """Keep looking: somebody wants to know."""
        self._asked = time.monotonic()
        if not self._looking:
            self._looking = True
            try:
                self._client.sync(self._look)
            except BaseException:
                self._looking = False
                raise
            self._loop.add_callback(self._keep_looking)

    def waits(self) -> None:
        """Log what a connection waits for, now and then: there may be many of them, and for days."""
        if time.monotonic() - self._told > _TELL:
            self._told = time.monotonic()
            log.info(
                "waiting for a run that uses the connections, on this machine or, with other limits, on this cluster"
            )

    def in_touch(self) -> bool:
        self._asked = time.monotonic()
        return self._asked - self._heard < self._trust

    def paused_for(self) -> float:
        return max(0.0, self._pause_ends - time.time())

    def announce(self, until: float) -> None:
        self._pause_ends = max(self._pause_ends, until)
        self._loop.add_callback(self._publish, self._pause_ends)

    async def _publish(self, until: float) -> None:
        await self._look()
        if self._pause_ends <= until:
            await self._client.set_metadata(self._key, until)

    async def _look(self) -> None:
        asked = time.monotonic()
        published = await self._client.get_metadata(self._key, default=0.0)
        self._pause_ends = max(self._pause_ends, float(published))
        self._heard = asked

    async def _keep_looking(self) -> None:
        try:
            while time.monotonic() - self._asked < _UNUSED and self._client.status == "running":
                await asyncio.sleep(_LOOK)
                if self._client.scheduler is None:  # closed meanwhile
                    return
                try:
                    await self._look()
                except (OSError, RuntimeError) as error:
                    log.warning("the Dask scheduler does not answer (%s): leases are not used until it does", error)
                    await asyncio.sleep(1)
        finally:
            self._looking = False


def _watch(client: Client, name: str) -> _Watch:
    with _watches_lock:
        watch = _watches.get((client.id, name))
        if watch is None:
            watch = _watches[client.id, name] = _Watch(client, name)
        return watch
