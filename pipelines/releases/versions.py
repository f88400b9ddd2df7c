"""Releases in a store: their names, their folders, what state they are in.

A release is begun, filled, validated and published. Its folder appears at once, but without ``manifest.json`` it is not
a release: the manifest is written after everything else has been checked, and ``latest.json`` moves last.
"""

import datetime
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.config import ReleaseConfig
from pipelines.engine.step import RELEASES, Context, release_path
from pipelines.errors import ReleaseError, StoreError
from pipelines.releases.notices import order
from pipelines.storage.store import Store

LATEST = f"{RELEASES}/latest.json"
MANIFEST = "manifest.json"
_RUNS = "runs"

MADE_FROM = ("wit_files", "max_rows", "partitions", "origin", "image_width", "jpeg_quality")
"""Settings on which every picture depends: with others, hardly anything that was fetched can be used."""


def run_path(version: str, path: str) -> str:
    """Return the path in the store of what is kept about the making of a release; it is not part of it."""
    return f"{_RUNS}/{version}/{path}"


@dataclass(frozen=True, slots=True)
class Begun:
    """A release that is being made: who began it, with which settings, and which release it follows."""

    version: str
    run: str
    config: dict[str, Any]
    started: str
    base: str = ""


def begin(config: ReleaseConfig, run: str, *, once: bool = False, anew: bool = True) -> Context:
    """Begin a release, or go on with the one that this run began, even if all that was missing is that it says so.

    Args:
        config: the settings; an empty version is filled in with today's date, numbered if that is taken.
        run: names who makes it (an Airflow run, a command line); the same name goes on where it stopped.
        once: the run is named as no other ever will be, as Airflow's are: a release that it finished is its own still.
        anew: a release may be begun. A stage that goes on where others ended finds one, unless it was given up.

    Returns:
        What the stages need.

    Raises:
        ReleaseError: another run has published a release of that name, or begun it from other inputs; there is no
            release of the base's name, or none to go on with; the store holds releases of another kind of origin.
        StoreError: the store cannot be written.

    """
    store = Store(config.store)
    store.clear_scratch()
    version = config.version or begun_by(store, run, finished=once) or _free_version(store)
    if is_published(store, version):
        begun = read_begun(store, version)
        if begun.run != run:
            raise published_already(version)
        if is_concluded(store, version):  # a task that was killed before it could say so is repeated
            return Context(config, version, store, observation=version, base=begun.base)
    known = store.read_json(run_path(version, "begun.json"))
    settings = config.model_copy(update={"version": version}).model_dump(mode="json")
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    if known is not None:
        started = known["started"]
        _refuse_other_inputs(store, version, known["config"], settings)
    elif not anew:
        raise ReleaseError(f"run {run} has no release any more: a later one was published. Make another by a new run")
    _refuse_other_kind(store, version, config)
    base = _base(store, config, version, known)
    begun = Begun(version, run, settings, started, base)
    store.write_json(run_path(version, "begun.json"), asdict(begun))
    return Context(config, version, store, observation=version, base=base)


