"""Measures a joined Parquet file against the ledger and the embedding shard: three places that must say the same.

It is read a row group at a time, out of order with its bytes, so its checksum is taken of a second reading.
"""

import hashlib
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
import pyarrow.parquet as pq

from pipelines.quality.measured import File, Image, Images
from pipelines.releases import joined
from pipelines.tables import KEY

_COLUMNS = [KEY, "image.bytes", "embedding"]


def measure_joined(opened: IO[bytes], file: File, images: Images, ledger: Mapping[str, Mapping[str, Any]]) -> None:
    """Measure each row of a joined file.

    Args:
        opened: the file; it can seek.
        file: its measurements: rows are counted, the schema is compared.
        images: measurements of the partition's images; those of its embedding shard are taken.
        ledger: rows of the partition's ledger by URL; empty if it could not be read.

    Raises:
        ValueError: the file is damaged.
        OSError: the store does not answer.

    """
    try:
        _measure(opened, file, images, ledger)
    except OSError as error:
        if error.errno is not None or type(error) is not OSError:
            raise
        raise ValueError(str(error)) from None  # what pyarrow says of damaged pages


def _measure(opened: IO[bytes], file: File, images: Images, ledger: Mapping[str, Mapping[str, Any]]) -> None:
    parquet = pq.ParquetFile(opened, pre_buffer=False)
    file.joined_schema_as_declared = parquet.schema_arrow.equals(joined.SCHEMA, check_metadata=False)
    if not file.joined_schema_as_declared:
        return
    before = ""
    file.rows = 0
    for batch in parquet.iter_batches(batch_size=joined.ROW_GROUP, columns=_COLUMNS):
        file.rows += batch.num_rows
        vectors = batch.column("embedding")
        for place, (url, picture) in enumerate(
            zip(batch.column(KEY).to_pylist(), batch.column("image").field("bytes"), strict=True)
        ):
            image = images[url or ""]
            image.joined_lines = (image.joined_lines or 0) + 1
            image.joined_sorted = image.joined_sorted is not False and (url or "") >= before
            before = url or ""
            known = ledger.get(before)
            if known is not None and known["image_sha256"] is not None:
                image.joined_as_ledger = hashlib.sha256(picture.as_py() or b"").hexdigest() == known["image_sha256"]
            if vectors[place].is_valid:
                _measure_embedding(image, vectors[place].values.to_numpy(zero_copy_only=False))


def _measure_embedding(image: Image, vector: np.ndarray) -> None:
    """Hold the extremes of a vector against those of the embedding shard: other vectors have others."""
    if image.embedding_values == len(vector) and image.embedding_not_finite == 0:
        extremes = (float(vector.min()), float(vector.max() - vector.min()))
        image.joined_embedding_as_shard = extremes == (image.embedding_min, image.embedding_spread)
