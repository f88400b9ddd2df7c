"""PySpark reads a release with the code of the 2021 announcement, unchanged but for the paths."""

import base64
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.reader import Release

pyspark_sql = pytest.importorskip("pyspark.sql", reason="needs the package pyspark")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    if shutil.which("java") is None:
        pytest.skip("PySpark needs Java, and there is none on this machine")
    session = (
        pyspark_sql.SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.memory", "1g")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


def test_the_announcements_code_reads_the_pixels(spark: Any, folder: Path, release: Release) -> None:
    pixels = spark.read.csv(path=f"{folder}/image_pixels/*.csv.gz", sep="\t")
    known = {image.url: image for image in release.images()}
    rows = pixels.collect()
    assert len(rows) == len(known)
    for row in rows:
        b64_bytes = row._c1
        image = Image.open(io.BytesIO(base64.b64decode(b64_bytes)))
        image.load()
        assert image.width <= 300
        assert base64.b64decode(b64_bytes) == known[row._c0].picture
        assert row._c2 == known[row._c0].page


def test_the_announcements_code_reads_the_embeddings(spark: Any, folder: Path, release: Release) -> None:
    embeddings = spark.read.csv(path=f"{folder}/resnet_embeddings/*.csv.gz", sep="\t")
    known = dict(release.embeddings())
    rows = embeddings.collect()
    assert len(rows) == len(known)
    for row in rows:
        vector = np.array([float(number) for number in row._c1.split(",")], np.float32)
        assert vector.shape == (2048,)
        assert (vector == known[row._c0]).all()


def test_pixels_join_embeddings(spark: Any, folder: Path, release: Release) -> None:
    pixels = spark.read.csv(path=f"{folder}/image_pixels/*.csv.gz", sep="\t")
    embeddings = spark.read.csv(path=f"{folder}/resnet_embeddings/*.csv.gz", sep="\t")
    joined = pixels.join(embeddings, "_c0")
    assert joined.count() == release.manifest["counts"]["outcomes"]["released"]


def test_parquet_reads_with_the_same_content(spark: Any, folder: Path, release: Release) -> None:
    table = spark.read.parquet(f"{folder}/parquet")
    known = {row.url: row for row in release.rows()}
    rows = table.select("image_url", "image.bytes", "embedding", "wit_features", "licence", "phash").collect()
    assert len(rows) == len(known)
    for row in rows:
        assert bytes(row.bytes) == known[row.image_url].picture
        assert (np.array(row.embedding, np.float32) == known[row.image_url].embedding).all()
        assert len(row.wit_features) == len(known[row.image_url].captions)
