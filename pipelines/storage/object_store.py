"""What a store does otherwise on S3 than on a disk: conditional writes, uploads in parts, and reads over the network.

An upload in parts is no object before its last request, so one that was killed shows nothing. Its parts are kept, and
paid for, until housekeeping aborts it, or a lifecycle rule of the bucket.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

from pipelines.storage.refusals import code_of

PART = 50 << 20
"""Bytes of one part of an upload; a file of less than twice as many is uploaded in one request."""

_CHANGED_MEANWHILE = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"})


def upload(fs: Any, source: Path, full: str) -> None:
    """Upload a file: it appears whole, once it is all there."""
    size = source.stat().st_size
    try:
        fs.put_file(str(source), full, chunksize=PART)
    except FileNotFoundError:  # NoSuchUpload: the upload was completed, and the answer lost, so it was asked for again
        if fs.info(full)["size"] != size:
            raise


def swap(fs: Any, full: str, before: str | None, after: str) -> bool:
    """Replace a small object if it still is what it was; see `Store.swap_text`."""
    condition = {"IfNoneMatch": "*"}
    if before is not None:
        tag = _tag(fs, full)
        if tag is None or fs.cat_file(full).decode() != before or _tag(fs, full) != tag:
            return False
        condition = {"IfMatch": tag}
    bucket, key, _ = fs.split_path(full)
    try:
        fs.call_s3("put_object", Bucket=bucket, Key=key, Body=after.encode(), **condition)
    except OSError as error:
        if code_of(error) in _CHANGED_MEANWHILE:
            return False
        raise
    return True


def _tag(fs: Any, full: str) -> str | None:
    """Return the entity tag of an object, None where it is not there."""
    try:
        return str(fs.info(full)["ETag"])
    except FileNotFoundError:
        return None


def why(fs: Any, root: str) -> Callable[[], object]:
    """Return a request whose answer says why this store refuses one: the cheapest that has a body."""
    bucket, prefix, _ = fs.split_path(root)
    return lambda: fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)


class ExplainedFile:
    """A file opened for reading whose errors say what to do. All else is the file's own.

    Args:
        file: of s3fs.
        explained: turns what goes wrong in a ``with`` block into such an error.

    """

    def __init__(self, file: IO[bytes], explained: Callable[[], AbstractContextManager[None]]) -> None:
        self._file = file
        self._explained = explained

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes, or all that are left."""
        with self._explained():
            return self._file.read(size)

    def readinto(self, buffer: bytearray) -> int:
        """Fill a buffer."""
        with self._explained():
            return int(self._file.readinto(buffer))  # type: ignore[attr-defined]

    def readline(self, size: int = -1) -> bytes:
        """Read a line."""
        with self._explained():
            return self._file.readline(size)

    def __iter__(self) -> "ExplainedFile":
        """Read line by line."""
        return self

    def __next__(self) -> bytes:
        """Return the next line."""
        if line := self.readline():
            return line
        raise StopIteration

    def __enter__(self) -> "ExplainedFile":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        """Return what belongs to the file: where it stands, whether it is closed."""
        return getattr(self._file, name)
