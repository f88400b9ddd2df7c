"""Running the program as its user does: the command line in a process of its own, over the demo Commons."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "pipelines", *map(str, arguments)]


def options(settings: Mapping[str, object]) -> list[str]:
    """Turn settings into the options of ``run``."""
    given: list[str] = []
    for name, value in settings.items():
        option = "--" + name.replace("_", "-")
        if value is True:
            given.append(option)
        elif isinstance(value, list):
            given += [option, *map(str, value)]
        else:
            given += [option, str(value)]
    return given


def run(
    *arguments: object, env: Mapping[str, str] | None = None, timeout: float = 500
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def run_and_kill(
    when: Callable[[], bool], *arguments: object, env: Mapping[str, str] | None = None, timeout: float = 500
) -> bool:
    """Run a command and kill it and all its processes with SIGKILL as soon as `when` says so.

    Returns:
        Whether it was killed; False: it had ended before.
    """
    process = subprocess.Popen(
        command(*arguments),
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + timeout
    try:
        while process.poll() is None and time.monotonic() < deadline:
            if when():
                return True
            time.sleep(0.002)
        assert process.poll() is not None, f"{arguments[0]} ran for more than {timeout} s"
        return False
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def peak_memory() -> int:
    """Return the most memory that this program has held at once, in bytes.

    ``getrusage`` tells that of the process that started this one, where that was larger: Linux keeps its peak over
    ``fork`` and ``exec``. The high-water mark of the address space, which ``exec`` makes anew, is this program's own.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) << 10
