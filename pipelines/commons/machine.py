"""What a machine may use of an origin: runs that know nothing of each other share its connections.

By default each run has a Dask cluster of its own, and the leases of one bind no other. So whoever gets a lease also
locks its share of a file that all runs of a user on a machine know. The file stands for all that the origin allows, and
one of N connections locks an N-th of it: runs with different numbers of connections do not go beyond the whole either.
Of a process that was killed, the system takes the locks back.
"""

import fcntl
import os
import struct
import tempfile
from pathlib import Path
from typing import IO

_WHOLE = 1 << 20  # bytes that can be locked; the file stays empty


def lock_share(name: str, connections: int) -> IO[bytes] | None:
    """Lock one of so many shares of what a name stands for, until the file that is returned is closed.

    Args:
        name: of what is shared; a file can have it.
        connections: how many shares there are.

    Returns:
        None if others have locked too much of it.

    """
    folder = Path(tempfile.gettempdir(), f"wit-release-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    file = (folder / name).open("wb")
    size = _WHOLE // connections
    for share in range(connections):
        wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, share * size, size, 0)  # Linux's struct flock
        try:
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, wanted)
        except BlockingIOError:
            continue
        return file
    file.close()
    return None
