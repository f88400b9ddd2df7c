"""A run of fetching: the slots that hold leases, the files on their way, and what bounds them.

The connections live on one event loop; `process` has the caller's thread. What has arrived and was not taken yet is
bounded in number and in bytes: a slow caller slows the fetching down and fills no memory.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import length_hint
from queue import SimpleQueue
from typing import Generic, TypeVar

from pipelines.commons.backlog import Backlog, Job
from pipelines.commons.download import connection, download
from pipelines.commons.origin import Origin
from pipelines.commons.plan import MediaRequest
from pipelines.commons.politeness import Governor, Lease, Leases
from pipelines.commons.results import Answer, Fetched, MediaFailure, MediaResponse, Unusable, processed
from pipelines.commons.traffic import LEASE_WAIT, RETRIES, THROTTLES
from pipelines.commons.verdict import FailureKind, OriginUnavailable, Verdict

T = TypeVar("T")

_PATIENCE = 0.5  # seconds of one try for a lease
_AHEAD = 64  # files that may have arrived and not been taken by the caller yet
_AHEAD_BYTES = 128 << 20  # bytes that may have arrived and not been taken by the caller yet
_FULL = 0.05  # seconds between two looks at whether the caller has taken some of them
_WATCH = 0.25  # seconds between two looks at whether a lease is still held, and at the shared pause
_IDLE = 5.0  # seconds: with nothing due for longer, a lease goes to others

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A file on its way to the caller: an answer to be worked on, or why there is none."""

    job: Job
    result: Answer | MediaFailure
    size: int = 0