def differing(begun: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """Return the settings in `MADE_FROM` that are not those with which a release was begun."""
    return [name for name in MADE_FROM if name in begun and begun[name] != settings[name]]


def is_under_way(store: Store, version: str) -> bool:
    """Say whether a stage of a release came to its end, so that there may be work of days to lose."""
    return bool(store.files(run_path(version, "stages")))


def _refuse_other_inputs(store: Store, version: str, begun: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    if is_under_way(store, version) and (fields := differing(begun, settings)):
        raise ReleaseError(
            f"release {version} was begun with other {', '.join(fields)}: leave version empty for another release, "
            f"or to publish that one as it is, say why in accept"
        )


def _refuse_other_kind(store: Store, version: str, config: ReleaseConfig) -> None:
    """Keep releases of the demo and real ones apart."""
    newest = newest_published(store)
    origin = config.origin if newest is None else read_begun(store, newest).config["origin"]
    if (origin == "demo") != (config.origin == "demo"):
        raise ReleaseError(
            f"release {version} has origin {config.origin}, and {store.url} holds release {newest} of origin {origin}: "
            f"a release of the demo does not belong beside real ones; give this one a store of its own"
        )


def _base(store: Store, config: ReleaseConfig, version: str, known: Mapping[str, Any] | None) -> str:
    """Return the release that this one follows; a run that goes on keeps the one that it began with."""
    if config.base:
        if config.base == version or not is_published(store, config.base):
            raise ReleaseError(f"base: {version} cannot follow {config.base}: {store.url} holds no such release")
        return config.base
    if known is not None:
        return str(known.get("base", ""))
    return newest_published(store) or ""


def published_already(version: str) -> ReleaseError:
    """Return the error that a release is out, and stays what it is."""
    return ReleaseError(f"release {version} is published and never rewritten; choose another version or leave it empty")


def read_begun(store: Store, version: str) -> Begun:
    """Return how a release was begun.

    Raises:
        ReleaseError: it was not.

    """
    known = store.read_json(run_path(version, "begun.json"))
    if known is None:
        raise ReleaseError(f"release {version} was never begun in {store.url}")
    return Begun(**known)


def context_of(store: Store, version: str) -> Context:
    """Return what the stages need to go on with a release that was begun.

    Raises:
        ReleaseError: it was not begun.
        SettingError: this version of the program refuses its settings.

    """
    begun = read_begun(store, version)
    config = ReleaseConfig.parse(begun.config | {"store": store.url})
    return Context(config, version, store, observation=version, base=begun.base)


def versions(store: Store) -> list[str]:
    """Return the names of all releases that were begun, oldest first."""
    return sorted(store.folders(_RUNS), key=order)


def published(store: Store) -> list[str]:
    """Return the names of the published releases, oldest first."""
    return [version for version in versions(store) if is_published(store, version)]


def newest_published(store: Store) -> str | None:
    """Return the name of the newest published release, whether ``latest.json`` names it yet or not."""
    return next((version for version in reversed(versions(store)) if is_published(store, version)), None)


def given_up(store: Store) -> list[str]:
    """Return the unfinished releases that were begun before one that is published."""
    begun = {version: (read_begun(store, version).started, order(version)) for version in versions(store)}
    out = {version for version in begun if is_published(store, version)}
    return [version for version in begun if version not in out and any(begun[version] < begun[one] for one in out)]


def newest_unpublished(store: Store) -> str:
    """Return the name of the newest release that was begun and not published.

    Raises:
        ReleaseError: there is none.

    """
    for version in reversed(versions(store)):
        if not is_published(store, version):
            return version
    raise ReleaseError(f"{store.url} holds no release that waits for its publication")


def is_published(store: Store, version: str) -> bool:
    """Say whether a release is finished."""
    return store.exists(release_path(version, MANIFEST))


def is_concluded(store: Store, version: str) -> bool:
    """Say whether everything that follows the publication of a release was done, too."""
    return store.exists(run_path(version, "stages/publish.json"))


def latest(store: Store) -> str | None:
    """Return the name of the newest published release; None: there is none."""
    pointer = store.read_json(LATEST)
    return None if pointer is None else str(pointer["version"])


def begun_by(store: Store, run: str, *, finished: bool) -> str | None:
    """Return the release that this run began, and did not finish unless `finished` ones count."""
    for version in reversed(versions(store)):
        if (finished or not is_concluded(store, version)) and read_begun(store, version).run == run:
            return version
    return None


def _free_version(store: Store) -> str:
    """Return today's date, numbered if it is taken; the newest one's, numbered, where that is a later day."""
    known = versions(store)
    day = datetime.datetime.now(datetime.UTC).strftime("%Y.%m.%d")
    if known and order(day) < order(known[-1])[:3]:
        day = ".".join(known[-1].split(".")[:3])
    number = 1
    while (version := day if number == 1 else f"{day}.{number}") in known:
        number += 1
    return version


def check_writable(store: Store) -> None:
    """Refuse a store that cannot be written before any work is done for it.

    Raises:
        StoreError: naming the store and the reason.

    """
    probe = f"{_RUNS}/.writable-{uuid.uuid4().hex}"  # tasks may look at the same time
    store.write_text(probe, "")
    if not store.exists(probe):
        raise StoreError(f"{store.url} accepts files but does not show them")
    store.remove(probe)
