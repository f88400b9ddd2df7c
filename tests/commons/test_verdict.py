"""What answers mean: what passes is asked again, what is permanent is not."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.commons.verdict import LONGEST_PAUSE, FailureKind, UserAgentRefused, judge, readable, retry_after

URL = "https://upload.example/a.jpg"


def test_a_file_is_a_file() -> None:
    assert judge(URL, 200, {}, b"\xff\xd8\xff") is None
    assert judge(URL, 200, {}, b'<?xml version="1.0"?><svg>') is None
    assert judge(URL, 200, {}, b"<!DOCTYPE svg PUBLIC") is None


@pytest.mark.parametrize("body", [b"<!DOCTYPE html><html>", b"  <html lang=en>", b"<!-- x --><!doctype HTML >"])
def test_a_web_page_in_place_of_a_file_may_pass(body: bytes) -> None:
    verdict = judge(URL, 200, {"Content-Type": "image/jpeg"}, body)
    assert verdict is not None
    assert (verdict.kind, verdict.again) == (FailureKind.TEMPORARY, True)


@pytest.mark.parametrize("status", [404, 410])
def test_a_missing_file_is_missing(status: int) -> None:
    verdict = judge(URL, status, {}, b"")
    assert verdict is not None
    assert (verdict.kind, verdict.again) == (FailureKind.MISSING, False)


@pytest.mark.parametrize("status", [400, 429])
@pytest.mark.parametrize("words", [b"Use thumbnail sizes listed on https://w.wiki/x", b"<h1>Use thumbnail steps</h1>"])
def test_a_width_that_is_not_served_is_no_throttle(status: int, words: bytes) -> None:
    verdict = judge(URL, status, {"Retry-After": "60"}, words)
    assert verdict is not None
    assert (verdict.kind, verdict.again, verdict.pause, verdict.throttled) == (FailureKind.REFUSED, False, 0, False)


def test_a_throttle_binds_every_connection_for_as_long_as_it_says() -> None:
    verdict = judge(URL, 429, {"Retry-After": "17"}, b"slow down")
    assert verdict is not None
    assert (verdict.again, verdict.pause, verdict.throttled, verdict.vague) == (True, 17, True, False)
    silent = judge(URL, 429, {}, b"slow down")
    assert silent is not None
    assert silent.pause > 0
    assert silent.vague


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
def test_server_errors_may_pass(status: int) -> None:
    verdict = judge(URL, status, {}, b"<html><title>Error</title>our servers are on fire</html>")
    assert verdict is not None
    assert (verdict.kind, verdict.again) == (FailureKind.TEMPORARY, True)
    assert "our servers are on fire" in verdict.detail


def test_a_server_error_with_retry_after_pauses_everyone() -> None:
    verdict = judge(URL, 503, {"Retry-After": "5"}, b"")
    assert verdict is not None
    assert verdict.pause == 5


def test_a_refused_user_agent_stops_the_run_with_advice() -> None:
    body = b"<html><body>Please set a user-agent and respect our robot policy</body></html>"
    with pytest.raises(UserAgentRefused, match="operator_contact") as caught:
        judge(URL, 403, {}, body)
    assert "Please set a user-agent" in str(caught.value)
    assert "bot-traffic@wikimedia.org" in str(caught.value)
    with pytest.raises(UserAgentRefused):
        judge(URL, 403, {}, b"", strict_403=True)


def test_a_mirror_may_say_403_of_a_single_file() -> None:
    verdict = judge(URL, 403, {}, b"<Code>AccessDenied</Code>", strict_403=False)
    assert verdict is not None
    assert (verdict.kind, verdict.again) == (FailureKind.REFUSED, False)
    with pytest.raises(UserAgentRefused):
        judge(URL, 403, {}, b"your User-Agent is not allowed", strict_403=False)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("12", 12),
        (" 7 ", 7),
        ("999999", LONGEST_PAUSE),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30),
        ("Mon, 23 Nov 2026 11:59:00 GMT", 0),
        ("-5", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": value}, datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)) == seconds


@given(st.text())
def test_no_retry_after_can_stop_a_run_for_good(value: str) -> None:
    wait = retry_after({"Retry-After": value})
    assert wait is None or 0 <= wait <= LONGEST_PAUSE


@given(st.integers(100, 599), st.binary(max_size=200))
def test_every_answer_has_a_meaning(status: int, body: bytes) -> None:
    verdict = judge(URL, status, {}, body, strict_403=False) if status != 403 else None
    assert (verdict is None) == (status in (200, 403)) or status == 200


@given(st.binary(max_size=2000))
def test_what_is_shown_of_an_answer_is_one_short_line_without_markup(body: bytes) -> None:
    shown = readable(b"<script>alert(1)</script><b>" + body)
    assert len(shown) <= 200
    assert shown.isprintable()
    assert "<b>" not in shown
    assert "alert" not in shown
