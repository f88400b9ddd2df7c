"""The backlog of a fetch: which file is asked for next, what is tried again and when, and when a failure is final.

A pure state machine: the clock and the dice are handed in, so every rule can be tested by replaying events.
"""

import heapq
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipelines.commons.origin import Origin
from pipelines.commons.plan import Choice, MediaRequest, choices
from pipelines.commons.results import MediaFailure, Unusable
from pipelines.commons.verdict import FailureKind, Verdict

CONVICTION = 4
"""So often must the same useless answer come (the same bytes, too many of them, a vague 429) before it is believed."""

_THROTTLES = 50
_PRECEDENCE = (FailureKind.TEMPORARY, FailureKind.UNUSABLE, FailureKind.TOO_LARGE, FailureKind.MISSING)


@dataclass(slots=True, eq=False)
class Job:
    """A file that is wanted, and what was tried so far."""

    request: MediaRequest
    choices: tuple[Choice, ...]
    at: int = 0
    attempts: int = 0
    throttles: int = 0
    useless: Counter[str] = field(default_factory=Counter)
    passing: Verdict | None = None
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def choice(self) -> Choice:
        """Where it is looked for now."""
        return self.choices[self.at]


class Backlog:
    """Files to fetch, in their order; what failed for a passing reason comes again after its back-off."""

    def __init__(self, requests: Iterable[MediaRequest], origin: Origin, dice: random.Random | None = None) -> None:
        self._origin = origin
        self._dice = dice or random.Random()
        self._requests = iter(requests)
        self._fresh: Job | None = None
        self._later: list[tuple[float, int, Job]] = []
        self._order = 0
        self._silenced = False  # a file got a vague 429, and none was had since
        self.open = 0
        """Files without a result yet: waiting, on their way, or being processed; 0 means that everything is done."""
        self._draw()

    def next(self, now: float) -> Job | None:
        """Take the next file to ask for; None: none is due."""
        if self._later and self._later[0][0] <= now:
            return heapq.heappop(self._later)[2]
        job = self._fresh
        if job is not None:
            self._draw()
        return job

    def delay(self, now: float) -> float | None:
        """Return the seconds until a file is due; None: no file waits."""
        if self._fresh is not None:
            return 0.0
        return max(0.0, self._later[0][0] - now) if self._later else None

    def put_back(self, job: Job, now: float) -> None:
        """Return a file that was not asked for after all; it costs no attempt."""
        self._again(job, now)

    def done(self) -> None:
        """Note that a file has been had."""
        self.open -= 1

    def answered(self) -> None:
        """Note that the servers have given a file: they do not silence everyone."""
        self._silenced = False

    def understood(self, job: Job, verdict: Verdict) -> Verdict:
        """Return what a failure means in the light of the others, for `failed`; first of all, whom a 429 silences.

        Wikimedia's Thumbor counts failures: for a picture that it failed to draw four times within an hour it answers
        429 without Retry-After and without a word, and only for that one (its plugins' FAILURE_THROTTLING_MAX,
        https://gerrit.wikimedia.org/g/operations/software/thumbor-plugins). So a vague 429 is the file's own if the
        file failed there before by itself, or is answered so again after others were had. While nothing is had, at most
        one counts as such: when several files get it, everyone is meant.
        """
        if not verdict.vague:
            if verdict.kind is not FailureKind.TEMPORARY:
                self.answered()
            return verdict
        nobody_else, self._silenced = not self._silenced, True
        if nobody_else and (job.passing or job.useless[verdict.detail]):
            return Verdict(FailureKind.TEMPORARY, "429: for this file alone, having failed too often")
        return verdict

    def failed(self, job: Job, verdict: Verdict, now: float) -> MediaFailure | None:
        """Note a failed request; None: the file will be asked for again, there or elsewhere."""
        if verdict.vague or verdict.kind is FailureKind.TOO_LARGE:
            job.useless[verdict.detail] += 1
        convicted = max(job.useless.values(), default=0) >= CONVICTION
        if verdict.throttled and not convicted:
            job.throttles += 1
            if job.throttles < _THROTTLES:
                after = self.backoff(1) if verdict.vague else 0.0  # others go first, and show whether it is this file
                self._again(job, now + verdict.pause + after)
                return None
        job.attempts += 1
        if verdict.kind is FailureKind.TEMPORARY:
            job.passing = verdict
        if verdict.again and job.attempts < self._origin.attempts and not convicted:
            self._again(job, now + self.backoff(job.attempts))
            return None
        if verdict.again and not convicted and job.passing:
            verdict = job.passing  # a server in trouble: useless bytes among its answers say nothing about the file
        return self._exhausted(job, verdict, now)

    def unusable(self, job: Job, found: Unusable, now: float) -> MediaFailure | None:
        """Note bytes that could not be used; None: the file will be asked for again."""
        job.useless[found.sha256] += 1
        return self.failed(job, Verdict(FailureKind.UNUSABLE, found.detail, again=True), now)

    def backoff(self, attempt: int) -> float:
        """Return the seconds to wait after the n-th failure in a row: doubling, within half and one and a half."""
        whole = self._origin.backoff * 2.0 ** min(attempt - 1, 30)
        return min(whole, self._origin.backoff_limit) * self._dice.uniform(0.5, 1.5)

    def _draw(self) -> None:
        """Take the next request from the caller; they are not drawn before they are needed."""
        request = next(self._requests, None)
        if request is None:
            self._fresh = None
        else:
            self._fresh = Job(request, choices(request, self._origin.thumbnail_width))
            self.open += 1

    def _again(self, job: Job, due: float) -> None:
        self._order += 1
        heapq.heappush(self._later, (due, self._order, job))

    def _exhausted(self, job: Job, verdict: Verdict, now: float) -> MediaFailure | None:
        """Look for the file at the other place, or let the most telling of the failures stand."""
        job.verdicts.append(verdict)
        if job.at + 1 < len(job.choices):
            job.at += 1
            job.attempts = 0
            job.useless.clear()
            job.passing = None
            self._again(job, now)
            return None
        self.open -= 1
        rank = {kind: place for place, kind in enumerate(_PRECEDENCE)}
        if len(job.choices) == 1 and verdict.kind in (FailureKind.MISSING, FailureKind.REFUSED):
            drawn = f"the thumbnail service draws no picture of it ({verdict.detail})"
            return MediaFailure(FailureKind.UNSUPPORTED, drawn, self._origin.media_url + job.choice.path)
        told = min(job.verdicts, key=lambda each: rank.get(each.kind, len(rank)))
        return MediaFailure(told.kind, told.detail, self._origin.media_url + job.choice.path)
