"""write_shards: the released pictures, their captions and the ledger, as files of the release.

Beside them: what is different from the release before, and which pictures look alike.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.engine.step import (
    Context,
    FileStep,
    PartitionStep,
    RowStep,
    Task,
    one_key,
    regrouped,
    shard_keys,
    table_path,
)
from pipelines.pulled import WIT_ROWS, rows_of
from pipelines.releases import changes, shards
from pipelines.releases.near_duplicates import near_duplicates, worth_comparing
from pipelines.storage.spill import Spill
from pipelines.tables import (
    CAPTION_FILES,
    CHANGE_FILES,
    CHANGES,
    KEY,
    LEDGER,
    LEDGER_FILES,
    NEAR_DUPLICATES,
    PHASHES,
    PIXEL_FILES,
    PIXELS,
    SIMILAR,
    Change,
    Outcome,
    Table,
)
from pipelines.vision.perceptual_hash import perceptual_hash

_ROWS = 1024  # rows of text in memory at a time: some 2 MB
_GROUP = 8192  # rows in a row group of what is written as Parquet
_RANGES = 64  # of URLs, at most: each may be a file that is open
_SAMPLED = 256  # one of so many rows
_PICTURES = 16  # pictures in memory at a time: what stays in the processor's cache until it is compressed


def _write_pixels(task: Task) -> None:
    decided = task.table(LEDGER)
    decided = decided.filter(pc.is_valid(decided.column("image_sha256")))
    pages = dict(zip(decided.column(KEY).to_pylist(), decided.column("metadata_url").to_pylist(), strict=True))
    with task.file(shards.image_shard(task.key)) as written, shards.gzip_writer(written) as file:
        for batch in task.batches(PIXELS, rows=_PICTURES):
            pictures = dict(zip(batch.column(KEY).to_pylist(), batch.column("image").to_pylist(), strict=True))
            urls = [url for url in pictures if url in pages]
            file.write(shards.pixel_rows(urls, [pictures[url] for url in urls], [pages[url] for url in urls]))
            written.rows += len(urls)


def _write_captions(task: Task) -> None:
    decided = task.table(LEDGER)
    released = decided.filter(pc.equal(decided.column("outcome"), Outcome.RELEASED)).column(KEY).to_pylist()
    with task.file(shards.caption_shard(task.key)) as written, shards.gzip_writer(written) as file:
        file.write(shards.header())
        for images in rows_of(task.context, task.key, released):
            for start in range(0, images.num_rows, _ROWS):
                rows = images.slice(start, _ROWS)
                titles = shards.title_and_caption(
                    rows.column("page_title"), rows.column("caption_reference_description")
                )
                file.write(shards.caption_rows(rows.append_column(shards.TITLE_AND_CAPTION, titles)))
                written.rows += rows.num_rows


def _write_ledger(task: Task) -> None:
    with task.file(shards.ledger_shard(task.key)) as written:
        table = task.table(LEDGER)
        pq.write_table(table, pa.PythonFile(written.file, mode="w"), compression="ZSTD", row_group_size=_GROUP)
        written.rows = table.num_rows


def _compare(task: Task) -> Iterator[pa.Table]:
    yield from changes.compare(task.context, task.key, task.table(LEDGER))


def _write_changes(task: Task) -> None:
    """Write the lists of what was added, removed and changed; the first release has none.

    Every image may have changed, so the rows are dealt out to ranges of URLs, and sorted range by range.
    """
    if not task.context.base:
        return
    schema = CHANGES.schema.remove(CHANGES.schema.get_field_index("change"))
    cuts = _cuts(task)
    with ExitStack() as stack:
        spills = {change: stack.enter_context(Spill(schema)) for change in Change}
        for batch in task.batches(CHANGES):
            for change, spill in spills.items():
                of_it = batch.filter(pc.equal(batch.column("change"), change)).drop_columns("change")
                rows = pa.Table.from_batches([of_it])
                spill.add(rows, [bisect_right(cuts, url) for url in rows.column(KEY).to_pylist()])
        for change, spill in spills.items():
            with (
                task.file(changes.changes_file(change)) as written,
                pq.ParquetWriter(pa.PythonFile(written.file, mode="w"), schema, compression="ZSTD") as sink,
            ):
                for rows in regrouped((part.sort_by(KEY) for part in spill.parts()), _GROUP):
                    sink.write_table(rows, _GROUP)
                    written.rows += rows.num_rows
                if not written.rows:
                    sink.write_table(schema.empty_table())


def _cuts(task: Task) -> list[str]:
    """Return URLs between which there are about as many changes each, by a sample of them."""
    sample: list[str] = []
    for key in shard_keys(task.context):
        sample += _column(task, CHANGES, key, KEY)[::_SAMPLED].to_pylist()
    return sorted(sample)[:: len(sample) // _RANGES + 1]


def _hash(task: Task, rows: pa.Table) -> pa.Table:
    released = pc.is_valid(rows.column("image_sha256")).to_pylist()
    pictures = rows.column("image")
    hashes = [perceptual_hash(pictures[row].as_py()) if wanted else None for row, wanted in enumerate(released)]
    return rows.select([KEY, "image_sha256"]).append_column("phash", pa.array(hashes, pa.uint64()))


def _follows(context: Context, key: str) -> Mapping[str, str]:
    """The first release has no files of changes; a later one has them even when they are empty."""
    return {"base": context.base}


def _find_similar(task: Task) -> Iterator[pa.Table]:
    """Compare all pictures with each other. In memory are their hashes, and the URLs of those that look alike."""
    hashes = [_column(task, PHASHES, key, "phash").drop_null().to_numpy() for key in shard_keys(task.context)]
    alike = np.split(worth_comparing(np.concatenate(hashes)), np.cumsum([len(part) for part in hashes])[:-1])
    urls: list[str] = []
    for key, wanted in zip(shard_keys(task.context), alike, strict=True):
        if wanted.any():
            known = _column(task, PHASHES, key, KEY).filter(pc.is_valid(_column(task, PHASHES, key, "phash")))
            urls += known.filter(pa.array(wanted)).to_pylist()
    kept = np.concatenate([part[wanted] for part, wanted in zip(hashes, alike, strict=True)])
    found = near_duplicates(urls, kept)
    rows = [{KEY: url, "near_duplicate_of": found[url]} for url in sorted(found)]
    yield pa.Table.from_pylist(rows, schema=SIMILAR.schema)


def _column(task: Task, table: Table, key: str, column: str) -> pa.ChunkedArray:
    with task.context.store.open(table_path(table.name, key)) as file:
        return pq.ParquetFile(file, pre_buffer=False).read(columns=[column], use_threads=False).column(column)


def _of_partition(task: Task) -> Iterator[pa.Table]:
    similar = task.table(SIMILAR)
    yield similar.filter(pc.is_in(similar.column(KEY), task.table(LEDGER).column(KEY).combine_chunks()))


HASH = RowStep(
    writes=PHASHES,
    run=_hash,
    reads=(LEDGER.columns(KEY, "image_sha256"), PIXELS.columns("image")),
    slice_rows=512,
    identity=("image_sha256",),
    revision=2,
)
FIND_SIMILAR = PartitionStep(
    writes=SIMILAR, run=_find_similar, reads=(PHASHES.columns(KEY, "phash", keys=shard_keys),), keys=one_key
)
FIND_NEAR_DUPLICATES = PartitionStep(
    writes=NEAR_DUPLICATES,
    run=_of_partition,
    reads=(SIMILAR.columns(*SIMILAR.schema.names, keys=one_key), LEDGER.columns(KEY)),
)
WRITE_PIXELS = FileStep(
    writes=PIXEL_FILES,
    run=_write_pixels,
    reads=(PIXELS.columns(KEY, "image"), LEDGER.columns(KEY, "metadata_url", "image_sha256")),
)
WRITE_CAPTIONS = FileStep(
    writes=CAPTION_FILES,
    run=_write_captions,
    revision=2,
    reads=(LEDGER.columns(KEY, "outcome"), *WIT_ROWS),
)
WRITE_LEDGER = FileStep(
    writes=LEDGER_FILES, run=_write_ledger, reads=(LEDGER.columns(*LEDGER.schema.names),), revision=2
)
COMPARE = PartitionStep(
    writes=CHANGES,
    run=_compare,
    reads=(LEDGER.columns(*changes.COLUMNS),),
    depends=changes.base_ledger,
    count_by="change",
)
WRITE_CHANGES = FileStep(
    writes=CHANGE_FILES,
    run=_write_changes,
    reads=(CHANGES.columns(*CHANGES.schema.names, keys=shard_keys),),
    depends=_follows,
    keys=one_key,
)
STEPS = (WRITE_PIXELS, WRITE_CAPTIONS, WRITE_LEDGER, COMPARE, WRITE_CHANGES, HASH, FIND_SIMILAR, FIND_NEAR_DUPLICATES)
