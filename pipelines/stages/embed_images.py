"""embed_images: the 2048 features of each released picture; and the files in which all of an image is joined.

Pictures are decoded here once more, after detect_faces: one pass over both would save a third of a millisecond of a
core for each, which a GPU's worker has to spare while its GPU computes (tests/benchmarks/RESULTS.md, One pass or two),
and would embed what faces, and deletion candidates that are read days later, keep out of the release.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.engine.step import Context, FileStep, Needs, RowStep, Task
from pipelines.pulled import WIT_ROWS, rows_of
from pipelines.releases import joined, shards
from pipelines.tables import (
    EMBEDDING_FILES,
    EMBEDDINGS,
    KEY,
    LEDGER,
    NEAR_DUPLICATES,
    PARQUET_FILES,
    PHASHES,
    PIXELS,
)
from pipelines.vision.once import once
from pipelines.vision.weights import weights_digest

if TYPE_CHECKING:
    from pipelines.vision.embedding import Embedder

_ROWS = 256  # rows of text in memory at a time: some 5 MB


@once
def _embedder(model: str, device: str, stand_in: bool) -> "Embedder":
    from pipelines.vision.embedding import load_embedder  # torch: writing files does without its 200 MB

    return load_embedder(model, device=device, stand_in=stand_in)


def _embed(task: Task, rows: pa.Table) -> pa.Table:
    released = pc.is_valid(rows.column("image_sha256"))
    pictures = rows.column("image").filter(released).to_pylist()
    vectors = pa.nulls(rows.num_rows, EMBEDDINGS.schema.field("embedding").type)
    processor = None
    if pictures:
        embedder = _embedder(task.config.embedding_model, task.device, task.config.stand_in)
        processor = embedder.processor
        made = embedder.embed(pictures)
        flat = pa.FixedSizeListArray.from_arrays(pa.array(made.reshape(-1), pa.float32()), made.shape[1])
        place = pc.subtract(pc.cumulative_sum(pc.cast(released, pa.int32())), 1)
        vectors = flat.take(pc.if_else(released, place, pa.scalar(None, pa.int32())))
    processors = pc.if_else(released, pa.scalar(processor, pa.string()), pa.scalar(None, pa.string()))
    columns = {"image_sha256": rows.column("image_sha256"), "embedding": vectors, "processor": processors}
    return pa.table({KEY: rows.column(KEY), **columns})


def _write_embeddings(task: Task) -> None:
    with task.file(shards.embedding_shard(task.key)) as written, shards.gzip_writer(written) as file:
        for batch in task.batches(EMBEDDINGS, rows=_ROWS):
            wanted = batch.filter(pc.is_valid(batch.column("embedding")))
            if wanted.num_rows:
                file.write(shards.embedding_rows(wanted.column(KEY), wanted.column("embedding")))
                written.rows += wanted.num_rows


def _weights(context: Context, key: str) -> Mapping[str, Any]:
    """Other weights give other features."""
    return {"weights": weights_digest(context.config.embedding_model)}


def _write_parquet(task: Task) -> None:
    near = dict(zip(*(column.to_pylist() for column in task.table(NEAR_DUPLICATES).columns), strict=True))
    released: list[str] = []
    for batch in task.batches(LEDGER):
        released += batch.column(KEY).filter(pc.is_valid(batch.column("image_sha256"))).to_pylist()
    captions = joined.CaptionRows(rows_of(task.context, task.key, released))
    with task.file(joined.shard(task.key)) as written, joined.parquet_writer(written) as sink:
        held: list[pa.Table] = []
        for images in task.aligned((LEDGER, PIXELS, EMBEDDINGS, PHASHES), rows=joined.ROW_GROUP):
            described = captions.up_to(images.column(KEY)[-1].as_py())
            images = images.filter(pc.is_valid(images.column("image_sha256")))
            if images.num_rows and described is not None:
                held.append(joined.join(images, described, near))
                written.rows += images.num_rows
            if sum(rows.num_rows for rows in held) >= joined.ROW_GROUP:
                whole = pa.concat_tables(held)
                sink.write_table(whole.slice(0, joined.ROW_GROUP).combine_chunks())
                held = [whole.slice(joined.ROW_GROUP)]
        if held:
            sink.write_table(pa.concat_tables(held).combine_chunks())


EMBED = RowStep(
    writes=EMBEDDINGS,
    run=_embed,
    reads=(LEDGER.columns(KEY, "image_sha256"), PIXELS.columns("image")),
    settings=("embedding_model",),
    revision=3,
    count_by="processor",
    depends=_weights,
    needs=Needs.GPU,
    slice_rows=512,
    identity=("image_sha256",),
)
WRITE_EMBEDDINGS = FileStep(
    writes=EMBEDDING_FILES, run=_write_embeddings, reads=(EMBEDDINGS.columns(KEY, "image_sha256", "embedding"),)
)
WRITE_PARQUET = FileStep(
    writes=PARQUET_FILES,
    run=_write_parquet,
    reads=(
        LEDGER.columns(
            *(KEY, "commons_name", "metadata_url", "mime_type", "original_width", "original_height", "wit_image_url"),
            *("licence", "licence_url", "author", "credit", "commons_sha1", "image_sha256", "format", "width"),
            *("height", "face_ratio"),
        ),
        PIXELS.columns("image"),
        EMBEDDINGS.columns("embedding"),
        PHASHES.columns("phash"),
        NEAR_DUPLICATES.columns(*NEAR_DUPLICATES.schema.names),
        *WIT_ROWS,
    ),
)
STEPS = (EMBED, WRITE_EMBEDDINGS, WRITE_PARQUET)
