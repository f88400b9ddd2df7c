"""Runs a step over all its partitions on Dask and adds up what came out."""

import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from distributed import Client, as_completed, get_client, get_worker

from pipelines import lock
from pipelines.commons.politeness import Leases
from pipelines.engine.cluster import SchedulerLost, device_of, is_cancelled, resources_for
from pipelines.engine.partition import Receipt, make_partition
from pipelines.engine.progress import progress_for
from pipelines.engine.step import Context, Step
from pipelines.errors import StageFailed, WitReleaseError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a step did over all its partitions."""

    step: str
    partitions: int
    skipped: int
    rows: int
    fresh: int
    pending: int
    counts: dict[str, int]
    seconds: float
    worker_seconds: float


class Abandoned(Exception):
    """The run that a task belongs to is gone: killed, failed elsewhere, or without its scheduler."""


def _on_worker(context: Context, step: Step, key: str, topic: str) -> Receipt:
    worker = get_worker()
    task = worker.get_current_task()

    def progress(rows: int) -> None:
        worker.log_event(topic, rows)
        if is_cancelled(worker, task):
            raise Abandoned(f"{step.name}: nobody waits for {key} any more; its finished slices are kept")

    def leases(kind: Literal["media", "api"]) -> Leases:
        from pipelines.commons.leases import DaskLeases

        return DaskLeases(get_client(), kind, context.config.commons())

    return make_partition(context, step, key, progress, leases, device_of(worker))


def run_step(client: Client, context: Context, step: Step) -> Summary:
    """Make every partition of a step that is not done.

    Raises:
        StageFailed: a partition failed. The others stop after the slice that they are at; what is finished stays.

    """
    started = time.monotonic()
    keys = list(step.keys(context))
    run = uuid.uuid4().hex
    topic = f"wit-release-{run}"
    resources = resources_for(client, step.needs)
    receipts: list[Receipt] = []
    with progress_for(step.name, len(keys)) as progress:
        client.subscribe_topic(topic, _listener(progress.rows))
        futures = {
            client.submit(
                _on_worker,
                context,
                step,
                key,
                topic,
                key=f"{step.name}-{key}-{run}",
                pure=False,
                resources=resources or None,
            ): key
            for key in keys
        }
        try:
            for future in as_completed(futures, loop=client.loop):
                error = future.exception() if not future.cancelled() else SchedulerLost()
                if error is not None:
                    if not isinstance(error, WitReleaseError):
                        log.error("%s: unexpected error", step.name, exc_info=error)
                    raise StageFailed(step.name, futures[future], error) from error
                receipts.append(future.result())
                progress.partition()
                lock.check()
        except BaseException:
            client.cancel(list(futures))
            raise
        finally:
            client.unsubscribe_topic(topic)
    return _add_up(step, receipts, time.monotonic() - started)


def _listener(rows: Callable[[int], None]) -> Callable[[tuple[float, int]], None]:
    def listen(event: tuple[float, int]) -> None:
        rows(event[1])

    return listen


def _add_up(step: Step, receipts: list[Receipt], seconds: float) -> Summary:
    counts: Counter[str] = Counter()
    for receipt in receipts:
        counts.update(receipt.counts)
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
    )
    log.info(
        "%s: %d rows (%d made now) in %d partitions (%d stood already), %.1f s%s",
        *(summary.step, summary.rows, summary.fresh, summary.partitions, summary.skipped, summary.seconds),
        f", {summary.counts}" if summary.counts else "",
    )
    return summary
