"""Loading a model: once per process and argument, whoever asks and however many at once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.vision.once import once


def test_threads_that_ask_at_the_same_time_share_one_model() -> None:
    loaded: list[str] = []
    together = threading.Barrier(8)

    @once
    def load(name: str) -> object:
        loaded.append(name)
        time.sleep(0.05)
        return object()

    def ask(number: int) -> object:
        together.wait(10)
        return load("abcd"[number % 2])

    with ThreadPoolExecutor(8) as threads:
        models = list(threads.map(ask, range(8)))
    assert sorted(loaded) == ["a", "b"]
    assert len(set(map(id, models))) == 2
    assert models[0] is models[2] is load("a")


def test_what_failed_to_load_is_tried_again() -> None:
    tries = iter([OSError("no weights yet"), None])

    @once
    def load() -> str:
        if error := next(tries):
            raise error
        return "model"

    with pytest.raises(OSError, match="no weights yet"):
        load()
    assert load() == "model"
