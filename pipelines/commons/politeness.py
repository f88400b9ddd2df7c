"""Politeness: how fast one connection may go, and how connections are shared out.

The limits of an origin hold for an operator in all, over every worker. So they are cut into equal shares, one for each
connection that is allowed: whoever holds a *lease* may open one connection and use its share of the bandwidth and of
the requests, and the sum can never exceed the whole, with no token server in between.

The `Governor` is a pure state machine: it never looks at a clock and never sleeps; it is told what happened when, and
says how long to wait. A governor starts with nothing saved up and must be settled before its lease is handed on, so
leases that change hands often gain nothing by it.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from pipelines.commons.traffic import Traffic

WINDOW = 10.0
"""Seconds over which Wikimedia's robot policy measures bandwidth."""

_RATE = 0.97
_BURST_SECONDS = 0.1
# In any window of 10 s a bucket lets through 10 · 0.97 + 0.1 shares. The rest, 2 % of a window, is for what
# lies unread in the socket's and the client's buffers: the server has sent it, and we have not counted it yet.


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one leased connection may use.

    Args:
        bits_per_second: mean over any `WINDOW`; None: no limit.
        requests_per_second: None: no limit.
        slow_after: a request that took longer than this (seconds) is followed by a rest …
        slow_rest: … of this many seconds, as the policy for the Action API asks; 0: none.

    """

    bits_per_second: float | None = None
    requests_per_second: float | None = None
    slow_after: float = 1.0
    slow_rest: float = 0.0


@dataclass(slots=True)
class _Bucket:
    """A token bucket that starts empty and may fall into debt; units per second."""

    rate: float
    burst: float
    at: float
    level: float = 0.0

    def take(self, now: float, amount: float) -> None:
        self._fill(now)
        self.level -= amount

    def delay(self, now: float) -> float:
        """Return the seconds until the debt is paid."""
        self._fill(now)
        return max(0.0, -self.level / self.rate)

    def _fill(self, now: float) -> None:
        if now > self.at:
            self.level = min(self.burst, self.level + (now - self.at) * self.rate)
            self.at = now


class Governor:
    """Says when one connection may send its next request and read on; times are seconds of one monotonic clock."""

    def __init__(self, allowance: Allowance, now: float) -> None:
        bits, requests = allowance.bits_per_second, allowance.requests_per_second
        self._allowance = allowance
        self._bits = None if bits is None else _Bucket(bits * _RATE, bits * _BURST_SECONDS, now)
        self._requests = None if requests is None else _Bucket(requests, 0.0, now)
        self._paused_until = now
        self._rested_at = now
        self._started = now

    @property
    def paced(self) -> bool:
        """Whether the bandwidth is limited."""
        return self._bits is not None

    def pause(self, until: float) -> None:
        """Let no request start before `until`; a pause is never shortened."""
        self._paused_until = max(self._paused_until, until)

    def start_delay(self, now: float) -> float:
        """Return the seconds until the next request may start; 0: now."""
        return max(self._paused_until - now, self.settle_delay(now))

    def started(self, now: float) -> None:
        """Note that a request was sent."""
        self._started = now
        if self._requests is not None:
            self._requests.take(now, 1.0)

    def received(self, now: float, size: int) -> None:
        """Note that `size` bytes of a response were read."""
        if self._bits is not None:
            self._bits.take(now, size * 8.0)

    def read_delay(self, now: float) -> float:
        """Return the seconds to wait before reading on."""
        return 0.0 if self._bits is None else self._bits.delay(now)

    def finished(self, now: float) -> None:
        """Note that the response has been read, or that the request has failed."""
        if self._allowance.slow_rest and now - self._started > self._allowance.slow_after:
            self._rested_at = now + self._allowance.slow_rest

    def settle_delay(self, now: float) -> float:
        """Return the seconds until all that was used is paid for; only then may the lease go to another."""
        requests = 0.0 if self._requests is None else self._requests.delay(now)
        return max(self.read_delay(now), requests, self._rested_at - now)


class Lease(Protocol):
    """The right to one connection, with its share of what the origin allows."""

    def valid(self) -> bool:
        """Say whether it is still held; if not, the connection must stop at once and ask for a new one."""

    def release(self) -> None:
        """Hand it on."""


class Leases(Protocol):
    """The connections that an origin allows, over all processes that share them, and the pause that binds them all."""

    @property
    def allowance(self) -> Allowance:
        """What each lease is good for."""

    @property
    def traffic(self) -> Traffic:
        """What went over the connections that were leased here."""

    @property
    def per_task(self) -> int:
        """How many leases one task should ask for at first, so that all workers get some."""

    def acquire(self, timeout: float) -> Lease | None:
        """Wait up to `timeout` seconds for a lease; None: there was none."""

    def paused_for(self) -> float:
        """Return the seconds that are left of the shared pause."""

    def announce_pause(self, seconds: float) -> None:
        """No lease may start a request for this long: the server said so."""


@contextmanager
def leased(leases: Leases, patience: float = 0.5) -> Iterator[Lease]:
    """Hold a lease for the time of a ``with`` block, waiting for it as long as it takes."""
    while (lease := leases.acquire(patience)) is None:
        pass
    try:
        yield lease
    finally:
        lease.release()


class LocalLeases:
    """Leases within one process, for a single machine, the command line and tests; thread-safe."""

    def __init__(self, connections: int, allowance: Allowance | None = None) -> None:
        self.allowance = allowance or Allowance()
        self.traffic = Traffic()
        self.per_task = connections
        self._free = threading.BoundedSemaphore(connections)
        self._pause_ends = 0.0
        self._lock = threading.Lock()

    def acquire(self, timeout: float) -> Lease | None:
        """Wait up to `timeout` seconds for a lease; None: there was none."""
        return _LocalLease(self._free) if self._free.acquire(timeout=timeout) else None

    def paused_for(self) -> float:
        """Return the seconds that are left of the shared pause."""
        return max(0.0, self._pause_ends - time.monotonic())

    def announce_pause(self, seconds: float) -> None:
        """Pause every lease."""
        with self._lock:
            self._pause_ends = max(self._pause_ends, time.monotonic() + seconds)


@dataclass(slots=True)
class _LocalLease:
    free: threading.BoundedSemaphore
    held: bool = True

    def valid(self) -> bool:
        return self.held

    def release(self) -> None:
        if self.held:
            self.held = False
            self.free.release()
