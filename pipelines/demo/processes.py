"""Processes that belong together, and their end.

Airflow's tasks are process groups of their own, and so survive a signal to the group of the scheduler that started
them; they stay in its session, though. So what is to be stopped as a whole is started as a session, and ended as one.
"""

import contextlib
import os
import signal
import time
from collections.abc import Collection

import psutil  # type: ignore[import-untyped]

_POLL = 0.1  # seconds


def stop_sessions(leaders: Collection[int], grace: float) -> None:
    """Ask all processes of these sessions to end, and kill those that have not after `grace` seconds.

    Args:
        leaders: ids of the processes that the sessions were started with; they may have ended already.
        grace: seconds.

    """
    _signal(leaders, signal.SIGTERM)
    until = time.monotonic() + grace
    while members(leaders):
        if time.monotonic() > until:
            _signal(leaders, signal.SIGKILL)
        time.sleep(_POLL)


def members(leaders: Collection[int]) -> list[int]:
    """Return the processes that belong to these sessions and have not ended."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) in leaders and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def _signal(leaders: Collection[int], number: signal.Signals) -> None:
    for process in members(leaders):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
