"""The backlog, by replay: every file ends with exactly one result, and what passes is tried again within bounds."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.commons.backlog import CONVICTION, Backlog, Job
from pipelines.commons.origin import Origin, origin
from pipelines.commons.plan import MediaRequest
from pipelines.commons.results import MediaFailure, Unusable
from pipelines.commons.verdict import FailureKind, Verdict

PASSING = Verdict(FailureKind.TEMPORARY, "500: it happens", again=True)
MISSING = Verdict(FailureKind.MISSING, "404: there is no such file")
WIDTH = Verdict(FailureKind.REFUSED, "400: this thumbnail width is not served")
THROTTLED = Verdict(FailureKind.TEMPORARY, "429: throttled", again=True, pause=3.0, throttled=True)
VAGUE = replace(THROTTLED, vague=True)


def an_origin(**changes: object) -> Origin:
    own = {"media_url": "http://127.0.0.1:1", "api_url": "http://127.0.0.1:1/w/api.php"}
    made = origin("demo", operator_name="t", operator_contact="", operator_url="", **own)  # type: ignore[arg-type]
    return replace(made, **changes)  # type: ignore[arg-type]


def a_backlog(*names: str, **changes: object) -> Backlog:
    return Backlog((MediaRequest(name, name) for name in names), an_origin(**changes), random.Random(1))


def drain(backlog: Backlog, verdicts: list[Verdict]) -> tuple[MediaFailure | None, list[float], int]:
    """Answer one file's requests with these verdicts, the last one for ever; return its end, and when it was asked."""
    now, asked = 0.0, []
    while (delay := backlog.delay(now)) is not None:
        now += delay + 1e-9  # or rounding could make it too early
        job = backlog.next(now)
        assert job is not None
        asked.append(now)
        verdict = verdicts[min(len(asked), len(verdicts)) - 1]
        if failure := backlog.failed(job, verdict, now):
            return failure, asked, backlog.open
    return None, asked, backlog.open


def test_a_file_that_is_at_neither_place_is_missing_after_one_request_each() -> None:
    failure, asked, still_open = drain(a_backlog("A.jpg"), [MISSING])
    assert failure is not None
    assert failure.kind is FailureKind.MISSING
    assert (len(asked), still_open) == (2, 0)


def test_a_width_that_is_not_served_sends_to_the_original_at_once() -> None:
    backlog = a_backlog("A.jpg")
    job = backlog.next(0.0)
    assert job is not None
    assert not job.choice.is_original
    assert backlog.failed(job, WIDTH, 0.0) is None
    again = backlog.next(0.0)
    assert again is job
    assert job.choice.is_original
    backlog.done()
    assert backlog.open == 0


def test_what_may_pass_is_tried_so_often_at_each_place_with_growing_waits() -> None:
    failure, asked, _ = drain(a_backlog("A.jpg", attempts=5, backoff=1.0, backoff_limit=1000.0), [PASSING])
    assert failure is not None
    assert failure.kind is FailureKind.TEMPORARY
    assert len(asked) == 10
    waits = [b - a for a, b in pairwise(asked)]
    for number, wait in enumerate(waits[:4]):
        assert 0.5 * 2**number <= wait <= 1.5 * 2**number


def test_one_place_in_trouble_and_the_other_empty_stays_pending() -> None:
    failure, _, _ = drain(a_backlog("A.jpg", attempts=2), [PASSING, PASSING, MISSING])
    assert failure is not None
    assert failure.kind is FailureKind.TEMPORARY
    assert failure.detail == PASSING.detail


def test_throttling_costs_no_attempt_but_has_an_end() -> None:
    backlog = a_backlog("A.jpg", attempts=2)
    job = backlog.next(0.0)
    assert job is not None
    for _ in range(20):
        assert backlog.failed(job, THROTTLED, 0.0) is None
        assert backlog.next(0.0) is None
        assert backlog.next(3.0) is job
    assert job.attempts == 0
    failure, asked, _ = drain(a_backlog("A.jpg", attempts=2), [THROTTLED])
    assert failure is not None
    assert failure.kind is FailureKind.TEMPORARY
    assert len(asked) < 100


