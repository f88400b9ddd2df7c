"""Where the settings of a release come from, when it follows another one, or goes on with one that was begun."""

from collections.abc import Mapping
from typing import Any

from pipelines.config import ReleaseConfig
from pipelines.errors import ReleaseError
from pipelines.releases.versions import (
    begun_by,
    differing,
    given_up,
    is_published,
    is_under_way,
    newest_published,
    read_begun,
    versions,
)
from pipelines.storage import lock
from pipelines.storage.store import Store


def settings_of_next(store: Store, run: str, given: Mapping[str, Any], *, once: bool = False) -> dict[str, Any]:
    """Return the settings of a release that follows another: that one's, but for what is given.

    Args:
        store: of the releases.
        run: names who makes it; while its release is unfinished, it goes on with the settings that it began with.
        given: settings that are to differ; ``base`` names the release to follow, else it is the newest published one.
        once: as `begin` has it; then the settings of a release that the run finished are its own still.

    Returns:
        Fields of ReleaseConfig. Without any release before, those that were given.

    Raises:
        ReleaseError: there is no release of the base's name; or no base was named, and what was fetched for an
            unfinished release would be lost.
        StoreLocked: the same, and the run that began that release is expected to go on.

    """
    begun = begun_by(store, run, finished=once)
    if begun is not None:
        return read_begun(store, begun).config | {"accept": given.get("accept", "")}
    base = given.get("base") or newest_published(store)
    settings = dict(given)
    if base is not None:
        if not is_published(store, base):
            raise ReleaseError(f"base: {store.url} holds no published release {base}")
        # A reason to overlook warnings is about one release, and is not handed down.
        own = {"version": "", "accept": "", "store": store.url}
        settings = {**read_begun(store, base).config, **own, **given, "base": base}
    if not given.get("base"):
        _refuse_to_drop_others(store, settings)
    return settings


def settings_to_accept(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a form. Where it names a release and accepts its warnings, they are that release's own.

    Raises:
        ReleaseError: the store knows no release of that name, so nobody has seen its warnings.

    """
    version, accept = given.get("version"), given.get("accept")
    if not (version and accept):
        return dict(given)
    return read_begun(Store(given["store"]), version).config | {"store": given["store"], "accept": accept}


def _refuse_to_drop_others(store: Store, settings: Mapping[str, Any]) -> None:
    """Leave alone what was fetched, maybe for days, for a release of other inputs that somebody may go on with."""
    gone = given_up(store)
    for begun in (read_begun(store, version) for version in versions(store) if version not in gone):
        if is_published(store, begun.version) or not is_under_way(store, begun.version):
            continue
        wanted = ReleaseConfig.parse(settings).model_dump(mode="json")
        if fields := differing(begun.config, wanted):
            lock.refuse_if_expected(store, begun.run)
            raise ReleaseError(
                f"release {begun.version}, which run {begun.run} began with other {', '.join(fields)}, is unfinished, "
                f"and what was fetched for it would be lost. Let that run go on: clear its failed tasks, or repeat its "
                f"command. Or give it up: name the published release to follow (base, in the forms and on the command "
                f"line); where there is none, make one with the DAG Make a release, or python -m pipelines run"
            )
