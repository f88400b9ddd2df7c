"""Measures the files of one partition of a release: the ledger first, since it says what the others must hold."""

import io
from collections import Counter
from collections.abc import Callable, Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.commons.names import MalformedUrl, original_url, parse_image_url, partition_of
from pipelines.engine.step import Task, release_path, shard_name
from pipelines.quality.captions import measure_captions
from pipelines.quality.embeddings import measure_embeddings
from pipelines.quality.joined_files import measure_joined
from pipelines.quality.measured import File, Image, Images, Language, as_tables
from pipelines.quality.pixels import measure_pixels
from pipelines.quality.reading import read_release_file
from pipelines.releases import joined, shards
from pipelines.removals.takedowns import TakenDown
from pipelines.tables import (
    CANDIDATES,
    CAPTION_FILES,
    EMBEDDING_FILES,
    IMAGES,
    KEY,
    LEDGER,
    LEDGER_FILES,
    PARQUET_FILES,
    PIXEL_FILES,
    Outcome,
)

RECEIPTS = (PIXEL_FILES, EMBEDDING_FILES, CAPTION_FILES, LEDGER_FILES, PARQUET_FILES)
"""The tables in which the stages noted what they wrote."""


_LEDGER_COLUMNS = [
    *(KEY, "outcome", "commons_name", "commons_sha1", "image_sha256", "face_ratio", "face_union"),
    *("original_width", "original_height", "fetched_width", "fetched_height"),
]


def measured_paths(key: str) -> tuple[str, ...]:
    """Return the files of a partition that are measured, below the release."""
    return (
        shards.ledger_shard(key),
        shards.image_shard(key),
        shards.embedding_shard(key),
        shards.caption_shard(key),
        joined.shard(key),
    )


def measure_partition(task: Task) -> Iterator[pa.Table]:
    """Measure a partition's files; yield rows of the measurements table."""
    partition = _Partition(task)
    partition.measure()
    images = [partition.images[url] for url in sorted(partition.images)]
    languages = [Language(name, rows) for name, rows in sorted(partition.languages.items())]
    task.progress(len(images))
    yield from as_tables(images, task.key)
    yield from as_tables(partition.files, task.key)
    yield from as_tables(languages, task.key)


class _Partition:
    """What is known of a partition while its files are read one after the other."""

    def __init__(self, task: Task) -> None:
        self._task = task
        selected = task.table(IMAGES)
        self._names = dict(zip(selected.column(KEY).to_pylist(), selected.column("name").to_pylist(), strict=True))
        self._receipts = {row["path"]: row for table in RECEIPTS for row in task.table(table).to_pylist()}
        self._ledger: dict[str, dict[str, Any]] = {}
        self.images = Images()
        self.files: list[File] = []
        self.languages: Counter[str] = Counter()

    def measure(self) -> None:
        for url in self._names:
            self.images[url].selected = True
        ledger, pixels, embeddings, captions, whole = measured_paths(self._task.key)
        if self._read(ledger, self._read_ledger):
            self._note_outcomes()
        width = self._task.config.image_width
        pixels_whole = self._read(
            pixels, lambda shard, file: measure_pixels(shard, file, self.images, self._ledger, width)
        )
        embeddings_whole = self._read(embeddings, lambda shard, file: measure_embeddings(shard, file, self.images))
        captions_whole = self._read(
            captions, lambda shard, file: measure_captions(shard, file, self.images, self.languages)
        )
        joined_whole = self._read(whole, lambda shard, file: self._read_joined(file))
        for image in self.images.values():
            self._note_place(image)
            # What a whole file does not hold is not there; of what a damaged one holds, nothing is known.
            if pixels_whole:
                image.pixel_lines = image.pixel_lines or 0
            if embeddings_whole:
                image.embedding_lines = image.embedding_lines or 0
            if joined_whole:
                image.joined_lines = image.joined_lines or 0
            if not embeddings_whole:
                image.joined_embedding_as_shard = None
            if captions_whole and image.released_lines:
                image.caption_rows = image.caption_rows or 0
                image.captions = image.captions or 0

    def _read(self, path: str, measure: Callable[[IO[bytes], File], None]) -> bool:
        self.files.append(read_release_file(self._task.context, path, self._receipts.get(path), measure))
        return self.files[-1].whole

    def _read_ledger(self, shard: IO[bytes], file: File) -> None:
        data = io.BytesIO(shard.read())
        try:
            table = pq.read_table(data)
        except OSError as error:  # what pyarrow says of damaged pages; the bytes are here, so it is not the store
            raise ValueError(str(error)) from None
        file.rows = table.num_rows
        file.schema_as_declared = table.schema.equals(LEDGER.schema, check_metadata=False)
        if file.schema_as_declared:
            for row in table.select(_LEDGER_COLUMNS).to_pylist():
                image = self.images[row[KEY]]
                image.ledger_lines = (image.ledger_lines or 0) + 1
                self._ledger[row[KEY]] = row

    def _read_joined(self, file: File) -> None:
        with self._task.context.store.open(release_path(self._task.context.version, file.path)) as opened:
            measure_joined(opened, file, self.images, self._ledger)

    def _note_outcomes(self) -> None:
        """Note of each image what the ledger says of it, and whether that may be."""
        self.images.ledger_was_read = True
        for image in self.images.values():
            image.ledger_lines = image.ledger_lines or 0
            image.released_lines = 0
        candidates = set(self._task.table(CANDIDATES).column(KEY).to_pylist())
        takedowns = TakenDown.of(self._task.context.store)
        share = "face_ratio" if self._task.config.face_rule == "largest" else "face_union"
        for url, row in self._ledger.items():
            image = self.images[url]
            image.selected = url in self._names
            image.outcome = row["outcome"] or ""
            image.fetch_failed = int(row["outcome"] == Outcome.FETCH_FAILED)
            image.undecodable = int(row["outcome"] == Outcome.UNDECODABLE)
            if row["outcome"] == Outcome.RELEASED:
                image.released_lines = 1
                image.released_faces_measured = row[share] is not None
                image.released_face_share = row[share]
                image.released_candidate = url in candidates
                names = (row["commons_name"], self._names.get(url))
                image.released_taken_down = takedowns.entry(url, names, row["commons_sha1"]) is not None

    def _note_place(self, image: Image) -> None:
        """Note what the URL itself says, and whether it stands where it must."""
        try:
            parsed = parse_image_url(image.image_url)
            name = parsed.name
            image.canonical = original_url(parsed) == image.image_url
        except MalformedUrl:
            name = image.image_url
            image.canonical = False if image.released_lines else None
        image.in_its_partition = self._task.key == shard_name(partition_of(name, self._task.config.partitions))
