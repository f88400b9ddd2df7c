"""What runs on one machine share: however many connections each of them may have, the whole is not exceeded."""

import random
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pytest

from pipelines.commons.machine import FOLDER, lock_share
from pipelines.errors import SettingError


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


@pytest.mark.parametrize(("mine", "yours"), [(1, 2), (2, 1), (2, 16)])
def test_who_knows_of_another_number_waits_until_none_is_used(
    held: ExitStack, name: str, mine: int, yours: int
) -> None:
    first = taken(held, name, mine)
    assert first is not None
    assert taken(held, name, yours) is None
    first.close()
    assert taken(held, name, yours) is not None
    assert taken(held, name, mine) is None


def test_two_numbers_are_never_used_at_the_same_time(name: str) -> None:
    """Each looks at the other's locks after taking its own, so however they meet, one gives way."""
    used: list[int] = []
    met: list[list[int]] = []

    def use(connections: int) -> None:
        for _ in range(100):
            while (lock := lock_share(name, connections)) is None:
                time.sleep(random.uniform(0, 0.002))
            with lock:
                used.append(connections)
                met.append(sorted(used))
                time.sleep(0.0005)
                used.remove(connections)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, (1, 1, 2, 2), timeout=60))
    assert [seen for seen in met if seen not in ([1], [2], [2, 2])] == []
    assert len(met) == 400


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


def test_a_folder_that_can_hold_no_locks_is_named_with_the_way_out(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv(FOLDER, str(file))
    with pytest.raises(SettingError, match=rf"{file}, and there can be none: .*File exists.*WIT_LOCKS name a folder"):
        lock_share(name, 1)


def test_what_another_user_locked_counts_where_both_know_the_folder(
    held: ExitStack, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    assert taken(held, name, 1) is not None
    (tmp_path / f"{name} 0 of 1").chmod(0o444)
    assert taken(held, name, 1) is None
