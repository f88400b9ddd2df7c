"""Measures a partition with many pictures; prints the bytes of its pixel shard's text and how far memory grew."""

import hashlib
import sys

import numpy as np
import pyarrow as pa

from pipelines.commons.names import file_page_url, original_url
from pipelines.engine.step import release_path
from pipelines.releases import shards
from pipelines.storage.store import Store
from pipelines.tables import IMAGES, KEY, LEDGER, Outcome
from tests.quality.small_release import VERSION, SmallRelease, picture
from tests.running import peak_memory

SHARD = "part-00000"
PICTURE = picture(300, 300) + b"\0" * 30_000


def main(folder: str, count: int) -> None:
    release = SmallRelease(Store(folder), partitions=1).write()
    names = sorted((f"Picture_{number:06d}.jpg" for number in range(count)), key=original_url)
    urls = [original_url(name) for name in names]
    text = 0
    with (
        release.store.write(release_path(VERSION, shards.image_shard(SHARD))) as written,
        shards.gzip_writer(written) as file,
    ):
        for name, url in zip(names, urls, strict=True):
            text += file.write(shards.pixel_rows([url], [PICTURE], [file_page_url(name)]))
    values = pa.array(np.random.default_rng(1).random(2048, dtype=np.float32))
    vector = pa.FixedSizeListArray.from_arrays(values, 2048)
    with (
        release.store.write(release_path(VERSION, shards.embedding_shard(SHARD))) as written,
        shards.gzip_writer(written) as file,
    ):
        for url in urls:
            file.write(shards.embedding_rows(pa.array([url]), vector))
    known = {"outcome": Outcome.RELEASED, "image_sha256": hashlib.sha256(PICTURE).hexdigest()}
    ledger = pa.Table.from_pylist([{KEY: url, **known} for url in urls], schema=LEDGER.schema)
    release.parquet(shards.ledger_shard(SHARD), ledger)
    release.table(IMAGES, SHARD, [{KEY: url, "name": name} for name, url in zip(names, urls, strict=True)])
    before = peak_memory()
    release.measure()
    print(text, peak_memory() - before)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
