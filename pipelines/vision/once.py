"""A model is loaded once per process, however many threads of a worker ask for it at the same time."""

import functools
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def once(load: Callable[P, T]) -> Callable[P, T]:
    """Keep what a function returned, by its arguments; a second thread waits for the first to have loaded it."""
    kept = functools.cache(load)
    lock = threading.Lock()

    @functools.wraps(load)
    def get(*args: P.args, **kwargs: P.kwargs) -> T:
        with lock:
            return kept(*args, **kwargs)  # type: ignore[arg-type]

    return get
