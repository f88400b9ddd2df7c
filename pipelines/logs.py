"""Log lines that say what they are about: release, stage, step and partition.

These names are bound where the work is done, and are part of every line from there on, in threads as well, as structlog
keeps them in context variables. Airflow's task log is made with structlog and shows them as fields of its own. On a
shell they begin the line, or ``WIT_LOG=json`` makes an object of each.

What a task logs on a Dask worker is sent to the process that waits for the task, and so ends up in the log of the run.
With ``WIT_LOG`` set in a worker's environment, the worker writes it to its own standard error as well.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars, get_contextvars

NAMES = ("release", "stage", "step", "partition")
"""What a line may say of itself, from the whole to the part."""

FORMAT = "WIT_LOG"
"""Environment variable: ``text`` or ``json``."""

_LIBRARY = "pipelines"

Line = Mapping[str, Any]
"""A line on its way from a worker: nothing but numbers, texts and a dictionary of texts."""

about = bound_contextvars
"""For the time of a ``with`` block, every line says these names of itself."""


def named() -> dict[str, str]:
    """Return what lines say of themselves now."""
    known = get_contextvars()
    return {name: str(known[name]) for name in NAMES if known.get(name)}


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(about)s%(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        names = " ".join(named().values())
        record.about = f"{names}: " if names else ""
        return super().format(record)


def _json() -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )


def to_stderr(level: int = logging.INFO) -> None:
    """Write the library's lines to standard error, in the form that ``WIT_LOG`` names; once for a process."""
    logger = logging.getLogger(_LIBRARY)
    logger.setLevel(level)
    if not any(type(handler) is logging.StreamHandler for handler in logger.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_json() if os.environ.get(FORMAT) == "json" else _Text())
        logger.addHandler(handler)


class _Sender(logging.Handler):
    """Hands lines to whoever waits for the task that they come from."""

    def emit(self, record: logging.LogRecord) -> None:
        send = _SEND.get()
        if send is not None:
            send({"logger": record.name, "level": record.levelno, "text": self.format(record), "about": named()})


_SEND: ContextVar[Callable[[Line], None] | None] = ContextVar("send", default=None)
_SENDER = _Sender()


@contextlib.contextmanager
def sending(send: Callable[[Line], None]) -> Iterator[None]:
    """On a worker: for the time of a ``with`` block, hand every line to `send` as well."""
    logger = logging.getLogger(_LIBRARY)
    if _SENDER not in logger.handlers:
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
        logger.addHandler(_SENDER)
        if os.environ.get(FORMAT):
            to_stderr()
    token = _SEND.set(send)
    try:
        yield
    finally:
        _SEND.reset(token)


def receive(line: Line) -> None:
    """Log a line of a worker here, as if it had been logged here."""
    logger = logging.getLogger(line["logger"])
    if logger.isEnabledFor(line["level"]):
        with about(**line["about"]):
            logger.handle(logger.makeRecord(logger.name, line["level"], "", 0, line["text"], (), None))
