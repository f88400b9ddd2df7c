"""Measures an embedding shard, line by line."""

from typing import IO

import numpy as np

from pipelines.quality.measured import File, Images
from pipelines.releases import shards
from pipelines.tables import EMBEDDINGS


def measure_embeddings(shard: IO[bytes], file: File, images: Images) -> None:
    """Measure each embedding of a shard.

    Args:
        shard: the gzipped file.
        file: its measurements: rows are counted, and whole, finite embeddings added up.
        images: measurements of the partition's images.

    Raises:
        Exception: one of `shards.DAMAGE`: the shard is damaged from here on.

    """
    before = ""
    file.rows = 0
    total = np.zeros(EMBEDDINGS.schema.field("embedding").type.list_size)
    summed = 0
    for number, fields in shards.read_lines(shard):
        file.rows = number
        url = fields[0]
        image = images[url]
        image.embedding_lines = (image.embedding_lines or 0) + 1
        image.embedding_sorted = image.embedding_sorted is not False and url >= before
        before = url
        if image.embedding_lines > 1:
            continue
        try:
            _, vector = shards.embedding_row(number, fields)
        except ValueError as error:
            image.embedding_error = str(error)
            continue
        finite = np.isfinite(vector)
        image.embedding_values = len(vector)
        image.embedding_not_finite = int((~finite).sum())
        if finite.any():
            image.embedding_min = float(vector[finite].min())
            image.embedding_spread = float(vector[finite].max() - vector[finite].min())
        if finite.all() and len(vector) == len(total):
            total += vector
            summed += 1
    file.embedding_sum, file.embeddings_summed = total, summed
