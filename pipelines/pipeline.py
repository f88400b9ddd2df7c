"""The pipeline: the stages in their order, and how one of them is run. Airflow's tasks and the CLI both call this."""

import functools
import importlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from distributed import Client

from pipelines import logs
from pipelines.config import ReleaseConfig
from pipelines.engine.cluster import open_client
from pipelines.engine.meter import SILENT, Meter, Under
from pipelines.engine.partition import is_done
from pipelines.engine.run import Summary, chunk_size, run_step
from pipelines.engine.step import Context, Step, shard_keys, shard_name
from pipelines.engine.travelling import travelling
from pipelines.releases import work
from pipelines.releases.versions import (
    begin,
    check_writable,
    context_of,
    is_concluded,
    is_published,
    newest_unpublished,
    published_already,
    read_begun,
    run_path,
)
from pipelines.storage.lock import held
from pipelines.storage.store import Store

log = logging.getLogger(__name__)

STAGES = (
    "pull_rows",
    "describe_files",
    "fetch_images",
    "detect_faces",
    "find_deletion_candidates",
    "decide",
    "write_shards",
    "embed_images",
    "validate",
    "publish",
)
"""Names of the stages, in their order: the files in ``stages/`` and the tasks of the DAG."""

Conclude = Callable[["Run"], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Run:
    """What the part of a stage that is not a step is handed: the run, and the means to run steps."""

    context: Context
    client: Client
    stage_name: str = ""
    meter: Meter = SILENT

    def step(self, step: Step, context: Context | None = None) -> Summary:
        """Run a step over all its partitions."""
        return run_step(self.client, context or self.context, step, Under(self.meter, self.stage_name))

    def stage(self, name: str, context: Context | None = None, *, conclude: bool = True) -> dict[str, int]:
        """Run another stage, with its conclusion or without: what of it is done already is skipped."""
        return run_stage(name, context or self.context, self.client, self.meter, conclude=conclude)

    def is_done(self, names: Sequence[str]) -> bool:
        """Say whether the last run of each of these stages came to its end, and would find nothing to do now."""
        records = [run_path(self.context.version, f"stages/{name}.json") for name in names]
        if not all(self.context.store.exists(record) for record in records):
            return False
        return not self.each_shard(functools.partial(_unfinished, tuple(names)))

    def each_shard(self, function: Callable[[Context, str], int]) -> int:
        """Call a function for every partition, on the workers, and add up what it returns."""
        keys = shard_keys(self.context)
        size = chunk_size(self.client, len(keys))
        chunks = [keys[start : start + size] for start in range(0, len(keys), size)]
        calls = self.client.map(functools.partial(_add_up, function, self.context), chunks, pure=False)
        return sum(self.client.gather(calls))


def _add_up(function: Callable[[Context, str], int], context: Context, keys: Sequence[str]) -> int:
    with travelling():
        return sum(function(context, key) for key in keys)


def _unfinished(names: tuple[str, ...], context: Context, key: str) -> int:
    steps = [step for name in names for step in importlib.import_module(f"pipelines.stages.{name}").STEPS]
    by_shard = [step for step in steps if key in step.keys(context)]
    whole = [step for step in steps if key not in step.keys(context)] if key == shard_name(0) else []
    undone = sum(not is_done(context, step, key) for step in by_shard)
    return undone + sum(not is_done(context, step, other) for step in whole for other in step.keys(context))


def run_stage(
    name: str, context: Context, client: Client, meter: Meter = SILENT, *, conclude: bool = True
) -> dict[str, int]:
    """Run one stage: its steps in their order, then its conclusion.

    Args:
        name: of the stage.
        context: of the release.
        client: of the Dask cluster.
        meter: is told how it goes.
        conclude: without, the steps are all.

    Returns:
        Counts for people and for XCom; the details are kept with the run.

    Raises:
        WitReleaseError: what went wrong, and what to do.
        ValueError: there is no such stage.

    """
    if name not in STAGES:
        raise ValueError(f"no stage is called {name!r}; the stages are {', '.join(STAGES)}")
    with logs.about(release=context.version, stage=name):
        return _run_stage(name, context, client, meter, conclude)


def _run_stage(name: str, context: Context, client: Client, meter: Meter, concluded: bool) -> dict[str, int]:
    started = time.monotonic()
    if name != "publish" and is_published(context.store, context.version):
        log.info("%s: release %s is published, so nothing of it is made again", name, context.version)
        recorded = context.store.read_json(run_path(context.version, f"stages/{name}.json")) or {"counts": {}}
        return dict(recorded["counts"])
    check_writable(context.store)
    if name == STAGES[0]:
        work.make_own(context)
    elif not is_published(context.store, context.version):
        work.refuse_others(context)
    record = run_path(context.version, f"stages/{name}.json")
    context.store.remove(record)  # it says that the last run of the stage came to its end
    module = importlib.import_module(f"pipelines.stages.{name}")
    steps: tuple[Step, ...] = module.STEPS
    conclude: Conclude | None = getattr(module, "conclude", None) if concluded else None
    run = Run(context, client, name, meter)
    summaries = [run.step(step) for step in steps]
    counts = _counts(summaries)
    if conclude is not None:
        counts |= conclude(run)
    context.store.write_json(
        record,
        {"stage": name, "counts": counts, "steps": [asdict(summary) for summary in summaries]},
    )
    meter.duration(f"{name}.duration", time.monotonic() - started)
    return counts


def run_one(name: str, settings: Mapping[str, Any], run: str, meter: Meter = SILENT) -> dict[str, Any]:
    """Run one stage of a release by itself, which is what a task of the DAG does. Safe to repeat.

    Args:
        name: of the stage.
        settings: fields of ReleaseConfig.
        run: names who makes the release, and no other one ever; the stages of one release share it.
        meter: is told how it goes.

    Returns:
        ``version`` of the release, and the stage's ``counts``.

    Raises:
        WitReleaseError: what went wrong, and what to do.

    """
    config = ReleaseConfig.parse(settings)
    config.commons()  # refused before anything is touched
    with held(Store(config.store), run, alone=False, keep=name != "publish"):
        context = begin(config, run, once=True, anew=name == STAGES[0])
        with open_client(config) as client:
            return {"version": context.version, "counts": run_stage(name, context, client, meter)}


def run_release(config: ReleaseConfig, run: str, until: str | None = None) -> Context:
    """Run the stages in their order on one Dask client.

    Args:
        config: the settings.
        run: names who makes the release; the same name goes on where it stopped.
        until: the last stage to run; None runs all.

    Returns:
        The release's context.
    """
    config.commons()  # refused before anything is touched
    last = STAGES.index(until) if until else len(STAGES) - 1
    with held(Store(config.store), run, alone=True):
        context = begin(config, run)
        with open_client(config) as client:
            for name in STAGES[: last + 1]:
                run_stage(name, context, client)
    return context


def publish_release(store: Store, version: str = "", accept: str = "") -> Context:
    """Publish a release that is made and validated and waits.

    Args:
        store: of the release.
        version: its name; empty: the newest that is not published.
        accept: the reason to publish it in spite of its warnings.

    Returns:
        The release's context.

    Raises:
        ReleaseError: there is no such release, or it may not be published.

    """
    known = context_of(store, version or newest_unpublished(store))
    if is_concluded(store, known.version):
        raise published_already(known.version)
    settings = known.config.model_dump() | {"version": known.version, "accept": accept or known.config.accept}
    run = read_begun(store, known.version).run
    with held(store, run, alone=True):
        context = begin(ReleaseConfig.parse(settings), run)
        with open_client(context.config) as client:
            run_stage("publish", context, client)
    return context


def _counts(summaries: list[Summary]) -> dict[str, int]:
    counts: dict[str, Any] = {}
    for summary in summaries:
        counts |= summary.counts
        counts[f"{summary.step}_rows"] = summary.rows
        counts[f"{summary.step}_fresh"] = summary.fresh
        if summary.pending:
            counts[f"{summary.step}_pending"] = summary.pending
    return counts
