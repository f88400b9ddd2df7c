"""Progress that a person can read: a bar on a terminal, plain lines in a log."""

import logging
import sys
import time
from typing import Protocol, Self

log = logging.getLogger("pipelines.progress")

_SECONDS_BETWEEN_LINES = 5.0


class Progress(Protocol):
    """Told by the engine how a step advances; a context manager for the time of one step."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(self, *_: object) -> None:
        """End."""
        ...

    def rows(self, count: int) -> None:
        """Some rows were made or taken over in a partition that is still being worked on."""
        ...

    def partition(self) -> None:
        """A partition is done."""
        ...


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class LogProgress:
    """A line every few seconds: partitions done, images a second, time left."""

    def __init__(self, step: str, partitions: int) -> None:
        self._step = step
        self._partitions = partitions
        self._done = 0
        self._rows = 0
        self._started = self._said = time.monotonic()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Say how it ended."""
        self._say()

    def rows(self, count: int) -> None:
        """Count rows."""
        self._rows += count
        self._say_sometimes()

    def partition(self) -> None:
        """Count a partition."""
        self._done += 1
        self._say_sometimes()

    def _say_sometimes(self) -> None:
        if time.monotonic() - self._said >= _SECONDS_BETWEEN_LINES and self._done < self._partitions:
            self._say()

    def _say(self) -> None:
        self._said = time.monotonic()
        elapsed = max(self._said - self._started, 1e-3)
        left = elapsed / self._done * (self._partitions - self._done) if self._done else None
        rate = f", {self._rows / elapsed:.1f} rows/s" if self._rows else ""
        when = "" if left is None else f", {_duration(left)} left" if self._done < self._partitions else ""
        log.info("%s: %d of %d partitions%s%s", self._step, self._done, self._partitions, rate, when)


class BarProgress:
    """A bar on a terminal."""

    def __init__(self, step: str, partitions: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:>16}"),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        self._task = self._bar.add_task(step, total=partitions, rate="")
        self._rows = 0
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()

    def rows(self, count: int) -> None:
        """Count rows."""
        self._rows += count
        rate = self._rows / max(time.monotonic() - self._started, 1e-3)
        self._bar.update(self._task, rate=f"{rate:.1f} rows/s")

    def partition(self) -> None:
        """Count a partition."""
        self._bar.advance(self._task)


def progress_for(step: str, partitions: int) -> Progress:
    """Return a bar where a person watches a terminal, and log lines everywhere else."""
    return (
        BarProgress(step, partitions) if sys.stderr.isatty() and sys.stdout.isatty() else LogProgress(step, partitions)
    )
