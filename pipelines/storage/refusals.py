"""What an object store refused, and why, in words that say what to do about it.

    StoreError
    ├── CredentialsExpired   they were valid once: renew them and give the same command again
    ├── StoreRefused         the credentials are none, are wrong, or are not allowed to do this
    ├── ClockIsWrong         a signature holds for minutes only, and this machine's clock is off by more
    └── StoreUnreachable     no answer, or nothing but errors, however often it was asked

s3fs turns the codes of S3 into OSErrors whose type tells a program little and whose text tells a person less. Passing
errors (500, 503, a connection that breaks off) are not seen here: botocore and s3fs repeat such requests many times.
A release on a web server is read by fsspec's HTTP, which says of whatever it cannot have that it is not there.
"""

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pipelines.errors import StoreError

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
_REFUSED = frozenset(
    {
        *(
            "AccessDenied",
            "AllAccessDisabled",
            "AccountProblem",
            "InvalidAccessKeyId",
            "InvalidToken",
            "InvalidSecurity",
        ),
        *("SignatureDoesNotMatch", "NotSignedUp", "403"),
    }
)
_SKEWED = frozenset({"RequestTimeTooSkewed"})
_NOWHERE = frozenset({404, 410})
_TROUBLED = frozenset({"InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "500", "502", "503", "504"})

SILENT = frozenset({"400", "403"})
"""Codes of answers without a body, which is what a HEAD request gets: why it was refused is not said."""


class CredentialsExpired(StoreError):
    """The store took the credentials for a while, and does so no more."""


class StoreRefused(StoreError):
    """The store does not know the credentials, or does not allow them this."""


class ClockIsWrong(StoreError):
    """The store's clock and that of this machine differ by more than a signature allows."""


class StoreUnreachable(StoreError):
    """The store does not answer, or answers with nothing but errors of its own."""


@contextlib.contextmanager
def explained(url: str, ask: Callable[[], object] | None = None) -> Iterator[None]:
    """Raise what an object store refuses as an error that says what to do; what is merely not there stays as it is.

    Args:
        url: of the store, for people.
        ask: a request whose answer has a body. It is sent to hear why a request was refused that had none.

    Raises:
        StoreError: one of this module.

    """
    try:
        yield
    except StoreError:
        raise
    except Exception as raised:
        error = _behind(raised)
        if isinstance(error, FileNotFoundError):
            raise
        answer = _answer(error)
        if ask is not None and answer is not None and _code(answer) in SILENT:
            try:
                ask()
            except Exception as said:
                error, answer = said, _answer(said) or answer
        known = _in_words(url, error, answer)
        if known is None:
            raise
        raise known from error


def code_of(error: BaseException) -> str:
    """Return S3's code for what went wrong; empty where S3 said none."""
    answer = _answer(error)
    return "" if answer is None else _code(answer)


def _behind(error: Exception) -> Exception:
    """Return what went wrong, where fsspec says of a URL that it is not there."""
    from aiohttp import ClientError, ClientResponseError  # what fsspec reads URLs with

    cause = error.__cause__
    if not isinstance(error, FileNotFoundError) or not isinstance(cause, (ClientError, TimeoutError)):
        return error
    return error if isinstance(cause, ClientResponseError) and cause.status in _NOWHERE else cause


def _answer(error: BaseException | None) -> dict[str, Any] | None:
    """Return what the store answered, from the exception of botocore that an OSError of s3fs comes from."""
    while error is not None:
        if isinstance(response := getattr(error, "response", None), dict):
            return response
        error = error.__cause__ or error.__context__
    return None


def _code(answer: dict[str, Any]) -> str:
    return str(answer.get("Error", {}).get("Code", ""))


def _in_words(url: str, error: BaseException, answer: dict[str, Any] | None) -> StoreError | None:
    if answer is None:
        return _unanswered(url, error)
    code = _code(answer)
    said = f"{code}: {answer['Error'].get('Message', '')}".rstrip(": ")
    if code in _EXPIRED:
        return CredentialsExpired(
            f"{url}: the credentials have expired ({said}). Renew them, for the workers too (the AWS_… variables, or "
            f"the profile that they come from), and give the same command again: it goes on where it stopped"
        )
    if code in _SKEWED:
        return ClockIsWrong(
            f"{url}: the clock of this machine is {_skew(answer)} off the store's ({said}). Set it by NTP, and give "
            f"the same command again: it goes on where it stopped"
        )
    if code in _REFUSED:
        return StoreRefused(
            f"{url}: the store refuses these credentials ({said}). See that AWS_ACCESS_KEY_ID and the others are the "
            f"right ones and may do all that docker/s3-policy.json allows"
        )
    if code in _TROUBLED:
        return StoreUnreachable(
            f"{url}: the store answers with errors, however often it is asked ({said}). What is finished is kept; give "
            f"the same command again when it has recovered"
        )
    return None


def _unanswered(url: str, error: BaseException) -> StoreError | None:
    """Tell failures of the network from those of this program."""
    from aiohttp import ClientError, ClientResponseError

    if isinstance(error, ClientResponseError) and error.status < 500:
        return StoreRefused(f"{error.request_info.real_url}: the server says {error.status} {error.message}")
    try:
        from botocore import exceptions
        from botocore.parsers import ResponseParserError
    except ModuleNotFoundError:  # pragma: no cover  # a store on another kind of server
        return None
    if isinstance(error, (exceptions.NoCredentialsError, exceptions.PartialCredentialsError)):
        return StoreRefused(f"{url}: {error}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile")
    lost = (exceptions.HTTPClientError, exceptions.ConnectionError, ResponseParserError, ClientError)
    if isinstance(error, (*lost, ConnectionError, TimeoutError)):
        return StoreUnreachable(
            f"{url}: the store cannot be reached ({error}). What is finished is kept; give the same command again when "
            f"it answers"
        )
    return None


def _skew(answer: dict[str, Any]) -> str:
    """Return by how much the clocks differ, if the answer says what time it is."""
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        seconds = abs((datetime.now(UTC) - parsedate_to_datetime(str(date))).total_seconds())
    except ValueError:
        return "too far"
    return f"{seconds / 60:.0f} minutes"
