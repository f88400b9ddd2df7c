"""Numbers for those who watch a run while it is on: how fast a step goes, what waits, and what it takes.

A meter is told numbers under names; what becomes of them is its own business. Airflow's tasks hand in one that passes
them on to StatsD or OpenTelemetry. The same numbers, added up, are kept with the run; no file of a release has them.
"""

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

_SECONDS_BETWEEN = 5.0
"""Between two looks at what changes all the time."""


class Meter(Protocol):
    """Is told numbers; their names are words joined by full stops."""

    def count(self, name: str, amount: float) -> None:
        """So many more of something."""

    def gauge(self, name: str, value: float) -> None:
        """Something is so much now."""

    def duration(self, name: str, seconds: float) -> None:
        """Something took so long."""


class Silent:
    """Of no consequence."""

    def count(self, name: str, amount: float) -> None:
        """Forget it."""

    def gauge(self, name: str, value: float) -> None:
        """Forget it."""

    def duration(self, name: str, seconds: float) -> None:
        """Forget it."""


SILENT: Meter = Silent()


@dataclass(frozen=True, slots=True)
class Under:
    """Puts a word before every name."""

    meter: Meter
    word: str

    def count(self, name: str, amount: float) -> None:
        """Pass it on."""
        self.meter.count(f"{self.word}.{name}", amount)

    def gauge(self, name: str, value: float) -> None:
        """Pass it on."""
        self.meter.gauge(f"{self.word}.{name}", value)

    def duration(self, name: str, seconds: float) -> None:
        """Pass it on."""
        self.meter.duration(f"{self.word}.{name}", seconds)


class StepMeter:
    """What is heard of a step while it runs, as numbers for a meter.

    Counts are passed on as they come in. What was not heard of in time is made up for at the end, so that they add up
    to what is kept with the run.
    """

    def __init__(self, meter: Meter, partitions: int) -> None:
        self._meter = meter
        self._lock = threading.Lock()  # events arrive in another thread than receipts
        self._partitions = partitions
        self._begun: set[str] = set()
        self._done: set[str] = set()
        self._counted: Counter[str] = Counter()
        self._looked = time.monotonic()
        self._rows_then = 0.0

    def begun(self, key: str) -> None:
        """A worker has begun a partition."""
        with self._lock:
            self._begun.add(key)
            self._look()

    def advanced(self, numbers: Mapping[str, float]) -> None:
        """So much more was done in a partition that is still being worked on."""
        with self._lock:
            self._count(numbers)
            self._look()

    def done(self, key: str) -> None:
        """A partition is done."""
        with self._lock:
            self._done.add(key)
            self._look()

    def end(self, totals: Mapping[str, float], seconds: float, worker_seconds: float) -> None:
        """All partitions are done.

        Args:
            totals: of what was counted.
            seconds: by the clock.
            worker_seconds: of all workers together.

        """
        with self._lock:
            self._count({name: total - self._counted[name] for name, total in totals.items()})
            self._queue()
            self._meter.gauge("rows_per_second", totals.get(ROWS, 0) / max(seconds, 1e-3))
            if worker_seconds:
                self._meter.gauge("gpu_share", totals.get(GPU_SECONDS, 0) / worker_seconds)
            self._meter.duration("duration", seconds)

    def _count(self, numbers: Mapping[str, float]) -> None:
        for name, amount in numbers.items():
            if amount > 0:
                self._counted[name] += amount  # type: ignore[assignment]  # seconds are no whole numbers
                self._meter.count(name, amount)

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked >= _SECONDS_BETWEEN:
            self._queue()
            self._meter.gauge("rows_per_second", (self._counted[ROWS] - self._rows_then) / (now - self._looked))
            self._looked, self._rows_then = now, self._counted[ROWS]

    def _queue(self) -> None:
        begun = self._begun | self._done
        self._meter.gauge("partitions_pending", self._partitions - len(begun))
        self._meter.gauge("partitions_processing", len(begun - self._done))
        self._meter.gauge("partitions_done", len(self._done))


ROWS = "rows"
"""Made, or taken over from an earlier run; those of partitions that stood already are not counted."""

GPU_SECONDS = "gpu_seconds"
"""Of workers with a GPU, in steps that need one."""
