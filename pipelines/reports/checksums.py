"""SHA256SUMS: the checksums of a release in the format of coreutils' ``sha256sum``, which every system has.

It lists every file but itself, the manifest included. The manifest is the last file of a release to be written, so its
bytes are made first and their checksum is taken from memory.
"""

import re
from collections.abc import Mapping

from pipelines.errors import ReleaseError

SUMS = "SHA256SUMS"

_LINE = re.compile(r"([0-9a-f]{64})  ([^\\\n]+)")


def format_sums(sums: Mapping[str, str]) -> str:
    """Return the text of SHA256SUMS.

    Args:
        sums: path below the release to sha256 in hex.

    """
    return "".join(f"{digest}  {path}\n" for path, digest in sorted(sums.items()))


def parse_sums(text: str) -> dict[str, str]:
    """Return path to sha256.

    Raises:
        ReleaseError: the text is not what `format_sums` gives.

    """
    sums = {}
    for number, line in enumerate(text.splitlines(), start=1):
        match = _LINE.fullmatch(line)
        if match is None or {"", ".", ".."} & set(match[2].split("/")):
            raise ReleaseError(f"{SUMS}, line {number}: {line[:80]!r} is no checksum and path of a file")
        sums[match[2]] = match[1]
    if format_sums(sums) != text:
        raise ReleaseError(f"{SUMS} is not sorted by path with one line for each file: it was changed")
    return sums
