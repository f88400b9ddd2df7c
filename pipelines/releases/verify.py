"""Checks that a copy of a release is the one that was published: every file, byte for byte.

``sha256sum --check SHA256SUMS`` finds files that changed or are missing. This finds as well files that do not belong to
the release, where the store lists its files, and a list of checksums that was changed together with the files. What was
withdrawn is not missing: the notice on the release says so, and with which checksum it was published.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from pipelines.cores import cores
from pipelines.errors import ReleaseError
from pipelines.releases.notices import notice_beside
from pipelines.releases.versions import MANIFEST
from pipelines.reports.checksums import SUMS, parse_sums
from pipelines.storage.store import Store

_LISTS = {MANIFEST, SUMS}


def verify_release(url: str) -> Iterator[str]:
    """Read every file of a release; yield a sentence for each that is missing, changed, unknown or not withdrawn.

    Args:
        url: folder or URL of the release.

    Raises:
        ReleaseError: there is no release.
        StoreError: a file cannot be read.

    """
    release = Store(url)
    missing = [name for name in (MANIFEST, SUMS) if not release.exists(name)]
    if len(missing) == len(_LISTS):
        raise ReleaseError(f"{release.url} is no release: it has neither {MANIFEST} nor {SUMS}")
    yield from (f"{name}: missing" for name in missing)
    sums, problems = _read(release, SUMS, parse_sums) if SUMS not in missing else ({}, [])
    listed, more = _read(release, MANIFEST, _parse_manifest) if MANIFEST not in missing else ({}, [])
    yield from problems + more
    if sums and listed:
        yield from _disagreements(sums, listed)
    expected = listed | sums
    found = set(release.files("") if release.lists else filter(release.exists, expected))
    withdrawn = {one.path: one.sha256 for one in notice_beside(release).withdrawn}
    for path in sorted(withdrawn):
        if expected.get(path) != withdrawn[path]:
            yield f"{path}: withdrawn as a file of another checksum than was published"
        elif path in found:
            yield f"{path}: withdrawn, and still there; withdraw it again"
    yield from (f"{path}: missing" for path in sorted(expected.keys() - found - {MANIFEST} - withdrawn.keys()))
    yield from (f"{path}: unknown, not a file of this release" for path in sorted(found - expected.keys() - _LISTS))
    present = sorted(expected.keys() & found)
    with ThreadPoolExecutor(max_workers=cores()) as pool:
        for path, digest in zip(present, pool.map(release.sha256, present), strict=True):
            if digest != expected[path]:
                yield f"{path}: changed, its sha256 is {digest} instead of {expected[path]}"


def _read(release: Store, path: str, parse: Callable[[str], dict[str, str]]) -> tuple[dict[str, str], list[str]]:
    """Return what a list of files says, and what is wrong with the list."""
    try:
        with release.open(path) as file:
            return parse(file.read().decode()), []
    except (ReleaseError, UnicodeDecodeError) as error:
        return {}, [f"{path}: changed, it cannot be read any more ({error})"]


def _parse_manifest(text: str) -> dict[str, str]:
    try:
        return {path: entry["sha256"] for path, entry in json.loads(text)["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReleaseError(f"{type(error).__name__}: {error}") from None


def _disagreements(sums: Mapping[str, str], listed: Mapping[str, str]) -> Iterator[str]:
    """Compare the two lists of files, so that neither can be changed by itself."""
    for path in sorted((sums.keys() | listed.keys()) - {MANIFEST}):
        if sums.get(path) != listed.get(path):
            yield f"{SUMS} and {MANIFEST} disagree about {path}"
