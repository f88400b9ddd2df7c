"""How far a release has come, as far as its store can tell, which is all that the pages ask.

Nobody says in the store that a run was killed: one in which nothing moves for long counts as stopped.
"""

import datetime
from enum import StrEnum

from pipelines.quality.verdict import Verdict

_STILL = datetime.timedelta(hours=2)
"""Longer than any step takes over one partition, which is how often something is written."""


class State(StrEnum):
    """How far a release has come."""

    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    WAITING = "waiting"
    PASSED = "passed"
    PUBLISHED = "published"


MEANINGS = {
    State.STOPPED: "nothing has moved for hours; the same run goes on where it stopped",
    State.FAILED: "errors stand in the way of its publication",
    State.WAITING: "it has warnings, and is published when someone says why it may be",
    State.PASSED: "not published yet",
}
"""In words, where the name does not say it."""


def state_of(verdict: Verdict | None, moved: datetime.datetime | None) -> State:
    """Return the state of a release that is not published.

    Args:
        verdict: on the release; None before its validation.
        moved: when something was last written for it; None: nothing of that is there.

    """
    if verdict is None:
        still = moved is None or datetime.datetime.now(datetime.UTC) - moved > _STILL
        return State.STOPPED if still else State.RUNNING
    if verdict.errors:
        return State.FAILED
    return State.WAITING if verdict.warnings else State.PASSED
