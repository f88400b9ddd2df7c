"""Reads a file of the release as a consumer would, and says how that went: damage is a measurement, not a crash.

The checksum is taken of the bytes as they are read, so that it is that of what was measured. Errors of the store itself
(no permission, no connection) are no damage and are raised.
"""

from collections.abc import Callable, Mapping
from typing import IO, Any, cast

from pipelines.engine.step import Context, release_path
from pipelines.quality.measured import File
from pipelines.releases.shards import DAMAGE
from pipelines.storage.hashing import HashingReader


def read_release_file(
    context: Context, path: str, receipt: Mapping[str, Any] | None, measure: Callable[[IO[bytes], File], None]
) -> File:
    """Read and measure a file of the release.

    Args:
        context: of the run.
        path: below the release.
        receipt: what the stage noted of the file when it wrote it; None: no stage did.
        measure: reads the file and counts its ``rows``; what it raises for damage becomes the file's ``error``.

    Returns:
        What was found.

    """
    noted = receipt or {}
    where = release_path(context.version, path)
    file = File(
        path,
        path.split("/")[0],
        present=context.store.exists(where),
        expected=receipt is not None,
        receipt_rows=noted.get("rows"),
        receipt_bytes=noted.get("bytes"),
        receipt_sha256=noted.get("sha256"),
    )
    if not file.present:
        return file
    with context.store.open(where) as opened:
        hashing = HashingReader(opened)
        try:
            measure(cast(IO[bytes], hashing), file)
        except DAMAGE as error:
            file.error = f"{type(error).__name__}: {error}"
            file.rows = None
        file.bytes, file.sha256 = hashing.drain()
    return file
