"""The PySpark code of the 2021 announcement over a release on disk; prints what it read as JSON.

    build/spark/bin/python tests/consumers/announcement.py RELEASE

It runs in an environment of its own (``make spark-env``): Great Expectations imports PySpark wherever it is installed.
"""

import base64
import hashlib
import io
import json
import struct
import sys

from PIL import Image
from pyspark.sql import SparkSession


def main(folder: str) -> None:
    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.memory", "1g")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    pixels = spark.read.csv(path=f"{folder}/image_pixels/*.csv.gz", sep="\t")
    embeddings = spark.read.csv(path=f"{folder}/resnet_embeddings/*.csv.gz", sep="\t")
    read = {"pixels": {}, "embeddings": {}, "joined": pixels.join(embeddings, "_c0").count()}
    for row in pixels.collect():
        picture = base64.b64decode(row._c1)
        image = Image.open(io.BytesIO(picture))
        image.load()
        read["pixels"][row._c0] = [hashlib.sha256(picture).hexdigest(), image.width, row._c2]
    for row in embeddings.collect():
        read["embeddings"][row._c0] = digest([float(number) for number in row._c1.split(",")])
    columns = ("image_url", "image.bytes", "embedding", "wit_features", "licence", "phash")
    table = spark.read.parquet(f"{folder}/parquet").select(*columns)
    read["parquet"] = {
        row.image_url: [
            hashlib.sha256(row.bytes).hexdigest(),
            digest(row.embedding),
            len(row.wit_features),
            row.licence,
        ]
        for row in table.collect()
    }
    json.dump(read, sys.stdout)


def digest(vector: list[float]) -> str:
    return hashlib.sha256(struct.pack(f"<{len(vector)}f", *vector)).hexdigest()


if __name__ == "__main__":
    main(sys.argv[1])
