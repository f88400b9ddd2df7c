"""The store: files on a local disk or an object store, written whole or not at all.

Every file is first written to a temporary file on a local disk and then moved (local store) or uploaded (object store)
under its name, so that no reader ever sees half of one, whatever is killed when. A full disk or a refused upload leaves
nothing behind but the error.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import fsspec

from pipelines.errors import NotThere, StoreError
from pipelines.storage import object_store
from pipelines.storage.refusals import explained

_GUARDS = ".locks"
_SCRATCH = ".tmp"
_CHUNK = 1 << 20


@dataclass(slots=True)
class Written:
    """What was written: complete once the ``with`` block that wrote it has ended."""

    path: str
    file: IO[bytes]
    rows: int = 0  # set by the writer, where rows mean something
    bytes: int = 0
    sha256: str = ""


class _HashingFile:
    """A file opened for writing that counts and hashes what goes through it; sequential writers only."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._bytes = 0
        self.closed = False

    def write(self, data: bytes | memoryview) -> int:
        self._hash.update(data)
        self._bytes += memoryview(data).nbytes
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def tell(self) -> int:
        return self._bytes

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """Leave the file to its owner: writers that wrap it close what they are given."""

    def digest(self) -> tuple[int, str]:
        return self._bytes, self._hash.hexdigest()


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of a file system; every path is relative to it and uses ``/``.

    Args:
        url: a local folder, or a URL that fsspec knows (``s3://bucket/prefix``; ``https://…``, for reading).

    """

    url: str
    _fs: Any = field(init=False, repr=False, compare=False)
    _root: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Resolve the URL."""
        url = self.url if "://" in self.url else str(Path(self.url).resolve())
        fs, root = fsspec.core.url_to_fs(url, use_listings_cache=False)  # other processes write to it as well
        object.__setattr__(self, "url", url)
        object.__setattr__(self, "_fs", fs)
        object.__setattr__(self, "_root", root.rstrip("/"))

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to workers as a URL: connections do not."""
        return Store, (self.url,)

    @property
    def local(self) -> Path | None:
        """The folder of a store on a local disk; None for an object store."""
        return Path(self._root) if "file" in _protocols(self._fs) else None

    @property
    def lists(self) -> bool:
        """Whether it says which files it has; a web server gives a file to whoever knows its name."""
        return "http" not in _protocols(self._fs)

    def locate(self, path: str) -> str:
        """Return the full name of a path, for people and for other programs."""
        return f"{self.url.rstrip('/')}/{path}" if path else self.url

    def _explained(self) -> contextlib.AbstractContextManager[None]:
        """Make a server's refusals say what to do."""
        if self.local is not None:
            return contextlib.nullcontext()
        ask = object_store.why(self._fs, self._root) if "s3" in _protocols(self._fs) else None
        return explained(self.url, ask)

    def _full(self, path: str) -> str:
        parts = path.split("/")
        if path.startswith("/") or ".." in parts or "" in parts:
            raise StoreError(f"{path!r} is not a path inside the store")
        return f"{self._root}/{path}"

    # Reading

    def exists(self, path: str) -> bool:
        """Say whether a file is there. An error says nothing of it, so it is raised."""
        full = self._full(path)
        try:
            with self._explained():
                return bool(self._fs.info(full)["type"] == "file")
        except (FileNotFoundError, NotADirectoryError):
            return False

    def identity(self, path: str) -> dict[str, Any]:
        """Return what tells this version of a file from another without reading it: size, and time or entity tag.

        Raises:
            NotThere: as it says.

        """
        try:
            with self._explained():
                return identity_of(self._fs.info(self._full(path)))
        except FileNotFoundError:
            raise NotThere(f"{self.locate(path)} is not there") from None

    def size(self, path: str) -> int:
        """Return a file's size in bytes."""
        with self._explained():
            return int(self._fs.size(self._full(path)))

    def open(self, path: str) -> IO[bytes]:
        """Open a file for reading.

        Raises:
            NotThere: as it says.

        """
        full = self._full(path)
        try:
            with self._explained():
                file = self._fs.open(full, "rb")
        except FileNotFoundError:
            raise NotThere(f"{self.locate(path)} is not there") from None
        return cast(IO[bytes], file if self.local else object_store.ExplainedFile(file, self._explained))

    def read_json(self, path: str) -> Any:
        """Return the content of a JSON file, or None where there is none."""
        if not self.exists(path):
            return None
        with self.open(path) as file:
            try:
                return json.load(file)
            except ValueError as error:
                raise StoreError(f"{self.locate(path)} is not valid JSON: {error}") from None

    def read_text(self, path: str) -> str | None:
        """Return the content of a UTF-8 text file as it is now, or None where there is none."""
        try:
            with self._explained():
                return str(self._fs.cat_file(self._full(path)).decode())
        except FileNotFoundError:
            return None

    def files(self, folder: str) -> list[str]:
        """Return the paths of all files below a folder, sorted; none where the folder is not there.

        Raises:
            StoreError: the store does not list its files.

        """
        if not self.lists:
            raise StoreError(f"{self.locate(folder)}: a web server does not say which files it has")
        base = self._full(folder) if folder else self._root
        try:
            with self._explained():
                found = self._fs.find(base)
        except FileNotFoundError:
            return []
        return sorted(path[len(self._root) + 1 :] for path in found)

    def sizes(self, folder: str) -> dict[str, int]:
        """Return path and size in bytes of all files below a folder, sorted; none where the folder is not there."""
        self._fs.invalidate_cache()
        try:
            with self._explained():
                found = self._fs.find(self._full(folder), detail=True)
        except FileNotFoundError:
            return {}
        return {path[len(self._root) + 1 :]: int(found[path]["size"]) for path in sorted(found)}

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders directly inside a folder, sorted."""
        try:
            with self._explained():
                entries = self._fs.ls(self._full(folder), detail=True)
        except FileNotFoundError:
            return []
        return sorted(entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in entries if entry["type"] == "directory")

    def sha256(self, path: str) -> str:
        """Read a file and return its sha256 in hex."""
        digest = hashlib.sha256()
        with self.open(path) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    # Writing

    @contextlib.contextmanager
    def write(self, path: str) -> Iterator[Written]:
        """Write a file: it appears under its name, whole, when the ``with`` block ends without an error.

        Raises:
            StoreError: the store refuses the write, or its disk is full.

        """
        full = self._full(path)
        try:
            temporary = self._temporary()
        except OSError as error:
            raise StoreError(f"cannot write to the store {self.url}: {error}") from error
        try:
            with temporary.open("wb") as raw:
                hashing = _HashingFile(raw)
                written = Written(path, cast(IO[bytes], hashing))
                yield written
                raw.flush()
                os.fsync(raw.fileno())
            written.bytes, written.sha256 = hashing.digest()
            self._commit(temporary, full)
        except OSError as error:
            raise StoreError(f"cannot write {self.locate(path)}: {error}") from error
        finally:
            temporary.unlink(missing_ok=True)

    def write_json(self, path: str, value: Any) -> Written:
        """Write a JSON file: sorted keys, readable, one trailing newline."""
        return self.write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")

    def write_text(self, path: str, text: str) -> Written:
        """Write a UTF-8 text file."""
        with self.write(path) as written:
            written.file.write(text.encode())
        return written

    def swap_text(self, path: str, before: str | None, after: str) -> bool:
        """Replace a small text file if it still is what it was; whoever else tries at the same time does not succeed.

        Args:
            path: of the file.
            before: what it holds; None: it is not there.
            after: what it is to hold.

        Returns:
            Whether it was replaced.

        """
        if self.local is not None:
            import filelock  # here, since few processes ever need it

            guard = self.local / _GUARDS / path
            guard.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(guard):
                if self.read_text(path) != before:
                    return False
                self.write_text(path, after)
                return True
        try:
            with self._explained():
                return object_store.swap(self._fs, self._full(path), before, after)
        except OSError as error:
            raise StoreError(f"cannot write {self.locate(path)}: {error}") from error

    def link(self, source: str, target: str) -> None:
        """Give a file a second name, without copying where the file system can: neither is ever written again."""
        full = self._full(target)
        try:
            if self.local is None:
                with self._explained():
                    self._fs.cp_file(self._full(source), full)
                return
            Path(full).parent.mkdir(parents=True, exist_ok=True)
            temporary = self._temporary()
            temporary.unlink()
            try:
                try:
                    os.link(self._full(source), temporary)
                except OSError:  # a file system without hard links, or a limit on their number
                    shutil.copyfile(self._full(source), temporary)
                temporary.replace(full)
            finally:
                temporary.unlink(missing_ok=True)
        except FileNotFoundError as error:
            raise NotThere(f"{self.locate(source)} is not there") from error
        except OSError as error:
            raise StoreError(f"cannot write {self.locate(target)}: {error}") from error

    def remove(self, path: str) -> None:
        """Remove a file; it is no error if it is not there."""
        with contextlib.suppress(FileNotFoundError), self._explained():
            self._fs.rm_file(self._full(path))

    def remove_folder(self, folder: str) -> None:
        """Remove a folder with all that is in it; it is no error if it is not there.

        On a local disk it disappears at once and whole. In an object store files go one by one, the last one first.
        """
        if self.local is not None:
            gone = self._temporary()
            gone.unlink()
            with contextlib.suppress(FileNotFoundError):
                Path(self._full(folder)).rename(gone)
                shutil.rmtree(gone)
            return
        for path in reversed(self.files(folder)):
            self.remove(path)

    def scratch(self, seconds: float) -> list[Path]:
        """Return what killed writers left behind on a local disk.

        Args:
            seconds: writers on other machines count as killed if their files are older than this.

        """
        if self.local is None:
            return []
        left = []
        for path in sorted((self.local / _SCRATCH).glob("*.*.*")):
            host, process, _ = path.name.split(".", 2)
            is_left = False
            if host == _here():
                is_left = process.isdigit() and not Path(f"/proc/{process}").exists()
            else:
                with contextlib.suppress(FileNotFoundError):  # it was alive, and is done
                    is_left = time.time() - path.stat().st_mtime > seconds
            left += [path] if is_left else []
        return left

    def clear_scratch(self, seconds: float = math.inf) -> None:
        """Remove what killed writers left behind, by default only those on this machine; files of living ones stay."""
        for path in self.scratch(seconds):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def unfinished_uploads(self, seconds: float) -> dict[tuple[str, str], int]:
        """Return what killed writers left half-way in an S3 bucket: nobody sees it, and it is kept, and paid, for ever.

        Args:
            seconds: since an upload was begun; younger ones may be alive.

        Returns:
            Path and id of each upload, to the bytes that arrived.

        """
        if "s3" not in _protocols(self._fs):
            return {}
        bucket, prefix, _ = self._fs.split_path(f"{self._root}/x")
        found = {}
        asked = {"Bucket": bucket, "Prefix": prefix.removesuffix("x")}
        while True:
            with self._explained():
                answer = self._fs.call_s3("list_multipart_uploads", **asked)
            for upload in answer.get("Uploads", ()):
                if time.time() - upload["Initiated"].timestamp() >= seconds:
                    which = {"Bucket": bucket, "Key": upload["Key"], "UploadId": upload["UploadId"]}
                    parts = self._fs.call_s3("list_parts", **which).get("Parts", ())
                    path = upload["Key"].removeprefix(asked["Prefix"])
                    found[path, upload["UploadId"]] = sum(part["Size"] for part in parts)
            if not answer.get("IsTruncated"):
                return found
            asked |= {"KeyMarker": answer["NextKeyMarker"], "UploadIdMarker": answer["NextUploadIdMarker"]}

    def end_upload(self, path: str, upload: str) -> None:
        """Give up an unfinished upload, with what arrived of it."""
        bucket, key, _ = self._fs.split_path(self._full(path))
        with self._explained():
            self._fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload)

    def _temporary(self) -> Path:
        """Create an empty temporary file, on the store's own disk where it has one, so that it can be moved."""
        folder = None
        if self.local is not None:
            folder = self.local / _SCRATCH
            folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f"{_here()}.{os.getpid()}.", dir=folder)
        os.close(handle)
        return Path(name)

    def _commit(self, temporary: Path, full: str) -> None:
        if self.local is None:
            with self._explained():
                object_store.upload(self._fs, temporary, full)
        else:
            temporary.chmod(0o644)
            Path(full).parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(full)


def _here() -> str:
    """Name this machine: process numbers mean something only there."""
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def identity_of(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells a version of a file from another out of what a file system says of it."""
    stamp = next((info[key] for key in ("ETag", "etag", "mtime", "LastModified", "updated") if info.get(key)), "")
    return {"bytes": info.get("size"), "stamp": str(stamp)}
