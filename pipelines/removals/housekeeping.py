"""Housekeeping: removes what no release needs any more, and nothing else.

There is one set of tables between stages, and the next release is made from it, so all of it that this version of the
program would read is needed. What goes is

- of old releases, the bulky part of what was recorded about their making: measurements and the report that shows times;
- releases that were begun and never finished, when one that was begun after them is published;
- tables, partitions and files that no stage of this version writes or knows, and slices of killed runs when no run is
  left to go on with them;
- scratch files of killed writers, and their uploads to an object store that were never finished;
- pixels of dropped pictures, where a killed run left them.

Finished releases are never touched. A run that stopped and may go on keeps everything. Nothing is removed while a run
is at work: whoever tidies holds the store's lock.
"""

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

import pyarrow.parquet as pq

from pipelines.config import ReleaseConfig
from pipelines.engine.partition import written_files
from pipelines.engine.step import FILES_FOLDER, RELEASES, WORK, Context, FileStep, Step, shard_keys, table_path
from pipelines.errors import SettingError
from pipelines.pipeline import STAGES
from pipelines.releases.versions import context_of, given_up, is_published, published, read_begun, run_path, versions
from pipelines.releases.work import OWNER
from pipelines.removals.purge import dropped_pictures, purge_pictures
from pipelines.storage import lock
from pipelines.storage.store import Store
from pipelines.tables import PIXELS, PULLED

_QUARANTINE = "quarantine"
_RECORDS = ("begun.json", "verdict.json", "summary.json", "stages/")
"""What is kept about the making of every finished release: some 100 kilobytes, for status, pages, and comparisons."""

_DAY = 86400.0


class Kind(Enum):
    """How something is removed."""

    FILE = auto()
    FOLDER = auto()
    PIXELS = auto()
    SCRATCH = auto()


@dataclass(frozen=True, slots=True)
class Rubbish:
    """Something that no release needs: where in the store, how large, and why it may go."""

    path: str
    bytes: int
    why: str
    kind: Kind = Kind.FILE


def collect_garbage(store: Store, keep: int | None = None, *, dry_run: bool = False) -> list[Rubbish]:
    """Remove what no release needs any more; return what it was.

    Args:
        store: to tidy.
        keep: of how many finished releases all records stay, 1 or more; None: as the newest release has it.
        dry_run: remove nothing.

    Raises:
        StoreLocked: a run is at work; names it.
        SettingError: `keep` is too small, or this version of the program refuses the settings of a release, so that it
            cannot tell what that one needs.

    """
    if keep is not None and keep < 1:
        raise SettingError("keep: the records of the newest release are needed for the next one; keep 1 or more")
    if dry_run:
        lock.refuse_if_held(store)
        return [*rubbish(store, keep), *_dropped(store)]
    with lock.held(store, "gc", alone=True):
        return [*tidy(store, keep), *_purge(store)]


def tidy(store: Store, keep: int | None = None) -> list[Rubbish]:
    """Do the same within a run that holds the lock, but for the pixels of dropped pictures."""
    found = list(rubbish(store, keep))
    for one in found:
        lock.check()
        if one.kind is Kind.FILE:
            store.remove(one.path)
        elif one.kind is Kind.FOLDER:
            store.remove_folder(one.path)
    store.clear_scratch(_DAY)
    for path, upload in store.unfinished_uploads(_DAY):
        store.end_upload(path, upload)
    return found


def rubbish(store: Store, keep: int | None = None) -> Iterator[Rubbish]:
    """Yield what `tidy` would remove."""
    known = versions(store)
    if known:
        keep = keep or _setting(store, known[-1])
        abandoned = given_up(store)
        live = [version for version in known if not is_published(store, version) and version not in abandoned]
        for version in abandoned:
            for folder in (f"{RELEASES}/{version}", run_path(version, "").rstrip("/")):
                if sizes := store.sizes(folder):
                    why = f"release {version} was never finished, and a later one is published"
                    yield Rubbish(folder, sum(sizes.values()), why, Kind.FOLDER)
        yield from _records(store, keep, live)
        newest = [version for version in published(store)[-1:]]
        yield from _work(store, [context_of(store, version) for version in [*newest, *live]], unfinished=bool(live))
    for (place, _), size in store.unfinished_uploads(_DAY).items():
        yield Rubbish(place, size, "an upload was never finished", Kind.SCRATCH)
    for path in store.scratch(_DAY):
        size = sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())
        yield Rubbish(f".tmp/{path.name}", size, "a writer was killed", Kind.SCRATCH)


