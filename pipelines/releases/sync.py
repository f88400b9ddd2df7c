"""Brings a copy of a release to another one: only files that differ are fetched, and what was removed is gone from it.

Shards in which nothing changed are the same from release to release, byte for byte, so a copy that is a month old is
brought up to date for the price of what changed. The copy's manifest is taken away first and written last: while it is
neither the one release nor the other, it is none, and its SHA256SUMS lists the files of both.

A release that holds what was taken down since is copied only for those who insist, where there is a later one without
it; one of which files were withdrawn cannot be copied any more.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipelines.engine.progress import progress_for
from pipelines.errors import ReleaseError
from pipelines.releases.notices import Notice, notice_beside
from pipelines.releases.versions import MANIFEST
from pipelines.reports.checksums import SUMS, format_sums, parse_sums
from pipelines.storage.store import Store

_AT_ONCE = 4
_CHUNK = 1 << 20
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Synced:
    """What was done to a copy: names of files, how many bytes were fetched, and what is said of the release."""

    version: str
    kept: tuple[str, ...]
    fetched: tuple[str, ...]
    removed: tuple[str, ...]
    bytes: int
    notice: Notice


def sync_release(url: str, folder: str, *, superseded: bool = False) -> Synced:
    """Make a folder a copy of a release. Killed at any moment, it goes on when it is called again.

    Args:
        url: folder or URL of the release.
        folder: an earlier copy of the same or of another release, or an empty folder.
        superseded: copy it even if a later release is to be used instead.

    Raises:
        ReleaseError: there is no release, it is superseded or withdrawn in part, the folder holds something else,
            or a file came otherwise than published.
        StoreError: a file cannot be read or written.

    """
    release, copy = Store(url), Store(folder)
    manifest = release.read_json(MANIFEST)
    if manifest is None:
        raise ReleaseError(f"{release.url} is no release: it has no {MANIFEST}")
    notice = notice_beside(release)
    _refuse_superseded(release, notice, insist=superseded)
    with release.open(SUMS) as file:
        wanted = parse_sums(file.read().decode())
    there = set(copy.files(""))
    before = _sums(copy)
    if there and MANIFEST not in there | before.keys():
        raise ReleaseError(f"{copy.url} holds files, but no copy of a release; name another folder or an empty one")
    copy.clear_scratch(_DAY)
    copy.remove(MANIFEST)
    copy.write_text(SUMS, format_sums(before | wanted))
    shards = sorted(wanted.keys() - {MANIFEST})
    with ThreadPoolExecutor(_AT_ONCE) as pool, progress_for("sync", len(shards)) as progress:
        sizes = []
        for size in pool.map(lambda path: _bring(release, copy, path, wanted[path]), shards):
            sizes.append(size)
            progress.partition()
    removed = sorted(path for path in before.keys() - wanted.keys() - {SUMS} if path in there)
    for path in removed:
        copy.remove(path)
    for path in (SUMS, MANIFEST):
        _copy(release, copy, path, wanted.get(path))
    fetched = tuple(path for path, size in zip(shards, sizes, strict=True) if size is not None)
    return Synced(
        version=str(manifest["version"]),
        kept=tuple(path for path in shards if path not in fetched),
        fetched=fetched,
        removed=tuple(removed),
        bytes=sum(size for size in sizes if size is not None),
        notice=notice,
    )


def _refuse_superseded(release: Store, notice: Notice, *, insist: bool) -> None:
    instead = f"{release.url.rsplit('/', 1)[0]}/{notice.by}"
    if notice.withdrawn:
        take = f"; take {instead}" if notice.by else ""
        raise ReleaseError(f"{notice.in_words()}: it cannot be copied whole any more{take}")
    if notice.is_superseded and notice.by and not insist:
        raise ReleaseError(f"{notice.in_words()}. Take {instead}, or say --superseded if you need just this one")


def _sums(copy: Store) -> dict[str, str]:
    if not copy.exists(SUMS):
        return {}
    with copy.open(SUMS) as file:
        return parse_sums(file.read().decode())


def _bring(release: Store, copy: Store, path: str, sha256: str) -> int | None:
    """Fetch a file unless it is there already; return its size, or None if it was."""
    if copy.exists(path) and copy.sha256(path) == sha256:
        return None
    return _copy(release, copy, path, sha256)


def _copy(release: Store, copy: Store, path: str, sha256: str | None) -> int:
    digest = hashlib.sha256()
    with release.open(path) as file, copy.write(path) as written:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            written.file.write(chunk)
        if sha256 not in (None, digest.hexdigest()):
            raise ReleaseError(f"{release.locate(path)} is not what was published: its checksum differs; try again")
    return written.bytes
