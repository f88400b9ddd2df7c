"""What a fetch yields: a file and what was made of it, or the reason why there is none."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Generic, TypeVar

from pipelines.commons.names import UPLOAD
from pipelines.commons.plan import Choice, MediaRequest
from pipelines.commons.verdict import FailureKind

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """A file's bytes as fetched, and what the server said of them; headers that were not sent are empty."""

    data: bytes
    url: str
    content_type: str
    etag: str
    last_modified: str


@dataclass(frozen=True, slots=True)
class MediaResponse:
    """What `process` is given.

    Args:
        request: what was asked for.
        data: the bytes as fetched.
        url: from which they came.
        canonical_url: the same on Wikimedia's own servers, whatever mirror they came from.
        content_type: as the server says; the bytes may say otherwise.
        etag: empty if the server gave none.
        last_modified: empty if the server gave none.
        sha256: of `data`, in hex.
        is_original: the original, not a thumbnail.

    """

    request: MediaRequest
    data: bytes
    url: str
    canonical_url: str
    content_type: str
    etag: str
    last_modified: str
    sha256: str
    is_original: bool


@dataclass(frozen=True, slots=True)
class Fetched(Generic[T]):
    """A file that was had, and what `process` made of it."""

    value: T
    response: MediaResponse


@dataclass(frozen=True, slots=True)
class MediaFailure:
    """A file that was not had.

    Args:
        kind: TEMPORARY ones stay pending for the next run; the others are final.
        detail: in words: what the servers answered, or what `process` found.
        url: of the last request.

    """

    kind: FailureKind
    detail: str
    url: str


class UnusableMedia(Exception):
    """Raised by `process` where the bytes are not a picture that can be used; its text says why.

    A server can send the wrong bytes once in a while, so the file is asked for again; bytes that stay the same are
    final: `FailureKind.UNUSABLE`, with this text as its detail.
    """


@dataclass(frozen=True, slots=True)
class Unusable:
    """The bytes with this sha256 were refused by `process`, for this reason."""

    sha256: str
    detail: str


def processed(
    request: MediaRequest, answer: Answer, choice: Choice, process: Callable[[MediaResponse], T]
) -> Fetched[T] | Unusable:
    """Hash an answer and let `process` work on it."""
    digest = sha256(answer.data).hexdigest()
    response = MediaResponse(
        request=request,
        data=answer.data,
        url=answer.url,
        canonical_url=UPLOAD + choice.path,
        content_type=answer.content_type,
        etag=answer.etag,
        last_modified=answer.last_modified,
        sha256=digest,
        is_original=choice.is_original,
    )
    try:
        return Fetched(process(response), response)
    except UnusableMedia as error:
        return Unusable(digest, str(error))
