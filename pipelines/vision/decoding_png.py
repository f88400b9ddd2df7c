"""Whether a PNG is whole.

Pillow stops reading once it has its rows: it would let a file pass that ends within its last chunk, or whose pixels do
not match their checksum.
"""

import zlib
from struct import unpack_from

from pipelines.vision.decoding_kinds import Undecodable

_SIGNATURE = 8
_FRAME = 12  # bytes of length, type and CRC around a chunk's body


def check_whole(data: bytes) -> None:
    """Walk over a PNG's chunks up to IEND; what comes after it is of no concern.

    Raises:
        Undecodable: the file ends before IEND, or a critical chunk (W3C PNG, 5.4) does not match its CRC.
    """
    at = _SIGNATURE
    view = memoryview(data)
    while at + _FRAME <= len(data):
        length, kind = unpack_from(">I4s", data, at)
        end = at + _FRAME + length
        if end > len(data):
            break
        critical = not kind[0] & 0x20
        if critical and zlib.crc32(view[at + 4 : end - 4]) != unpack_from(">I", data, end - 4)[0]:
            raise Undecodable(f"the PNG is damaged: its {kind.decode('latin-1')!r} chunk does not match its checksum")
        if kind == b"IEND":
            return
        at = end
    raise Undecodable(f"the PNG is cut short: it ends after {len(data):,} bytes, in the middle of a chunk")
