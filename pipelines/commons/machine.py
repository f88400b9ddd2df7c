"""What a machine may use of an origin: runs that know nothing of each other share its connections.

By default each run has a Dask cluster of its own, and the leases of one bind no other. So whoever gets a lease also
locks a file in a folder that all runs of a user on a machine know: one for each connection, named after their number.
Runs with another number wait until none of these is locked. Other users, containers and values of TMPDIR have other
folders; `WIT_LOCKS` names one for all of them. Of a process that was killed, the system takes the locks back.
"""

import fcntl
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from pipelines.errors import SettingError

FOLDER = "WIT_LOCKS"
"""Environment variable that names the folder; whoever may read what is in it can lock it."""


def lock_share(name: str, connections: int) -> IO[bytes] | None:
    """Lock one of so many connections to what a name stands for, until the file that is returned is closed.

    Args:
        name: of what is shared; a file can have it.
        connections: how many there are.

    Returns:
        None if all are locked, or one by somebody who knows of another number of them.

    Raises:
        SettingError: there can be no locks in the folder.

    """
    folder = Path(os.environ.get(FOLDER) or Path(tempfile.gettempdir(), f"wit-release-{os.getuid()}"))
    ours = [f"{name} {number} of {connections}" for number in range(connections)]
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with ExitStack() as held:
            locks = (_locked(folder / file, fcntl.LOCK_EX) for file in ours)
            if (lock := next(filter(None, locks), None)) is None:
                return None
            held.enter_context(lock)
            # Everyone looks at the others' files after locking an own one: of two at the same time, one gives way.
            for other in folder.iterdir():
                if other.name.startswith(f"{name} ") and other.name not in ours:
                    if (free := _locked(other, fcntl.LOCK_SH)) is None:
                        return None
                    free.close()
            held.pop_all()
            return lock
    except OSError as error:
        raise SettingError(
            f"the connections of this machine's runs are counted by locks in {folder}, and there can be none: {error}. "
            f"Let {FOLDER} name a folder for them, the same for all runs"
        ) from error


def _locked(path: Path, lock: int) -> IO[bytes] | None:
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_CREAT, 0o644), "rb")  # another user's file can only be read
    try:
        fcntl.flock(file, lock | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