def _setting(store: Store, version: str) -> int:
    kept = read_begun(store, version).config.get("keep_records") or ReleaseConfig.model_fields["keep_records"].default
    return int(kept)


def _records(store: Store, keep: int, live: list[str]) -> Iterator[Rubbish]:
    bases = {read_begun(store, version).base for version in live}
    for version in published(store)[:-keep]:
        if version not in bases:  # the next release is compared with it
            prefix = run_path(version, "")
            for path, size in store.sizes(prefix.rstrip("/")).items():
                if not path.removeprefix(prefix).startswith(_RECORDS):
                    yield Rubbish(path, size, f"records of release {version}, older than the newest {keep}")


def steps() -> list[Step]:
    """Return every step of every stage of this version."""
    return [step for name in STAGES for step in importlib.import_module(f"pipelines.stages.{name}").STEPS]


def _work(store: Store, contexts: list[Context], *, unfinished: bool) -> Iterator[Rubbish]:
    keys = {step.name: {key for context in contexts for key in step.keys(context)} for step in steps()}
    keys[_QUARANTINE] = keys[PULLED.name]
    wanted = _wanted_files(store, keys)
    folders: dict[str, int] = {}
    for path, size in store.sizes(WORK).items():
        if path == OWNER:
            continue
        _, table, *rest = path.split("/")
        dealt_out = table == PULLED.name and rest and rest[0].endswith((".rows", ".facts"))
        if path.startswith(f"{FILES_FOLDER}/") or dealt_out:
            if path not in wanted:
                yield Rubbish(path, size, "no table knows this file")
        elif table not in keys:
            folders[f"{WORK}/{table}"] = folders.get(f"{WORK}/{table}", 0) + size
        elif not rest or not _is_needed(rest[0], keys[table], unfinished=unfinished):
            whole = f"{WORK}/{table}/{rest[0]}" if rest else path
            folders[whole] = folders.get(whole, 0) + size
    for folder, size in folders.items():
        is_file = store.exists(folder)
        yield Rubbish(folder, size, _why(folder, keys), Kind.FILE if is_file else Kind.FOLDER)


def _is_needed(name: str, keys: set[str], *, unfinished: bool) -> bool:
    key, _, ending = name.partition(".")
    return key in keys and (ending in ("parquet", "json") or (ending == "saved" and unfinished))


def _why(path: str, keys: Mapping[str, set[str]]) -> str:
    _, table, *rest = path.split("/")
    if table not in keys:
        return "no stage of this version writes it"
    return "slices of a run that was killed" if rest and rest[0].endswith(".saved") else "no release has this partition"


def _wanted_files(store: Store, keys: Mapping[str, set[str]]) -> set[str]:
    """Return the files that the tables say they wrote: the next release takes over those that it need not make."""
    wanted: set[str] = set()
    for step in steps():
        if isinstance(step, FileStep):
            for path in (table_path(step.name, key) for key in keys[step.name]):
                if store.exists(path):
                    wanted.update(f"{FILES_FOLDER}/{name}" for name, _ in written_files(store, path))
    for path in (table_path(PULLED.name, key) for key in keys[PULLED.name]):
        if store.exists(path):
            with store.open(path) as file:
                known = pq.read_table(file)
            for name in known.column_names:  # a version before may have written other columns
                if name in ("path", "facts_path"):
                    wanted.update(known.column(name).to_pylist())
    return wanted


def _settled(store: Store) -> Context | None:
    """Return the newest release if nobody may go on with an unfinished one: only then are decisions final."""
    known = versions(store)
    if not known or any(not is_published(store, version) for version in set(known) - set(given_up(store))):
        return None
    return context_of(store, published(store)[-1])


def _dropped(store: Store) -> Iterator[Rubbish]:
    context = _settled(store)
    for key in shard_keys(context) if context else ():
        count, size = dropped_pictures(store, key)
        if count:
            yield Rubbish(table_path(PIXELS.name, key), size, f"pixels of {count} dropped pictures", Kind.PIXELS)


def _purge(store: Store) -> Iterator[Rubbish]:
    context = _settled(store)
    for one in _dropped(store):
        if context is not None:
            purge_pictures(context, one.path.rsplit("/", 1)[-1].removesuffix(".parquet"))
            yield one
