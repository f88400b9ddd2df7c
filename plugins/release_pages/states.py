"""How far a release has come, as far as its store can tell, which is all that the pages ask.

A run that was killed says nothing, but its heartbeat in the store's lock has stopped.
"""

from enum import StrEnum

from pipelines.quality.verdict import Verdict


class State(StrEnum):
    """How far a release has come."""

    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    WAITING = "waiting"
    PASSED = "passed"
    PUBLISHED = "published"


MEANINGS = {
    State.STOPPED: "nobody is at work on it; the same run, when it is repeated, goes on where it stopped",
    State.FAILED: "errors stand in the way of its publication",
    State.WAITING: "it has warnings, and is published when someone says why it may be",
    State.PASSED: "not published yet",
}
"""In words, where the name does not say it."""


def state_of(verdict: Verdict | None, at_work: bool) -> State:
    """Return the state of a release that is not published.

    Args:
        verdict: on the release; None before its validation.
        at_work: a process is making it.

    """
    if verdict is None:
        return State.RUNNING if at_work else State.STOPPED
    if verdict.errors:
        return State.FAILED
    return State.WAITING if verdict.warnings else State.PASSED
