"""pull_rows: from WIT's files to the selected images, partition by partition.

An image is selected if any of its rows has a reference description, and then all of its rows are kept. The rows of one
image are scattered over all files, so each file is first split by partition in one pass, and then each partition is
brought together.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.commons.names import MalformedUrl, canonical_url, file_page_url, parse_image_url, partition_of
from pipelines.engine.step import WORK, Context, PartitionStep, Task, shard_name
from pipelines.errors import InputError
from pipelines.inputs import identity
from pipelines.storage.spill import Spill
from pipelines.storage.store import Written
from pipelines.tables import IMAGES, KEY, PULLED, ROWS, WIT_COLUMNS
from pipelines.wit import BadRow, Checksum, read_wit

_HELD_BYTES = 96 << 20  # rows held before they are dealt out: batches of some 500 KB with 200 partitions
_PACKED = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_RANGE_IMAGES = 8192  # images whose rows are sorted at a time: some 50,000 rows of WIT's, 100 MB
_CAPTION = "caption_reference_description"
_ORDER = (KEY, "language", "page_url", "hierarchical_section_title", _CAPTION, "wit_image_url")
_PARTITION = "partition"
_FACTS = {"wit_image_url": "min", "mime_type": "min", "original_width": "max", "original_height": "max"}
"""What is known of an image by its WIT rows, and which of them counts where they disagree."""

_NULL = "\0"  # no cell of WIT holds it


def wit_keys(context: Context) -> list[str]:
    """Return a key for each WIT file, in the order of the settings."""
    return [f"file-{index:05d}" for index in range(len(context.config.wit_files))]


def _wit_file(context: Context, key: str) -> str:
    return context.config.wit_files[int(key.removeprefix("file-"))]


def _identity(context: Context, key: str) -> dict[str, object]:
    return {"file": _wit_file(context, key), **identity(_wit_file(context, key))}


def _split(task: Task) -> Iterator[pa.Table]:
    """Split one WIT file by partition; say where the rows went."""
    path = _wit_file(task.context, task.key)
    bad: list[BadRow] = []
    checksum = Checksum()
    with ExitStack() as stack:
        splitter = _Splitter(task, stack)
        for batch in read_wit(path, task.config.max_rows, checksum):
            bad += batch.bad
            task.counts["rows_read"] += batch.rows.num_rows + len(batch.bad)
            task.counts["rows_malformed"] += len(batch.bad)
            with_url = batch.rows
            if with_url.column(KEY).null_count:  # an empty field is null
                with_url = with_url.filter(pc.is_valid(with_url.column(KEY)))
            task.counts["rows_without_image_url"] += batch.rows.num_rows - with_url.num_rows
            splitter.add(with_url)
            task.progress(batch.rows.num_rows)
        _quarantine(task, path, bad)
        splitter.flush()
    whole = {"path": path, "rows": task.counts["rows_read"], "sha256": checksum.sha256 or None}
    yield pa.concat_tables([splitter.receipts(), pa.Table.from_pylist([whole], schema=PULLED.schema)])


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


class _Splitter:
    """Keeps one Arrow file open for each partition; rows wait in memory until there are enough to go round.

    Rows are read once more only, so what counts is speed: with many columns and few rows at a time, Arrow's own format
    with LZ4 costs half the time of Parquet with Zstandard.
    """

    def __init__(self, task: Task, stack: ExitStack) -> None:
        self._task = task
        self._stack = stack
        self._held: list[pa.Table] = []
        self._held_bytes = 0
        self._written: dict[int, Written] = {}
        self._sinks: dict[int, pa.ipc.RecordBatchStreamWriter] = {}

    def add(self, rows: pa.Table) -> None:
        if not rows.num_rows:
            return
        urls = rows.column(KEY).combine_chunks().dictionary_encode()
        places = [_place(url, self._task.config.partitions) for url in urls.dictionary.to_pylist()]
        partitions = pa.array([place[0] for place in places], pa.int32()).take(urls.indices)
        canonical = pa.array([place[1] for place in places], pa.string()).take(urls.indices)
        table = rows.rename_columns(["wit_image_url" if name == KEY else name for name in WIT_COLUMNS])
        table = table.append_column(KEY, canonical).select(ROWS.schema.names).append_column(_PARTITION, partitions)
        self._held.append(table)
        self._held_bytes += table.nbytes
        if self._held_bytes >= _HELD_BYTES:
            self.flush()

    def flush(self) -> None:
        if not self._held:
            return
        (rows,) = pa.concat_tables(self._held).combine_chunks().to_batches()
        self._held, self._held_bytes = [], 0
        partitions = rows.column(_PARTITION).to_numpy()
        order = np.argsort(partitions, kind="stable")  # the file's order stays
        rows = rows.select(ROWS.schema.names).take(pa.array(order))
        numbers, starts = np.unique(partitions[order], return_index=True)
        ends = [*starts[1:].tolist(), len(order)]
        for partition, start, end in zip(numbers.tolist(), starts.tolist(), ends, strict=True):
            self._sink(partition).write_batch(rows.slice(start, end - start))
            self._written[partition].rows += end - start

    def _sink(self, partition: int) -> pa.ipc.RecordBatchStreamWriter:
        if partition not in self._sinks:
            path = f"{WORK}/pulled/{self._task.key}.rows/{shard_name(partition)}.arrow"
            written = self._stack.enter_context(self._task.context.store.write(path))
            sink = pa.ipc.new_stream(pa.PythonFile(written.file, mode="w"), ROWS.schema, options=_PACKED)
            self._written[partition] = written
            self._sinks[partition] = self._stack.enter_context(sink)
        return self._sinks[partition]

    def receipts(self) -> pa.Table:
        rows = [
            {"partition": partition, "path": written.path, "rows": written.rows, "sha256": written.sha256}
            for partition, written in sorted(self._written.items())
        ]
        return pa.Table.from_pylist(rows, schema=PULLED.schema)


def _place(url: str, partitions: int) -> tuple[int, str]:
    """Return the partition and the canonical URL of an image; a URL that names no file stands for itself."""
    try:
        name, canonical = canonical_url(url)
    except MalformedUrl:
        return partition_of(url, partitions), url
    return partition_of(name, partitions), canonical


def _bring_together(task: Task) -> Iterator[pa.Table]:
    """Collect a partition's rows from all files, and keep those of images with a caption.

    A partition of the whole WIT has 400 MB of rows, one that half of the images happen to fall into much more. So only
    its URLs are held; the rows are sorted into ranges of URLs on disk, and then range by range.
    """
    shard = int(task.key.removeprefix("part-"))
    pulled = task.table(PULLED)
    paths = pulled.filter(pc.equal(pulled.column("partition"), shard)).column("path").to_pylist()
    selected: list[pa.ChunkedArray] = []
    for rows in _pulled_rows(task, paths, [KEY, _CAPTION]):
        selected.append(rows.column(KEY).filter(has_caption(rows.column(_CAPTION))))
    captioned = set(pa.chunked_array([chunk for urls in selected for chunk in urls.chunks], pa.string()).to_pylist())
    ranges = sorted(captioned)[::_RANGE_IMAGES]
    with Spill(ROWS.schema) as spill:
        for rows in _pulled_rows(task, paths, ROWS.schema.names):
            urls = rows.column(KEY).to_pylist()
            spill.add(rows, [bisect_right(ranges, url) - 1 if url in captioned else None for url in urls])
        for rows in spill.parts():
            task.counts["rows_of_selected_images"] += rows.num_rows
            # Sorted by content, so that the same rows from differently cut files give the same table.
            yield rows.take(pc.sort_indices(rows, [(column, "ascending") for column in _ORDER]))


def _pulled_rows(task: Task, paths: list[str], columns: list[str]) -> Iterator[pa.Table]:
    wanted = [ROWS.schema.get_field_index(name) for name in columns]
    options = pa.ipc.IpcReadOptions(included_fields=wanted, use_threads=False)
    for path in paths:
        with task.context.store.open(path) as file, pa.ipc.open_stream(file, options=options) as stream:
            for batch in stream:
                yield pa.Table.from_batches([batch])


def has_caption(captions: pa.ChunkedArray) -> pa.ChunkedArray:
    """Say of each caption whether anything is left of it after a Unicode strip: some of WIT's are only U+00A0."""
    return pc.fill_null(pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(captions)), 0), False)


