"""Fetching media: files in, pictures (or whatever `process` makes of them) out, as they are done.

The connections live on an event loop in a thread of their own, and the work (decoding, resizing) is the caller's; so a
leased connection goes on to its next file while the last one is decoded.
What fails for a passing reason is asked for again, later and after the others; what fails for good is not.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from typing import TypeVar

from pipelines.commons.fetching import Fetching
from pipelines.commons.origin import Origin
from pipelines.commons.plan import MediaRequest
from pipelines.commons.politeness import Leases
from pipelines.commons.results import Fetched, MediaFailure, MediaResponse, UnusableMedia
from pipelines.commons.verdict import FailureKind, OriginUnavailable, UserAgentRefused

__all__ = [
    "FailureKind",
    "Fetched",
    "MediaFailure",
    "MediaRequest",
    "MediaResponse",
    "OriginUnavailable",
    "UnusableMedia",
    "UserAgentRefused",
    "fetch_all",
]

T = TypeVar("T")


def fetch_all(
    requests: Iterable[MediaRequest],
    origin: Origin,
    leases: Leases,
    process: Callable[[MediaResponse], T],
) -> Iterator[tuple[MediaRequest, Fetched[T] | MediaFailure]]:
    """Fetch files; yields each of them once, in the order in which they are done.

    Args:
        requests: the files; an iterator is drawn from as they are fetched, in the thread of the connections.
        origin: the servers.
        leases: the connections that may be used; they are given back when nothing is left to fetch.
        process: called with each file that arrives, while the caller takes results; may raise `UnusableMedia`.

    Raises:
        UserAgentRefused: the servers refuse this operator.
        OriginUnavailable: nothing but failures for `origin.give_up_after` seconds.
        Exception: what `process` raises, other than `UnusableMedia`; the run ends there.

    """
    run = Fetching(requests, origin, leases, process)
    thread = threading.Thread(target=copy_context().run, args=(run.live,), name="fetch", daemon=True)
    thread.start()
    try:
        yield from run.results()
    finally:
        run.stop()
        thread.join()
