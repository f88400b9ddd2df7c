"""Runs a step over all its partitions on Dask and adds up what came out."""

import contextlib
import logging
import math
import os
import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from dask.typing import Key
from distributed import Client, Future, Worker, as_completed, get_client, get_worker

from pipelines import logs
from pipelines.commons.politeness import Leases
from pipelines.commons.traffic import Traffic
from pipelines.engine.cluster import SchedulerLost, device_of, is_cancelled, resources_for
from pipelines.engine.meter import GPU_SECONDS, ROWS, SILENT, Meter, StepMeter, Under
from pipelines.engine.partition import Receipt, make_partition, standing
from pipelines.engine.progress import Progress, progress_for
from pipelines.engine.step import Context, Needs, Step
from pipelines.engine.travelling import travelling
from pipelines.errors import StageFailed, WitReleaseError
from pipelines.storage import lock

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a step did over all its partitions; `effort` is what that took, see `Receipt`."""

    step: str
    partitions: int
    skipped: int
    rows: int
    fresh: int
    pending: int
    counts: dict[str, int]
    seconds: float
    worker_seconds: float
    effort: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Caller:
    """The process that waits for a step, as the tasks on the workers know it.

    Args:
        topic: of the events that it listens to.
        process: which one it is.
        about: what its log lines say of themselves.

    """

    topic: str
    process: str
    about: Mapping[str, str]


class Abandoned(Exception):
    """The run that a task belongs to is gone: killed, failed elsewhere, or without its scheduler."""


def _on_worker(context: Context, step: Step, caller: _Caller, key: str) -> Receipt:
    worker = get_worker()
    worker.log_event(caller.topic, {"begun": key})
    with travelling(), logs.about(**caller.about, step=step.name, partition=key), _heard(worker, caller):
        return _make(worker, context, step, key, caller.topic)


def _heard(worker: Worker, caller: _Caller) -> contextlib.AbstractContextManager[None]:
    """Let the caller log what is logged here, unless it is this process."""
    if caller.process == _this_process():
        return contextlib.nullcontext()
    return logs.sending(lambda line: worker.log_event(caller.topic, {"line": dict(line)}))


def _this_process() -> str:
    return f"{os.getpid()} on {socket.gethostname()}"


def _make(worker: Worker, context: Context, step: Step, key: str, topic: str) -> Receipt:
    task = worker.get_current_task()
    traffic = Traffic()
    told: Counter[str] = Counter()

    def progress(rows: int) -> None:
        so_far = traffic.so_far()
        worker.log_event(topic, {"advanced": {ROWS: rows, **{kind: so_far[kind] - told[kind] for kind in so_far}}})
        told.update({kind: so_far[kind] - told[kind] for kind in so_far})
        if is_cancelled(worker, task):
            raise Abandoned(f"{step.name}: nobody waits for {key} any more; its finished slices are kept")

    def leases(kind: Literal["media", "api"]) -> Leases:
        from pipelines.commons.leases import DaskLeases

        return DaskLeases(get_client(), kind, context.config.commons(), traffic)

    device = device_of(worker)
    receipt = make_partition(context, step, key, progress, leases, device)
    effort = {**receipt.effort, **traffic.so_far()}
    if step.needs is Needs.GPU and device.startswith("cuda") and not receipt.skipped:
        effort[GPU_SECONDS] = receipt.seconds
    return replace(receipt, effort=effort)


def run_step(client: Client, context: Context, step: Step, meter: Meter = SILENT) -> Summary:
    """Make every partition of a step that is not done.

    Args:
        client: of the cluster.
        context: what all partitions share.
        step: which one.
        meter: is told how it goes.

    Raises:
        StageFailed: a partition failed. The others stop after the slice that they are at; what is finished stays.

    """
    started = time.monotonic()
    keys = list(step.keys(context))
    run = uuid.uuid4().hex
    caller = _Caller(f"wit-release-{run}", _this_process(), logs.named())
    resources = resources_for(client, step.needs)
    receipts: list[Receipt] = []
    metered = StepMeter(Under(meter, step.name), len(keys))
    with logs.about(step=step.name), progress_for(step.name, len(keys)) as progress:
        for receipt in _standing(client, context, step, keys, resources):
            receipts.append(receipt)
            metered.done(receipt.key)
            progress.partition()
        keys = sorted(set(keys) - {receipt.key for receipt in receipts})
        client.subscribe_topic(caller.topic, _listener(progress, metered, logs.named()))
        # All in one graph, and receipts by the batch: a message for each costs more than a small partition does.
        futures = client.map(
            partial(_on_worker, context, step, caller),
            keys,
            key=[f"{step.name}-{key}-{run}" for key in keys],
            pure=False,
            resources=resources or None,
        )
        names = {future.key: key for future, key in zip(futures, keys, strict=True)}
        try:
            for batch in as_completed(futures, loop=client.loop).batches():
                for receipt in _receipts(client, step, batch, names):
                    receipts.append(receipt)
                    metered.done(receipt.key)
                    progress.partition()
                lock.check()
        except BaseException:
            client.cancel(futures)
            raise
        finally:
            client.unsubscribe_topic(caller.topic)
        summary = _add_up(step, receipts, time.monotonic() - started)
    made = sum(receipt.rows for receipt in receipts if not receipt.skipped)
    metered.end({**summary.effort, ROWS: made}, summary.seconds, summary.worker_seconds)
    return summary


def _receipts(client: Client, step: Step, done: list[Future[Receipt]], names: Mapping[Key, str]) -> list[Receipt]:
    """Fetch the receipts of tasks that are over.

    Raises:
        StageFailed: one of them failed.

    """
    for future in done:
        if future.status != "finished":
            error = future.exception() if future.status == "error" else SchedulerLost()
            if not isinstance(error, WitReleaseError):
                with logs.about(partition=names[future.key]):
                    log.error("%s: unexpected error", step.name, exc_info=error)
            raise StageFailed(step.name, names[future.key], error) from error
    try:
        return list(client.gather(done))
    except CancelledError as error:  # between the end of a task and the fetching of its receipt
        raise StageFailed(step.name, names[done[0].key], SchedulerLost()) from error


def _standing(
    client: Client, context: Context, step: Step, keys: list[str], resources: dict[str, float]
) -> list[Receipt]:
    """Return the receipts of the partitions that are done.

    A refresh finds most of them done, and to look is a small part of what a task costs; so some are looked at in one.
    """
    if len(keys) == 1:
        return []  # its task looks itself
    size = chunk_size(client, len(keys))
    looks = [
        client.submit(_look, context, step, keys[start : start + size], pure=False, resources=resources or None)
        for start in range(0, len(keys), size)
    ]
    # Where a look failed, the partitions' own tasks come to the same error, and say which of them it is.
    return [receipt for look in looks if look.exception() is None for receipt in look.result()]


def _look(context: Context, step: Step, keys: list[str]) -> list[Receipt]:
    receipts = (standing(context, step, key) for key in keys)
    return [receipt for receipt in receipts if receipt is not None]


def chunk_size(client: Client, keys: int) -> int:
    """Return how many partitions to handle in one task where each takes milliseconds: four tasks for each thread."""
    threads = sum(client.nthreads().values()) or 1
    return math.ceil(keys / (4 * threads))


def _listener(
    progress: Progress, metered: StepMeter, about: Mapping[str, str]
) -> Callable[[tuple[float, dict[str, Any]]], None]:
    """Hear what tasks tell, in the thread of the client, which knows nothing of what this one's lines are about."""

    def listen(event: tuple[float, dict[str, Any]]) -> None:
        told = event[1]
        with logs.about(**about):
            if "begun" in told:
                metered.begun(told["begun"])
            if "advanced" in told:
                metered.advanced(told["advanced"])
                progress.rows(told["advanced"][ROWS])
            if "line" in told:
                logs.receive(told["line"])

    return listen


def _add_up(step: Step, receipts: list[Receipt], seconds: float) -> Summary:
    counts: Counter[str] = Counter()
    effort: Counter[str] = Counter()
    for receipt in receipts:
        counts.update(receipt.counts)
        effort.update(receipt.effort)  # seconds are no whole numbers
    summary = Summary(
        step=step.name,
        partitions=len(receipts),
        skipped=sum(receipt.skipped for receipt in receipts),
        rows=sum(receipt.rows for receipt in receipts),
        fresh=sum(receipt.fresh for receipt in receipts),
        pending=sum(receipt.pending for receipt in receipts),
        counts=dict(sorted(counts.items())),
        seconds=seconds,
        worker_seconds=sum(receipt.seconds for receipt in receipts),
        effort={name: round(amount, 3) for name, amount in sorted(effort.items()) if amount},
    )
    log.info(
        "%s: %d rows (%d made now) in %d partitions (%d stood already), %.1f s%s%s",
        *(summary.step, summary.rows, summary.fresh, summary.partitions, summary.skipped, summary.seconds),
        f", {summary.counts}" if summary.counts else "",
        f", {summary.effort}" if summary.effort else "",
    )
    return summary
