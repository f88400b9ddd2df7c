"""A small release, made with the shards' own writers from drawn pictures, so that a test can damage one thing in it."""

import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipelines.commons.names import file_page_url, original_url, partition_of
from pipelines.config import ReleaseConfig
from pipelines.engine.partition import make_partition
from pipelines.engine.step import Context, PartitionStep, release_path, shard_keys, shard_name, table_path
from pipelines.engine.writer import open_writer
from pipelines.pipeline import Run
from pipelines.quality.partition import RECEIPTS
from pipelines.releases import joined, shards
from pipelines.stages.validate import MEASURE, conclude
from pipelines.storage.store import Store
from pipelines.tables import CANDIDATES, IMAGES, KEY, LEDGER, Outcome, Table

VERSION = "2026.11.23"
NAMES = [f"Ort_{number:02d}_Größe.jpg" for number in range(12)]
DROPPED = {10: Outcome.FACE, 11: Outcome.DELETION_CANDIDATE}


def picture(width: int, height: int, kind: str = "JPEG", shade: int = 90) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (shade, 120, 30)).save(file, kind)
    return file.getvalue()


@dataclass
class Shown:
    """A line of the pixel, the embedding and the caption shard, to be damaged at will."""

    url: str
    image: bytes
    page: str
    embedding: np.ndarray


