"""Compresses at the speed of the disk, to the same bytes wherever the same rows are written.

ISA-L has code paths for several processors. At level 3 they give different bytes: AVX2 has an algorithm of its own. At
level 2 all x86-64 processors since SSE4.2 give the same ones (their paths differ in how they encode, not in what they
find), and NumPy runs on no older one. 64-bit Arm has another hash function: its files hold the same rows in other
bytes. `same_bytes_as_elsewhere` says which kind of machine this is.
"""

import base64
import hashlib
import logging
from functools import cache
from types import TracebackType
from typing import IO, Any, Self

from isal import isal_zlib

log = logging.getLogger(__name__)

_LEVEL = 2
_GZIP = 31  # zlib's number for a gzip header and the largest window; ISA-L leaves name and time out of the header
_PIECE = 1 << 18
_PROBE = "b7ca9c35b37bfc5381dcadc68941a992"


class Gzip:
    """A gzip stream for writing. What comes out depends on what is written, not on how it is cut into pieces.

    A context manager: the stream is complete when the ``with`` block has ended without an error.
    """

    def __init__(self, sink: IO[bytes]) -> None:
        self._sink = sink
        self._stream: Any = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)
        self._held = bytearray()

    def write(self, data: bytes | memoryview) -> int:
        """Compress bytes; ISA-L is handed pieces of one size, for where they end shows in its output."""
        left = memoryview(data)
        while len(self._held) + len(left) >= _PIECE:
            taken, left = left[: _PIECE - len(self._held)], left[_PIECE - len(self._held) :]
            self._held += taken
            self._sink.write(self._stream.compress(self._held))
            self._held = bytearray()
        self._held += left
        return len(data)

    def __enter__(self) -> Self:
        """Return itself."""
        same_bytes_as_elsewhere()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left."""
        if kind is None:
            self._sink.write(self._stream.compress(self._held))
            self._sink.write(self._stream.flush())


@cache
def same_bytes_as_elsewhere() -> bool:
    """Say whether ISA-L gives the bytes here that it gives on every x86-64 machine, by a sample; warn if not."""
    same = probe() == _PROBE
    if not same:
        log.warning(
            "ISA-L compresses to other bytes here than on x86-64: releases made on this machine hold the same rows, "
            "but their checksums differ from those of the same releases made elsewhere"
        )
    return same


def probe() -> str:
    """Return a digest of a compressed sample: base64 and numbers, as shards hold them."""
    block, text = b"", b""
    for number in range(1024):
        block = hashlib.sha256(block).digest()
        text += base64.b64encode(block * (1 + number % 3)) + b"\t%d.%d," % (number, number * number)
    stream: Any = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)
    return hashlib.sha256(stream.compress(text) + stream.flush()).hexdigest()[:32]