class Fetching(Generic[T]):
    """One call of `fetch_all`: the caller's thread takes arrivals and works on them; the loop is told of each."""

    def __init__(
        self,
        requests: Iterable[MediaRequest],
        origin: Origin,
        leases: Leases,
        process: Callable[[MediaResponse], T],
    ) -> None:
        self._origin = origin
        self._leases = leases
        self._process = process
        self._slots = max(1, min(leases.per_task, length_hint(requests, leases.per_task)))
        self._backlog = Backlog(requests, origin)
        self._arrivals: SimpleQueue[_Arrival | BaseException | None] = SimpleQueue()
        self._ahead = self._ahead_bytes = 0  # arrived, and not taken by the caller yet
        self._alive = time.monotonic()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._main: asyncio.Task[None]

    # The caller's thread

    def results(self) -> Iterator[tuple[MediaRequest, Fetched[T] | MediaFailure]]:
        """Yield what is done; raise what ended the run before its time."""
        while (item := self._arrivals.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            job, result = item.job, item.result
            made = processed(job.request, result, job.choice, self._process) if isinstance(result, Answer) else result
            with contextlib.suppress(RuntimeError):  # the loop has been stopped meanwhile
                self._loop.call_soon_threadsafe(self._taken, item, made)
            if not isinstance(made, Unusable):
                yield job.request, made

    def stop(self) -> None:
        """End the run where it is; leases are given back, what is on its way is dropped."""
        self._ready.wait()
        with contextlib.suppress(RuntimeError):  # the loop has closed already
            self._loop.call_soon_threadsafe(self._main.cancel)

    # The loop's thread

    def live(self) -> None:
        """Run to the end; what goes wrong is raised by `results`."""
        end: BaseException | None = None
        try:
            asyncio.run(self._live())
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            end = error
        finally:
            self._ready.set()
            self._arrivals.put(end)

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._main = asyncio.current_task()  # type: ignore[assignment]  # this is one
        self._changed = asyncio.Event()
        self._ready.set()
        slots = [asyncio.create_task(self._slot()) for _ in range(self._slots)]
        try:
            await asyncio.gather(*slots)
        finally:
            for slot in slots:
                if not slot.cancelling():  # a second time would cut short the giving back of leases
                    slot.cancel()
            await asyncio.gather(*slots, return_exceptions=True)

    async def _slot(self) -> None:
        """Hold a lease while there is something to fetch, and none while there is not."""
        while self._backlog.open:
            self._changed.clear()
            delay = self._backlog.delay(time.monotonic())
            if delay is None or delay > _IDLE:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), delay)
                continue
            if lease := await self._acquire():
                governor = Governor(self._leases.allowance, time.monotonic())
                try:
                    await self._serve(lease, governor)
                finally:
                    await asyncio.shield(_give_back(lease, governor))

    async def _acquire(self) -> Lease | None:
        """Wait a while for a lease; one that comes when we are no longer there is given back."""
        asking = asyncio.ensure_future(asyncio.to_thread(self._leases.acquire, _PATIENCE))
        asked = time.monotonic()
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            if lease := await asking:
                lease.release()
            raise
        finally:
            self._leases.traffic.add(LEASE_WAIT, time.monotonic() - asked)

    async def _serve(self, lease: Lease, governor: Governor) -> None:
        """Use one leased connection until nothing is due, or the lease is lost."""
        paced = self._leases.allowance.bits_per_second is not None
        failures = 0
        async with connection(self._origin, paced) as session, _while_valid(lease):
            while await self._go_on(lease, governor):
                job = self._backlog.next(time.monotonic())
                if job is None:
                    continue
                try:
                    result = await download(session, self._origin, governor, self._leases.traffic, job.choice.path)
                except asyncio.CancelledError:
                    self._backlog.put_back(job, time.monotonic())
                    raise
                if isinstance(result, Answer):
                    failures = 0
                    self._hand_over(job, result)
                else:
                    failures = failures + 1 if self._note(job, result) else 0
                    if failures > 1:
                        governor.pause(time.monotonic() + self._backlog.backoff(failures - 1))

    async def _go_on(self, lease: Lease, governor: Governor) -> bool:
        """Wait until the next request may be sent; False: give the lease back."""
        while lease.valid():
            now = time.monotonic()
            due = self._backlog.delay(now)
            if due is None or due > _IDLE:
                return False
            if self._ahead >= _AHEAD or self._ahead_bytes >= _AHEAD_BYTES:
                await asyncio.sleep(_FULL)
            elif wait := max(governor.start_delay(now), self._leases.paused_for(), due):
                await asyncio.sleep(min(wait, _WATCH))
            else:
                return True
        return False

    def _taken(self, item: _Arrival, made: Fetched[T] | Unusable | MediaFailure) -> None:
        """Take note of what the caller took, and what came of it."""
        self._ahead -= 1
        self._ahead_bytes -= item.size
        if isinstance(made, Unusable):
            place = item.job.at
            self._conclude(item.job, place, self._backlog.unusable(item.job, made, time.monotonic()))
        elif isinstance(made, Fetched):
            self._backlog.done()
            self._changed.set()

    def _note(self, job: Job, verdict: Verdict) -> bool:
        """Take note of a failed request; says whether the server seems to be in trouble."""
        now = time.monotonic()
        verdict = self._backlog.understood(job, verdict)
        if verdict.pause:
            log.info("the servers ask for a pause of %.0f s: %s", verdict.pause, verdict.detail)
            self._leases.announce_pause(verdict.pause)
        if verdict.pause or verdict.throttled:
            self._leases.traffic.add(THROTTLES)
        trouble = verdict.kind is FailureKind.TEMPORARY and not verdict.pause
        if not trouble:
            self._alive = now
        elif now - self._alive > self._origin.give_up_after:
            raise OriginUnavailable(
                f"{self._origin.media_url} has answered nothing but failures for {now - self._alive:.0f} s, lastly: "
                f"{verdict.detail}. What was fetched is kept; start the run again when the servers are back"
            )
        place = job.at
        self._conclude(job, place, self._backlog.failed(job, verdict, now))
        return trouble

    def _conclude(self, job: Job, place: int, failure: MediaFailure | None) -> None:
        """Pass on a failure, or note that the file is asked for again; `place` is where it was looked for."""
        if failure:
            self._ahead += 1
            self._arrivals.put(_Arrival(job, failure))
        elif job.at == place:
            self._leases.traffic.add(RETRIES)
        self._changed.set()

    def _hand_over(self, job: Job, answer: Answer) -> None:
        """Pass on a file that has arrived."""
        self._alive = time.monotonic()
        self._backlog.answered()
        self._ahead += 1
        self._ahead_bytes += len(answer.data)
        self._arrivals.put(_Arrival(job, answer, len(answer.data)))


async def _give_back(lease: Lease, governor: Governor) -> None:
    """Release a lease once all that was used under it is paid for."""
    try:
        await asyncio.sleep(governor.settle_delay(time.monotonic()))
    finally:
        await asyncio.to_thread(lease.release)


@contextlib.asynccontextmanager
async def _while_valid(lease: Lease) -> AsyncIterator[None]:
    """Run a block until the lease is lost; whatever the block awaits then is cancelled."""

    async def watch(scope: asyncio.Timeout) -> None:
        while lease.valid():
            await asyncio.sleep(_WATCH)
        scope.reschedule(asyncio.get_running_loop().time())

    scope = asyncio.timeout(None)
    try:
        async with scope:
            watcher = asyncio.create_task(watch(scope))
            try:
                yield
            finally:
                watcher.cancel()
    except TimeoutError:
        if not scope.expired():
            raise
        log.warning("a lease was lost: its connection is closed, and a new lease asked for")