def _select(task: Task) -> Iterator[pa.Table]:
    """Make one row of each image."""
    for rows in _whole_images(task.batches(ROWS)):
        digests = _row_digests(rows)
        first = rows.select([KEY, *_FACTS]).group_by(KEY, use_threads=False).aggregate([*_FACTS.items()]).sort_by(KEY)
        images = [_image(row, digests[row[KEY]]) for row in first.to_pylist()]
        yield pa.Table.from_pylist(images, schema=IMAGES.schema)


def _whole_images(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Cut sorted rows where one image ends and another begins, so that all rows of an image are together."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        if held and batch.num_rows:
            same = int(pc.sum(pc.equal(batch.column(KEY), held[-1].column(KEY)[-1])).as_py())
            if same < batch.num_rows:
                yield pa.Table.from_batches([*held, batch.slice(0, same)])
                held, batch = [], batch.slice(same)
        held += [batch] if batch.num_rows else []
    if held:
        yield pa.Table.from_batches(held)


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


def _row_digests(rows: pa.Table) -> dict[str, str]:
    """Return a digest of each image's rows, which stand together. Their order has no say in it."""
    cells = [rows.column(name).cast(pa.string()) for name in ROWS.schema.names]
    texts = pc.binary_join_element_wise(*cells, "\t", null_handling="replace", null_replacement=_NULL)
    images = pc.run_end_encode(rows.column(KEY).combine_chunks())
    digests = _digests(texts.combine_chunks())
    found, start = {}, 0
    for url, end in zip(images.values.to_pylist(), images.run_ends.to_pylist(), strict=True):
        found[url] = hashlib.sha256(b"".join(sorted(digests[start:end]))).hexdigest()
        start = end
    return found


def _digests(texts: pa.StringArray) -> list[bytes]:
    """Return the sha256 of each text, read where it lies in memory."""
    _, offsets, content = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].tolist()
    memory = memoryview(content or b"")
    return [hashlib.sha256(memory[start:end]).digest() for start, end in pairwise(ends)]


SPLIT = PartitionStep(
    writes=PULLED,
    run=_split,
    revision=3,
    keys=wit_keys,
    settings=("partitions", "max_rows", "max_bad_rows_share"),
    depends=_identity,
)
BRING_TOGETHER = PartitionStep(
    writes=ROWS,
    run=_bring_together,
    reads=(PULLED.columns("partition", "path", "sha256", keys=wit_keys),),
)
SELECT = PartitionStep(
    writes=IMAGES,
    run=_select,
    reads=(ROWS.columns(*ROWS.schema.names),),
)
STEPS = (SPLIT, BRING_TOGETHER, SELECT)
