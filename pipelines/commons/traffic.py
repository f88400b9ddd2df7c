"""What went over connections to Commons, in numbers: for those who watch a run, not for the release.

The count belongs to the leases, as nothing is asked for without one. It says nothing about single files.
"""

import threading
from collections import Counter

REQUESTS = "requests"
BYTES_RECEIVED = "bytes_received"
RETRIES = "retries"
THROTTLES = "throttles"
LEASE_WAIT = "lease_wait_seconds"

KINDS = (REQUESTS, BYTES_RECEIVED, RETRIES, THROTTLES, LEASE_WAIT)
"""What is counted: requests sent, bytes of their answers, requests that had to be sent again, answers that asked for
fewer of them, and the seconds that connections waited for a lease."""


class Traffic:
    """A count that any thread may add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, kind: str, amount: float = 1) -> None:
        """Count something, one of `KINDS`."""
        with self._lock:
            self._counts[kind] += amount  # type: ignore[assignment]  # seconds are no whole numbers

    def so_far(self) -> dict[str, float]:
        """Return what was counted, by kind."""
        with self._lock:
            return dict(self._counts)
