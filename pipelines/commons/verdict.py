"""What an answer of the media servers means: a pure reading of status, headers and the first bytes.

The servers' own rules decide what is worth asking again. 429 with Retry-After is a throttle that binds every
connection; without, it may be about one file, which only the backlog can tell. 400 (once 429) with "Use thumbnail
sizes" or "steps" is no throttle: that width is never served. 404 and 410 are final. 403 refuses the user agent, and so
everything that would follow. 5xx may pass.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

from pipelines.errors import WitReleaseError

LONGEST_PAUSE = 3600.0
"""Seconds: a Retry-After above an hour is cut to it, so that a wrong header cannot stop a run for good."""

_PAUSE_WITHOUT_HEADER = 10.0
_UNKNOWN_WIDTH = re.compile(rb"use thumbnail (sizes|steps)", re.IGNORECASE)
_AGENT = re.compile(rb"user[- ]?agent|robot policy|user_agent", re.IGNORECASE)
_WEB_PAGE = re.compile(rb"\s*(<!--.*?-->\s*)?<(!doctype\s+html|html)[\s>]", re.IGNORECASE | re.DOTALL)


class FailureKind(StrEnum):
    """Why there is no file. Only a `TEMPORARY` one is worth asking for again, in a later run.

    MISSING: it is not there. UNSUPPORTED: the servers draw no picture of it, and it is none itself. REFUSED: for
    another reason that will not pass. TOO_LARGE: above the cap on bytes. UNUSABLE: `process` could make nothing of its
    bytes.
    """

    MISSING = "missing"
    UNSUPPORTED = "unsupported"
    REFUSED = "refused"
    TOO_LARGE = "too_large"
    UNUSABLE = "unusable"
    TEMPORARY = "temporary"


class UserAgentRefused(WitReleaseError):
    """The servers refuse this operator's requests; nothing else can be fetched, so the run stops."""

    def __init__(self, url: str, answer: str) -> None:
        super().__init__(
            f"{url} was refused with 403: {answer or 'no explanation'}. The servers do not accept the user agent, "
            "or have blocked this operator. Check operator_name, operator_url and operator_contact, read "
            "https://wikitech.wikimedia.org/wiki/Robot_policy and write to bot-traffic@wikimedia.org first"
        )
        self.url = url
        self.answer = answer

    def __reduce__(self) -> tuple[type["UserAgentRefused"], tuple[str, str]]:
        """Travel between processes with both arguments."""
        return UserAgentRefused, (self.url, self.answer)


class OriginUnavailable(WitReleaseError):
    """Nothing but failures for a long time; what is left stays pending, and the next run goes on from there."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failed request means.

    Args:
        kind: what it counts as if it stays so.
        detail: in words.
        again: whether asking again may help.
        pause: seconds for which every connection has to stay silent; 0: none.
        throttled: the server asked for less; it says nothing about the file.
        vague: the server did not say for how long, so it may have meant this file alone.

    """

    kind: FailureKind
    detail: str
    again: bool = False
    pause: float = 0.0
    throttled: bool = False
    vague: bool = False


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds that a Retry-After header asks for (a number or a date, RFC 9110); None: no such header."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return min(float(value), LONGEST_PAUSE)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return min(max((until - (now or datetime.now(UTC))).total_seconds(), 0.0), LONGEST_PAUSE)


def judge(url: str, status: int, headers: Mapping[str, str], body: bytes, strict_403: bool = True) -> Verdict | None:
    """Say what an answer means; None: it is the file.

    Args:
        url: what was asked for, for the error.
        status: of the answer.
        headers: case-insensitive.
        body: the first bytes of it.
        strict_403: whether any 403 is about the user agent; object stores also answer so where a key does not exist.

    Raises:
        UserAgentRefused: the servers want no more requests of this kind.

    """
    if status == 200:
        if _WEB_PAGE.match(body):
            return Verdict(FailureKind.TEMPORARY, "200, but the answer is a web page", again=True)
        return None
    wait = retry_after(headers)
    if status in (400, 429) and _UNKNOWN_WIDTH.search(body):
        return Verdict(FailureKind.REFUSED, f"{status}: this thumbnail width is not served")
    if status == 429:
        vague = wait is None
        pause = _PAUSE_WITHOUT_HEADER if wait is None else wait
        return Verdict(FailureKind.TEMPORARY, "429: throttled", True, pause, throttled=True, vague=vague)
    if status in (404, 410):
        return Verdict(FailureKind.MISSING, f"{status}: there is no such file")
    if status == 403 and (strict_403 or _AGENT.search(body)):
        raise UserAgentRefused(url, readable(body))
    if status >= 500 or status == 408:
        return Verdict(FailureKind.TEMPORARY, f"{status}: {readable(body) or 'server error'}", True, wait or 0.0)
    return Verdict(FailureKind.REFUSED, f"{status}: {readable(body) or 'refused'}")


def readable(body: bytes, limit: int = 200) -> str:
    """Return the beginning of an error page as one line of plain text, safe to log."""
    text = re.sub(
        r"<style.*?</style>|<script.*?</script>|<[^>]*>", " ", body.decode("utf-8", "replace"), flags=re.DOTALL
    )
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:limit]
