"""Downloading weights: from the first place that answers, checked, and moved into place only when whole."""

import contextlib
import logging
import os
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pipelines.vision.weights_errors import ChecksumMismatch, MissingWeights

if TYPE_CHECKING:
    from pipelines.vision.weights_registry import Weights

log = logging.getLogger(__name__)

_TIMEOUT = 30.0
_CHUNK = 1 << 18


def download_weights(weights: "Weights", target: Path, check: Callable[[Path], object], advice: str) -> Path:
    """Download a model's file to ``target`` and return it. Several processes may do so at once: the last one wins.

    Args:
        weights: the registry's entry.
        target: the path of the file; its folder is made.
        check: raises ChecksumMismatch for a file that is not the published one.
        advice: what to tell the user if no place has the file.

    Raises:
        MissingWeights: no place gave the file; the message names each place and what it answered.
        ChecksumMismatch: every place that answered gave another file.

    """
    target.parent.mkdir(parents=True, exist_ok=True)
    failures: list[str] = []
    mismatch: ChecksumMismatch | None = None
    for url in weights.urls:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{weights.file}.")
        partial = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                _copy(url, file, weights)
            check(partial)
            partial.replace(target)
            return target
        except ChecksumMismatch as error:
            mismatch = ChecksumMismatch(f"{url} gives another file: {error}")
        except (OSError, ValueError) as error:
            failures.append(f"{url}: {error}")
        finally:
            partial.unlink(missing_ok=True)
    if mismatch is not None:
        raise mismatch
    raise MissingWeights(f"{advice}. Tried now: {'; '.join(failures)}")


def _copy(url: str, file: IO[bytes], weights: "Weights") -> None:
    log.info("downloading %s from %s", weights.file, url)
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
        stated = answer.headers.get("Content-Length")
        total = int(stated) if stated else weights.size
        copied = 0
        with _progress(weights.file, total) as advance:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                copied += len(chunk)
                advance(len(chunk))
    if stated and copied != int(stated):
        raise OSError(f"the connection ended after {copied:,} of {int(stated):,} bytes")


@contextlib.contextmanager
def _progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal, nothing elsewhere; what is yielded is told of each further piece of bytes."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)
