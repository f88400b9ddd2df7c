"""validate: what is in the release's own files, held against expectations that a steward can edit.

Each file is read back as a consumer would read it, and measured; the expectations are about the measurements. A release
that fails one of severity "critical" stays unpublished; a "warning" is reported.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from pipelines.engine.step import Context, PartitionStep, Task, release_path, shard_keys
from pipelines.errors import NotThere, ValidationFailed
from pipelines.pipeline import Run
from pipelines.quality.collected import collect
from pipelines.quality.data_docs import INDEX
from pipelines.quality.judging import judge
from pipelines.quality.partition import RECEIPTS, measure_partition, measured_paths
from pipelines.quality.verdict import remove_verdict, write_verdict
from pipelines.removals.takedowns import read_takedowns
from pipelines.tables import CANDIDATES, IMAGES, KEY, MEASUREMENTS


def _identities(context: Context, key: str) -> Mapping[str, Any]:
    """A file that was replaced or damaged is measured again, and so is everything when the takedown list changes.

    One that is the very file of the release before (a link to it, or a copy with its entity tag) was measured there:
    its path below the release counts, and not which release that is.
    """
    files: dict[str, Any] = {}
    for path in measured_paths(key):
        try:
            files[path] = context.store.identity(release_path(context.version, path))
        except NotThere:
            files[path] = None  # a measurement in its own right
    return {"files": files, "takedowns": sorted(read_takedowns(context.store))}


def _measure(task: Task) -> Iterator[pa.Table]:
    yield from measure_partition(task)


MEASURE = PartitionStep(
    writes=MEASUREMENTS,
    run=_measure,
    reads=(
        IMAGES.columns(KEY, "name"),
        CANDIDATES.columns(KEY),
        *(receipts.columns(*receipts.schema.names) for receipts in RECEIPTS),
    ),
    settings=("partitions", "image_width", "face_rule"),
    revision=3,
    depends=_identities,
)
STEPS = (MEASURE,)


def conclude(run: Run) -> Mapping[str, int]:
    """Hold the measurements against the suites; write verdict and Data Docs.

    Returns:
        How many expectations there are, and how many of them failed.

    Raises:
        ValidationFailed: an expectation of severity "critical" does not hold.
        SuiteError: a suite cannot be used.

    """
    context = run.context
    remove_verdict(context.store, context.version)  # it is about what was measured before
    collect(context, shard_keys(context))
    verdict = judge(context)
    write_verdict(context.store, verdict)
    if not verdict.success:
        report = context.store.locate(release_path(context.version, INDEX))
        raise ValidationFailed(context.version, [failure.in_words() for failure in verdict.errors], report)
    return {"expectations": len(verdict.expectations), "warnings": len(verdict.warnings)}
