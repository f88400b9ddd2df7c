"""pull_rows: from WIT's files to the selected images, partition by partition.

An image is selected if any of its rows has a reference description, and then all of its rows are kept. The rows of one
image are scattered over all files, so each file is dealt out to the partitions in one pass, and then each partition's
images are looked at.
"""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.commons.filing import file_pages, filed, sites
from pipelines.engine.step import WORK, Context, PartitionStep, Task
from pipelines.errors import InputError
from pipelines.inputs import identity
from pipelines.pulled import Dealer, captioned_images, facts_of, packed, receipts, wit_keys
from pipelines.tables import DEALT_ROW, FACTS, IMAGES, KEY, PULLED
from pipelines.wit import BadRow, Checksum, read_wit, typed

_CAPTION = "caption_reference_description"
_KNOWN = {"name": "min", "wit_image_url": "min", "mime_type": "min", "original_width": "max", "original_height": "max"}
"""What is known of an image by its WIT rows, and which of them counts where they disagree."""


def _wit_file(context: Context, key: str) -> str:
    return context.config.wit_files[int(key.removeprefix("file-"))]


def _identity(context: Context, key: str) -> dict[str, object]:
    path = _wit_file(context, key)
    return {"file": path, **identity(path, context.config.commons().user_agent)}


def _deal_out(task: Task) -> Iterator[pa.Table]:
    """Deal the rows of one WIT file out to the partitions; say where they went."""
    path = _wit_file(task.context, task.key)
    bad: list[BadRow] = []
    checksum = Checksum()
    with ExitStack() as stack:
        folder = f"{WORK}/{PULLED.name}/{task.key}"
        rows = Dealer(task.context.store, f"{folder}.rows", DEALT_ROW, stack)
        facts = Dealer(task.context.store, f"{folder}.facts", FACTS, stack)
        for batch in read_wit(path, task.config.max_rows, checksum, task.config.commons().user_agent):
            bad += batch.bad
            task.counts["rows_read"] += batch.rows.num_rows + len(batch.bad)
            task.counts["rows_malformed"] += len(batch.bad)
            with_url = batch.rows
            if with_url.column(KEY).null_count:  # an empty field is null
                with_url = with_url.filter(pc.is_valid(with_url.column(KEY)))
            task.counts["rows_without_image_url"] += batch.rows.num_rows - with_url.num_rows
            if with_url.num_rows:
                placed, partitions = _placed(with_url, task.config.partitions)
                for dealer, schema in ((rows, DEALT_ROW), (facts, FACTS)):
                    dealer.add(placed.select(schema.names), partitions)
            task.progress(batch.rows.num_rows)
        _quarantine(task, path, bad)
        for dealer in (rows, facts):
            dealer.flush()
        task.disown()
    whole = {"path": path, "rows": task.counts["rows_read"], "sha256": checksum.sha256 or None}
    yield pa.concat_tables([receipts(rows, facts), pa.Table.from_pylist([whole], schema=PULLED.schema)])


def _quarantine(task: Task, path: str, bad: list[BadRow]) -> None:
    where = f"{WORK}/quarantine/{task.key}.json"
    rows = [{"file": path, "line": row.line, "reason": row.reason, "text": row.text} for row in bad]
    task.context.store.write_json(where, rows)
    read = task.counts["rows_read"]
    if read and len(bad) / read > task.config.max_bad_rows_share:
        examples = "; ".join(f"line {row.line}: {row.reason}" for row in bad[:3])
        raise InputError(
            f"{path}: {len(bad)} of {read} rows are malformed, more than max_bad_rows_share = "
            f"{task.config.max_bad_rows_share} allows ({examples}). All of them: {task.context.store.locate(where)}"
        )


def _placed(texts: pa.Table, partitions: int) -> tuple[pa.Table, np.ndarray]:
    """Return rows of WIT as rows to be dealt out with their facts, and the partition of each."""
    images = filed(texts.column(KEY).combine_chunks(), partitions)
    cells = packed(texts)
    columns = {
        KEY: images.urls,
        "cells": cells,
        "name": images.names,
        "wit_image_url": texts.column(KEY),
        **{name: typed(texts.column(name), name) for name in ("mime_type", "original_width", "original_height")},
        "captioned": has_caption(texts.column(_CAPTION)),
        "row_sha256": pa.array(_digests(cells), pa.binary(32)),
    }
    return pa.table(columns), images.partitions


def has_caption(captions: pa.ChunkedArray) -> pa.ChunkedArray:
    """Say of each caption whether anything is left of it after a Unicode strip: some of WIT's are only U+00A0."""
    return pc.fill_null(pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(captions)), 0), False)


def _digests(cells: pa.ChunkedArray) -> list[bytes]:
    """Return the sha256 of each row's cells, hashed where they lie in memory."""
    digests = []
    for chunk in cells.chunks:
        _, offsets, content = chunk.buffers()
        ends = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1].tolist()
        memory = memoryview(content)
        digests += [hashlib.sha256(memory[start:end]).digest() for start, end in pairwise(ends)]
    return digests


def _select(task: Task) -> Iterator[pa.Table]:
    """Make one row of each image that has a caption."""
    captioned = captioned_images(task.context, task.key)
    for facts in facts_of(task.context, task.key, captioned):
        task.counts["rows_of_selected_images"] += facts.num_rows
        known = facts.group_by(KEY, use_threads=False).aggregate([*_KNOWN.items(), ("row_sha256", "list")]).sort_by(KEY)
        urls, names = known.column(KEY).combine_chunks(), known.column("name_min").combine_chunks()
        columns = {
            KEY: urls,
            "name": pc.coalesce(names, urls),  # a URL that names no file stands for itself
            "site": sites(urls, names),
            "wit_image_url": known.column("wit_image_url_min"),
            "metadata_url": file_pages(urls, names),
            "wit_mime_type": known.column("mime_type_min"),
            "wit_width": known.column("original_width_max"),
            "wit_height": known.column("original_height_max"),
            "wit_rows_sha256": pa.array([_of_rows(rows) for rows in known.column("row_sha256_list").to_pylist()]),
        }
        yield pa.table(columns, schema=IMAGES.schema)


def _of_rows(digests: list[bytes]) -> str:
    """Return the digest of an image's rows. Their order has no say in it."""
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


DEAL_OUT = PartitionStep(
    writes=PULLED,
    run=_deal_out,
    revision=5,
    keys=wit_keys,
    settings=("partitions", "max_rows", "max_bad_rows_share"),
    depends=_identity,
)
SELECT = PartitionStep(
    writes=IMAGES,
    run=_select,
    revision=3,
    reads=(PULLED.columns("partition", "facts_path", "facts_sha256", keys=wit_keys),),
)
STEPS = (DEAL_OUT, SELECT)
