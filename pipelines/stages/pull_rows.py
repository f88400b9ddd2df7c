"""pull_rows: from WIT's files to the selected images, partition by partition.

An image is selected if any of its rows has a reference description, and then all of its rows are kept. The rows of one
image are scattered over all files, so each file is dealt out to the partitions in one pass, and then each partition's
images are looked at.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.commons.names import MalformedUrl, canonical_url, file_page_url, parse_image_url, partition_of
from pipelines.engine.step import WORK, Context, PartitionStep, Task
from pipelines.errors import InputError
from pipelines.inputs import identity
from pipelines.pulled import Dealer, captioned_images, rows_of, wit_keys
from pipelines.tables import IMAGES, KEY, PULLED, ROW, WIT_COLUMNS
from pipelines.wit import BadRow, Checksum, read_wit

_CAPTION = "caption_reference_description"
_FACTS = {"wit_image_url": "min", "mime_type": "min", "original_width": "max", "original_height": "max"}
"""What is known of an image by its WIT rows, and which of them counts where they disagree."""

_CONTENT = [name for name in ROW.names if name not in ("captioned", "row_sha256")]
_NULL = "\0"  # no cell of WIT holds it


def _wit_file(context: Context, key: str) -> str:
    return context.config.wit_files[int(key.removeprefix("file-"))]


def _identity(context: Context, key: str) -> dict[str, object]:
    return {"file": _wit_file(context, key), **identity(_wit_file(context, key))}


def _deal_out(task: Task) -> Iterator[pa.Table]:
    """Deal the rows of one WIT file out to the partitions; say where they went."""
    path = _wit_file(task.context, task.key)
    bad: list[BadRow] = []
    checksum = Checksum()
    with ExitStack() as stack:
        dealer = Dealer(task.context.store, task.key, stack)
        for batch in read_wit(path, task.config.max_rows, checksum):
            bad += batch.bad
            task.counts["rows_read"] += batch.rows.num_rows + len(batch.bad)
            task.counts["rows_malformed"] += len(batch.bad)
            with_url = batch.rows
            if with_url.column(KEY).null_count:  # an empty field is null
                with_url = with_url.filter(pc.is_valid(with_url.column(KEY)))
            task.counts["rows_without_image_url"] += batch.rows.num_rows - with_url.num_rows
            if with_url.num_rows:
                dealer.add(*_placed(with_url, task.config.partitions))
            task.progress(batch.rows.num_rows)
        _quarantine(task, path, bad)
        dealer.flush()
    whole = {"path": path, "rows": task.counts["rows_read"], "sha256": checksum.sha256 or None}
    yield pa.concat_tables([dealer.receipts(), pa.Table.from_pylist([whole], schema=PULLED.schema)])


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


def _placed(rows: pa.Table, partitions: int) -> tuple[pa.Table, np.ndarray]:
    """Return rows of WIT as rows of `ROW`, and the partition of each."""
    urls = rows.column(KEY).combine_chunks().dictionary_encode()
    places = [_place(url, partitions) for url in urls.dictionary.to_pylist()]
    canonical = pa.array([place[1] for place in places], pa.string()).take(urls.indices)
    table = rows.rename_columns(["wit_image_url" if name == KEY else name for name in WIT_COLUMNS])
    table = table.append_column(KEY, canonical).select(_CONTENT)
    table = table.append_column("captioned", has_caption(table.column(_CAPTION)))
    table = table.append_column("row_sha256", pa.array(_digests(table), pa.binary(32)))
    return table, np.array([place[0] for place in places], np.int32)[urls.indices.to_numpy()]


def _place(url: str, partitions: int) -> tuple[int, str]:
    """Return the partition and the canonical URL of an image; a URL that names no file stands for itself."""
    try:
        name, canonical = canonical_url(url)
    except MalformedUrl:
        return partition_of(url, partitions), url
    return partition_of(name, partitions), canonical


def has_caption(captions: pa.ChunkedArray) -> pa.ChunkedArray:
    """Say of each caption whether anything is left of it after a Unicode strip: some of WIT's are only U+00A0."""
    return pc.fill_null(pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(captions)), 0), False)


def _digests(rows: pa.Table) -> list[bytes]:
    """Return the sha256 of each row."""
    cells = [rows.column(name).cast(pa.string()) for name in _CONTENT]
    texts = pc.binary_join_element_wise(*cells, "\t", null_handling="replace", null_replacement=_NULL)
    return [digest for chunk in texts.chunks for digest in _digests_of(chunk)]


def _digests_of(texts: pa.StringArray) -> Iterator[bytes]:
    """Hash each text where it lies in memory."""
    _, offsets, content = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].tolist()
    memory = memoryview(content or b"")
    for start, end in pairwise(ends):
        yield hashlib.sha256(memory[start:end]).digest()


def _select(task: Task) -> Iterator[pa.Table]:
    """Make one row of each image that has a caption."""
    captioned = captioned_images(task.context, task.key)
    for rows in rows_of(task.context, task.key, captioned, [KEY, *_FACTS, "row_sha256"]):
        task.counts["rows_of_selected_images"] += rows.num_rows
        known = rows.select([KEY, *_FACTS]).group_by(KEY, use_threads=False).aggregate([*_FACTS.items()]).sort_by(KEY)
        images = [_image(row, digest) for row, digest in zip(known.to_pylist(), _rows_digests(rows), strict=True)]
        yield pa.Table.from_pylist(images, schema=IMAGES.schema)


def _rows_digests(rows: pa.Table) -> Iterator[str]:
    """Yield a digest of each image's rows, which stand together. Their order has no say in it."""
    ends = pc.run_end_encode(rows.column(KEY).combine_chunks()).run_ends.to_pylist()
    digests = rows.column("row_sha256").to_pylist()
    for start, end in pairwise([0, *ends]):
        yield hashlib.sha256(b"".join(sorted(digests[start:end]))).hexdigest()


def _image(known: Mapping[str, Any], rows_sha256: str) -> dict[str, Any]:
    url = known[KEY]
    try:
        image = parse_image_url(url)
        name, site, page = image.name, image.site, file_page_url(image)
    except MalformedUrl:
        name, site, page = url, None, None
    return {
        KEY: url,
        "name": name,
        "site": site,
        "wit_image_url": known["wit_image_url_min"],
        "metadata_url": page,
        "wit_mime_type": known["mime_type_min"],
        "wit_width": known["original_width_max"],
        "wit_height": known["original_height_max"],
        "wit_rows_sha256": rows_sha256,
    }


DEAL_OUT = PartitionStep(
    writes=PULLED,
    run=_deal_out,
    revision=4,
    keys=wit_keys,
    settings=("partitions", "max_rows", "max_bad_rows_share"),
    depends=_identity,
)
SELECT = PartitionStep(
    writes=IMAGES,
    run=_select,
    revision=2,
    reads=(PULLED.columns("partition", "path", "sha256", keys=wit_keys),),
)
STEPS = (DEAL_OUT, SELECT)
