"""Takes the checksum of a file while something else reads it, so that it is that of the bytes that were used."""

import hashlib
import io
from typing import IO, Any

_CHUNK = 1 << 20


class HashingReader(io.RawIOBase):
    """A file opened for reading that counts and hashes what goes through it; for readers that go straight on."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._bytes = 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer, as ``io`` asks for it."""
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._hash.update(data)
        self._bytes += len(data)
        return len(data)

    def drain(self) -> tuple[int, str]:
        """Read what is left; return the size in bytes and the sha256 of the whole."""
        while self.read(_CHUNK):
            pass
        return self._bytes, self._hash.hexdigest()
