"""What runs on one machine share: however many connections each of them may have, the whole is not exceeded."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO

import pytest

from pipelines.commons.machine import lock_share


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as files:
        yield files


@pytest.fixture
def name() -> str:
    return f"tests {uuid.uuid4().hex}"


def taken(held: ExitStack, name: str, connections: int) -> IO[bytes] | None:
    file = lock_share(name, connections)
    return held.enter_context(file) if file is not None else None


def test_there_are_as_many_shares_as_connections_and_they_come_back(held: ExitStack, name: str) -> None:
    first = taken(held, name, 2)
    assert first is not None
    assert taken(held, name, 2) is not None
    assert taken(held, name, 2) is None
    first.close()
    assert taken(held, name, 2) is not None


@pytest.mark.parametrize(("mine", "yours", "left"), [(1, 2, 0), (2, 1, 0), (2, 3, 1), (3, 2, 1), (2, 16, 8)])
def test_a_share_is_as_large_as_its_run_has_few_connections(
    held: ExitStack, name: str, mine: int, yours: int, left: int
) -> None:
    assert taken(held, name, mine) is not None
    assert sum(taken(held, name, yours) is not None for _ in range(yours)) == left


def test_one_server_does_not_wait_for_another(held: ExitStack, name: str) -> None:
    assert taken(held, f"{name} a", 1) is not None
    assert taken(held, f"{name} b", 1) is not None


def test_a_killed_process_holds_nothing(held: ExitStack, name: str) -> None:
    lines = (
        "from pipelines.commons.machine import lock_share",
        f"held = lock_share({name!r}, 1)",
        "print('held', flush=True)",
    )
    program = "\n".join([*lines, "input()"])
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert taken(held, name, 1) is None
        holder.kill()
    assert taken(held, name, 1) is not None
