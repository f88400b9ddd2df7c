"""What is said of a finished release afterwards: that it is superseded, since when and why, and what was withdrawn.

A finished release is never rewritten, so its notice is a small file beside its folder:
``releases/2026.11.23.notice.json``. Whoever has the folder's address finds it, with nothing but ``releases/``. A notice
only grows: what was lifted later says so. Whoever changes it replaces just what was read before.
"""

import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass

from pipelines.errors import StoreError
from pipelines.storage.store import Store

_RELEASES = "releases"
_ENDING = ".notice.json"


@dataclass(frozen=True, slots=True)
class Supersession:
    """A reason not to use a release any more: it holds a file that was taken down.

    Args:
        file: its name on Commons.
        images: under which URLs the release holds it.
        date: of the takedown.
        reason: in words.
        by: the first later release without it; empty: there is none yet.
        lifted: the date on which the takedown was lifted; empty: it stands.

    """

    file: str
    images: tuple[str, ...]
    date: str
    reason: str
    by: str = ""
    lifted: str = ""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A file of a release that was deleted: its path below the release, and what it was."""

    path: str
    bytes: int
    sha256: str
    date: str
    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """All that is said of a release; nothing, mostly.

    Args:
        version: name of the release.
        superseded: see `Supersession`.
        withdrawn: see `Withdrawal`.

    """

    version: str
    superseded: tuple[Supersession, ...] = ()
    withdrawn: tuple[Withdrawal, ...] = ()

    @property
    def standing(self) -> tuple[Supersession, ...]:
        """What was not lifted."""
        return tuple(one for one in self.superseded if not one.lifted)

    @property
    def is_superseded(self) -> bool:
        """Whether another release is to be used instead."""
        return bool(self.standing or self.withdrawn)

    @property
    def by(self) -> str:
        """The release to use instead; empty: there is none yet."""
        named = [one.by for one in self.standing or self.superseded]
        return max(named, key=order) if named and all(named) else ""

    def in_words(self) -> str:
        """Return it as one sentence for people; empty if there is nothing to say."""
        if not self.is_superseded:
            return ""
        said = f"release {self.version} is superseded"
        said += f" by release {self.by}" if self.by else "; no release without what was taken down is published yet"
        if self.standing:
            said += ": " + "; ".join(f"File:{one.file} taken down on {one.date}: {one.reason}" for one in self.standing)
        return said + (f". {len(self.withdrawn)} of its files were withdrawn" if self.withdrawn else "")


def order(version: str) -> tuple[int, ...]:
    """Return what releases are sorted by: their dates and numbers."""
    return tuple(int(part) for part in version.split("."))


class ReleaseSuperseded(UserWarning):
    """A release is opened that another one is to be used instead of."""


def notice_path(version: str) -> str:
    """Return where in the store the notice on a release is."""
    return f"{_RELEASES}/{version}{_ENDING}"


def read_notice(store: Store, version: str) -> Notice:
    """Return what is said of a release of a store.

    Raises:
        StoreError: the notice is damaged.

    """
    return _read(store, notice_path(version), version)[1]


def notice_beside(release: Store) -> Notice:
    """Return what is said of a release, given its folder or URL alone."""
    parent, _, name = release.url.rstrip("/").rpartition("/")
    if not parent or parent.endswith(":/"):  # a whole disk or bucket
        return Notice(name)
    return _read(Store(parent), f"{name}{_ENDING}", name)[1]


def warn_if_superseded(notice: Notice) -> None:
    """Tell a program's user, by Python's own warnings."""
    if notice.is_superseded:
        warnings.warn(notice.in_words(), ReleaseSuperseded, stacklevel=3)


def amend(store: Store, version: str, change: Callable[[Notice], Notice]) -> Notice:
    """Change what is said of a release; return what is said now.

    Args:
        store: of the release.
        version: its name.
        change: may be called several times, if others write at the same time.

    """
    path = notice_path(version)
    while True:
        text, before = _read(store, path, version)
        after = change(before)
        if after == before:
            return before
        if store.swap_text(path, text, json.dumps(asdict(after), indent=2, sort_keys=True, ensure_ascii=False) + "\n"):
            return after


def _read(store: Store, path: str, version: str) -> tuple[str | None, Notice]:
    text = store.read_text(path)
    if text is None:
        return None, Notice(version)
    try:
        held = json.loads(text)
        superseded = tuple(Supersession(**one | {"images": tuple(one["images"])}) for one in held["superseded"])
        return text, Notice(held["version"], superseded, tuple(Withdrawal(**one) for one in held["withdrawn"]))
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{store.locate(path)} is no notice on a release: {error}") from None
