"""A takedown, as a steward asks for it: listed and marked, then a release without it, then withdrawn from the others.

The three parts are apart, because they take seconds, hours and seconds, and because each may be wanted without the
others. A steward for whom a picture must be gone at once withdraws it first, from the newest release as well, and has
the next release made after that. Every part can be repeated, and does what is left.
"""

from collections.abc import Collection, Iterable

from pipelines.commons.names import MalformedUrl, file_name
from pipelines.config import REQUESTERS, ReleaseConfig
from pipelines.engine.step import Context
from pipelines.errors import ReleaseError, SettingError
from pipelines.releases.settings import settings_of_next
from pipelines.releases.versions import is_concluded, newest_published
from pipelines.removals.holders import Holders, find
from pipelines.removals.superseding import mark_holders, unmark
from pipelines.removals.takedowns import add_takedown, lift_takedown, read_takedowns
from pipelines.storage.store import Store


def names_of(titles: Iterable[str]) -> list[str]:
    """Return the file names of page titles, as Commons files them, each once.

    Raises:
        SettingError: there are none, or a title can be none on Commons.

    """
    try:
        names = list(dict.fromkeys(file_name(title) for title in titles))
    except MalformedUrl as error:
        raise SettingError(f"file: {error}") from None
    if not names:
        raise SettingError("file: name at least one, such as File:Example.jpg")
    return names


def take_down(store: Store, names: Collection[str], reason: str, requester: str) -> Holders:
    """Put files on the list of takedowns, and mark the releases that hold them.

    Args:
        store: of the releases.
        names: from `names_of`. Files that no release knows are put on the list, too: WIT may have them later.
        reason: in words; it becomes public.
        requester: one of `config.REQUESTERS`.

    Returns:
        Where the files are.

    Raises:
        SettingError: reason or requester cannot be used.

    """
    if not reason.strip() or "\n" in reason.strip():
        raise SettingError("reason: say in one line why; it becomes public with the ledger")
    if requester not in REQUESTERS:
        raise SettingError(f"requester: say what kind of person asked: {', '.join(REQUESTERS)}")
    for name in names:
        add_takedown(store, name, reason.strip(), requester)
    return mark_holders(store, names)


def lift(store: Store, names: Collection[str], reason: str) -> None:
    """Undo a takedown that was a mistake: the next release may hold the files again. The list keeps what happened.

    Raises:
        SettingError: there is no reason.
        ReleaseError: a file is not on the list.

    """
    if not reason.strip() or "\n" in reason.strip():
        raise SettingError("reason: say in one line why the takedown is lifted")
    for name in names:
        lift_takedown(store, name, reason.strip())
    unmark(store, names)


def release_without(store: Store, names: Collection[str], accept: str = "", base: str = "") -> Context | None:
    """Make the next release now, with the settings of the newest one.

    Args:
        store: of the releases.
        names: of files on the list of takedowns.
        accept: a reason to overlook warnings of the validation.
        base: the release to follow; if it is named, unfinished ones of other inputs are given up.

    Returns:
        The new release; None: the newest one is without these files already. If the run that made it was killed before
        it had told of it and cleared away, that is done first.

    Raises:
        StoreLocked: another run is at work.
        ReleaseError: no release was published yet, or the new one may not be published.
        WitReleaseError: whatever else can stop a release; the same call goes on where it stopped.

    """
    from pipelines.pipeline import publish_release, run_release

    newest = newest_published(store)
    if newest is None:
        raise ReleaseError(f"{store.url} holds no published release, so there is none to make the next one from")
    if not is_concluded(store, newest):
        publish_release(store, newest)
    entries = read_takedowns(store)
    if not find(store, [newest], {name: entries[name] for name in names if name in entries}).held:
        return None
    run = f"takedown-after-{newest}"  # a run that was killed goes on, unless there is a newer release to follow
    return run_release(ReleaseConfig.parse(settings_of_next(store, run, {"accept": accept, "base": base})), run)