def take(backlog: Backlog, now: float) -> Job:
    job = backlog.next(now)
    assert job is not None
    return job


def told(backlog: Backlog, job: Job, verdict: Verdict, now: float = 0.0) -> float:
    """Answer a request; return the pause for everyone that comes of it."""
    understood = backlog.understood(job, verdict)
    backlog.failed(job, understood, now)
    return understood.pause


def test_a_429_for_a_file_that_failed_by_itself_is_its_own_and_sends_to_the_original() -> None:
    backlog = a_backlog("A.jpg")
    job = take(backlog, 0.0)
    assert told(backlog, job, PASSING) == 0
    assert take(backlog, 100.0) is job
    assert told(backlog, job, VAGUE, 100.0) == 0
    assert take(backlog, 100.0) is job
    assert job.choice.is_original
    assert told(backlog, job, VAGUE, 100.0) > 0, "there it has not failed yet"


def test_a_429_out_of_the_blue_is_the_file_s_own_once_others_were_had() -> None:
    backlog = a_backlog("A.jpg", "B.jpg")
    first = take(backlog, 0.0)
    assert told(backlog, first, VAGUE) == VAGUE.pause
    assert take(backlog, VAGUE.pause).request.name == "B.jpg", "others go first, to show whether it is the file"
    backlog.answered()
    assert take(backlog, 100.0) is first
    assert told(backlog, first, VAGUE, 100.0) == 0
    assert take(backlog, 100.0).choice.is_original


def test_a_429_that_says_for_how_long_is_never_the_file_s_own() -> None:
    backlog = a_backlog("A.jpg")
    job = take(backlog, 0.0)
    told(backlog, job, PASSING)
    for at in range(1, 10):
        backlog.answered()
        assert take(backlog, at * 100.0) is job
        assert told(backlog, job, THROTTLED, at * 100.0) == THROTTLED.pause
    assert not job.choice.is_original


@given(st.lists(st.sampled_from([PASSING, VAGUE]), max_size=300), st.integers(1, 6))
def test_while_nothing_is_had_all_vague_429s_but_one_silence_everyone(answers: list[Verdict], files: int) -> None:
    backlog = a_backlog(*(f"F{number}.jpg" for number in range(files)), attempts=6)
    now, pauses = 0.0, []
    for verdict in answers:
        if (delay := backlog.delay(now)) is None:
            break
        now += delay + 1e-9  # or rounding could make it too early
        pause = told(backlog, take(backlog, now), verdict, now)
        if verdict is VAGUE:
            pauses.append(pause)
    assert pauses.count(0.0) <= 1


def test_a_file_alone_that_gets_nothing_but_vague_429s_stays_pending_soon() -> None:
    failure, asked, still_open = drain(a_backlog("A.jpg", attempts=100), [VAGUE])
    assert failure is not None
    assert (failure.kind, len(asked), still_open) == (FailureKind.TEMPORARY, 2 * CONVICTION, 0)
    waits = [b - a for a, b in pairwise(asked[:CONVICTION])]
    assert min(waits) > VAGUE.pause


def test_unusable_bytes_are_final_only_when_they_stay_the_same() -> None:
    backlog = a_backlog("A.pdf", attempts=100)
    job = backlog.next(0.0)
    assert job is not None
    for number in range(20):
        assert backlog.unusable(job, Unusable(f"sha-{number}", "noise"), 0.0) is None
        assert backlog.next(1e6) is job
    for _ in range(CONVICTION - 1):
        assert backlog.unusable(job, Unusable("same", "truncated"), 0.0) is None
        assert backlog.next(1e6) is job
    failure = backlog.unusable(job, Unusable("same", "truncated"), 0.0)
    assert failure is not None
    assert (failure.kind, failure.detail) == (FailureKind.UNUSABLE, "truncated")