@dataclass
class SmallRelease:
    """The parts of a release, partition by partition; `write` makes files of them."""

    store: Store
    partitions: int = 2
    shown: list[list[Shown]] = field(default_factory=list)
    ledger: list[list[dict[str, Any]]] = field(default_factory=list)
    images: list[list[dict[str, Any]]] = field(default_factory=list)
    captions: list[list[dict[str, Any]]] = field(default_factory=list)
    candidates: list[list[dict[str, Any]]] = field(default_factory=list)
    embedded: list[list[tuple[str, np.ndarray]]] | None = None
    receipts: dict[str, dict[str, Any]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    base: str = ""
    version: str = VERSION

    def __post_init__(self) -> None:
        for part in (self.shown, self.ledger, self.images, self.captions, self.candidates):
            part.extend([] for _ in range(self.partitions))
        for number, name in sorted(enumerate(NAMES), key=lambda one: original_url(one[1])):
            self._add(number, name)
        self._drawn = {line.url: line for lines in self.shown for line in lines}

    @property
    def context(self) -> Context:
        config = ReleaseConfig.parse(
            {
                "origin": "demo",
                "media_url": "http://127.0.0.1",
                "api_url": "http://127.0.0.1",
                "partitions": self.partitions,
            }
            | self.settings
        )
        return Context(config, self.version, self.store, observation=self.version, base=self.base)

    def _add(self, number: int, name: str) -> None:
        shard, url, page = partition_of(name, self.partitions), original_url(name), file_page_url(name)
        width, height = (250, 125) if number % 3 else (330, 220)
        data = picture(min(300, width), round(min(300, width) * height / width), "PNG" if number % 4 == 1 else "JPEG")
        outcome = DROPPED.get(number, Outcome.RELEASED)
        released = outcome is Outcome.RELEASED
        self.images[shard].append({KEY: url, "name": name, "site": "commons", "metadata_url": page})
        digest = hashlib.sha256(data).hexdigest()
        self.ledger[shard].append(
            {KEY: url, "outcome": outcome, "detail": "", "commons_name": name, "metadata_url": page}
            | {"original_width": 2 * width, "original_height": 2 * height, "face_ratio": 0.02, "face_union": 0.03}
            | {"fetched_width": width, "fetched_height": height, "image_sha256": digest if released else None}
        )
        if not released:
            return
        embedding = np.random.default_rng(number).random(2048, dtype=np.float32)
        self.shown[shard].append(Shown(url, data, page, embedding))
        for language in ("de", "nn"):
            caption = {name: "" for name in shards.CAPTION_COLUMNS}
            described = "Größe,\t»Ort«" if language == "de" else ""
            self.captions[shard].append(
                caption | {KEY: url, "language": language, "caption_reference_description": described}
            )

    # Making it

    def write(self) -> "SmallRelease":
        """Write all files, and what the stages note of them."""
        for shard in range(self.partitions):
            key = shard_name(shard)
            lines = self.shown[shard]
            self.table(IMAGES, key, self.images[shard])
            self.table(CANDIDATES, key, self.candidates[shard])
            self.file(
                shards.image_shard(key),
                shards.pixel_rows(
                    [line.url for line in lines], [line.image for line in lines], [line.page for line in lines]
                ),
                len(lines),
            )
            embedded = [(line.url, line.embedding) for line in lines] if self.embedded is None else self.embedded[shard]
            text = "".join(f"{url}\t{','.join(str(value) for value in vector)}\n" for url, vector in embedded)
            self.file(shards.embedding_shard(key), text.encode(), len(embedded))
            rows = [{name: row.get(name) for name in shards.CAPTION_COLUMNS} for row in self.captions[shard]]
            table = pa.Table.from_pylist(
                rows, schema=pa.schema([(name, pa.string()) for name in shards.CAPTION_COLUMNS])
            )
            self.file(shards.caption_shard(key), shards.header() + shards.caption_rows(table), len(rows))
            self.parquet(shards.ledger_shard(key), pa.Table.from_pylist(self.ledger[shard], schema=LEDGER.schema))
            rows = [self._joined(row) for row in self.ledger[shard] if row["outcome"] == Outcome.RELEASED]
            self.parquet(joined.shard(key), pa.Table.from_pylist(rows, schema=joined.SCHEMA))
        return self

    def _joined(self, known: dict[str, Any]) -> dict[str, Any]:
        """Return the row of the joined file that the ledger demands, whatever became of the shards."""
        url = known[KEY]
        line = next((line for lines in self.shown for line in lines if line.url == url), None) or self._drawn[url]
        vector = np.resize(line.embedding, 2048)
        return {KEY: url, "image": {"bytes": line.image, "path": known["commons_name"]}, "embedding": vector.tolist()}

    def file(self, path: str, text: bytes, rows: int) -> None:
        """Write a gzipped file of the release, with its receipt."""
        with self.store.write(release_path(self.version, path)) as written, shards.gzip_writer(written) as file:
            file.write(text)
        self._note(path, rows)

    def parquet(self, path: str, table: pa.Table) -> None:
        with self.store.write(release_path(self.version, path)) as written:
            pq.write_table(table, pa.PythonFile(written.file, mode="w"))
        self._note(path, table.num_rows)

    def _note(self, path: str, rows: int) -> None:
        where = release_path(self.version, path)
        size, digest = self.store.size(where), self.store.sha256(where)
        self.receipts[path] = {"path": path, "rows": rows, "bytes": size, "sha256": digest}

    def table(self, table: Table, key: str, rows: Sequence[dict[str, Any]]) -> None:
        """Write a partition of a table between stages."""
        step = PartitionStep(writes=table, run=lambda task: iter(()))
        with open_writer(self.store, table_path(table.name, key), step) as writer:
            writer.write(pa.Table.from_pylist(list(rows), schema=table.schema))
            writer.finish("", "", Counter())

    # Changing files behind the program's back

    def read(self, path: str) -> bytes:
        with self.store.open(release_path(self.version, path)) as file:
            return file.read()

    def overwrite(self, path: str, data: bytes) -> None:
        with self.store.write(release_path(self.version, path)) as written:
            written.file.write(data)

    def remove(self, path: str) -> None:
        self.store.remove(release_path(self.version, path))

    # Judging it

    def note_receipts(self) -> "SmallRelease":
        """Write what the stages noted of the files."""
        folders = dict(
            zip(("image_pixels", "resnet_embeddings", "captions", "ledger", "parquet"), RECEIPTS, strict=True)
        )
        for shard in range(self.partitions):
            for folder, table in folders.items():
                paths = [path for path in self.receipts if path.startswith(f"{folder}/{shard_name(shard)}")]
                self.table(table, shard_name(shard), [self.receipts[path] for path in paths])
        return self

    def measure(self) -> "SmallRelease":
        self.note_receipts()
        for key in shard_keys(self.context):
            make_partition(self.context, MEASURE, key, progress=lambda rows: None, leases=lambda kind: None)
        return self

    def page(self, name: str) -> str:
        """Return a page of the Data Docs."""
        return self.read(f"quality/{name}").decode()

    def validate(self) -> dict[str, int]:
        """Run the stage; raises what it raises."""
        self.measure()
        return dict(conclude(Run(self.context, client=None)))  # type: ignore[arg-type]