@pytest.mark.parametrize("useless", ["bytes", "too large"])
def test_useless_bytes_from_a_server_in_trouble_are_not_believed(useless: str) -> None:
    backlog = a_backlog("A.pdf", attempts=3)
    job = backlog.next(0.0)
    assert job is not None
    assert backlog.failed(job, PASSING, 0.0) is None
    assert backlog.failed(job, PASSING, 0.0) is None
    if useless == "bytes":
        failure = backlog.unusable(job, Unusable("sha", "noise"), 0.0)
    else:
        failure = backlog.failed(job, Verdict(FailureKind.TOO_LARGE, "more than 64 MB", again=True), 0.0)
    assert failure is not None
    assert (failure.kind, failure.detail) == (FailureKind.TEMPORARY, PASSING.detail), "pending, for the next run"


def test_a_document_of_which_nothing_is_drawn_is_unsupported() -> None:
    failure, asked, _ = drain(a_backlog("A.pdf"), [MISSING])
    assert failure is not None
    assert failure.kind is FailureKind.UNSUPPORTED
    assert len(asked) == 1


def test_too_large_is_not_read_again_and_again() -> None:
    endless = Verdict(FailureKind.TOO_LARGE, "more than 64 MB", again=True)
    failure, asked, _ = drain(a_backlog("A.jpg", attempts=50), [endless])
    assert failure is not None
    assert failure.kind is FailureKind.TOO_LARGE
    assert len(asked) == 2 * CONVICTION


def test_fresh_files_go_on_while_others_wait() -> None:
    backlog = a_backlog("A.jpg", "B.jpg", "C.jpg", backoff=10.0)
    first = backlog.next(0.0)
    assert first is not None
    backlog.failed(first, PASSING, 0.0)
    second, third = backlog.next(0.0), backlog.next(0.0)
    assert second is not None
    assert third is not None
    assert [second.request.name, third.request.name] == ["B.jpg", "C.jpg"]
    assert backlog.next(0.0) is None
    delay = backlog.delay(0.0)
    assert delay is not None
    assert backlog.next(delay) is first


def test_requests_are_drawn_only_as_they_are_needed() -> None:
    drawn: list[str] = []

    def requests():  # type: ignore[no-untyped-def]
        for name in ("A.jpg", "B.jpg", "C.jpg"):
            drawn.append(name)
            yield MediaRequest(name, name)

    backlog = Backlog(requests(), an_origin())
    assert drawn == ["A.jpg"]
    backlog.next(0.0)
    assert drawn == ["A.jpg", "B.jpg"]


events = st.sampled_from(["done", "missing", "passing", "throttled", "vague", "width", "unusable", "same", "put back"])


@given(st.lists(events, max_size=300), st.integers(0, 12), st.integers(1, 4))
@settings(deadline=None)
def test_whatever_happens_every_file_ends_exactly_once(script: list[str], files: int, attempts: int) -> None:
    names = [f"F{number}.jpg" for number in range(files)]
    backlog = a_backlog(*names, attempts=attempts)
    ended: list[str] = []
    now, steps = 0.0, iter(script)
    while (delay := backlog.delay(now)) is not None:
        now += delay + 1e-9  # or rounding could make it too early
        job = backlog.next(now)
        assert job is not None
        event = next(steps, "passing")
        failure: MediaFailure | None = None
        if event == "done":
            backlog.answered()
            backlog.done()
            ended.append(job.request.name)
            continue
        if event == "put back":
            backlog.put_back(job, now)
        elif event in ("unusable", "same"):
            failure = backlog.unusable(job, Unusable("s" if event == "same" else f"{now}", "bad"), now)
        else:
            verdicts = {"missing": MISSING, "passing": PASSING, "throttled": THROTTLED, "vague": VAGUE, "width": WIDTH}
            failure = backlog.failed(job, backlog.understood(job, verdicts[event]), now)
        if failure:
            ended.append(job.request.name)
    assert sorted(ended) == sorted(names)
    assert backlog.open == 0


@pytest.mark.parametrize("attempt", [1, 5, 10_000])
def test_no_back_off_is_longer_than_its_limit(attempt: int) -> None:
    assert a_backlog(backoff=1.0, backoff_limit=60.0).backoff(attempt) <= 90
