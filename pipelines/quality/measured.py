"""What was measured, row by row: an image, a file, a language of the caption rows, or what moved since last time.

The fields are columns of the measurements table, where they are explained. Null means that a measurement does not apply
or could not be taken; expectations pass over nulls, so that one damaged file fails the expectation about that file and
not every other one as well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

from pipelines.quality.drift import Drift
from pipelines.tables import MEASUREMENTS

_BATCH = 4096


@dataclass(slots=True)
class Image:
    """An image, wherever in a partition's files its URL stands."""

    image_url: str
    selected: bool | None = None
    in_its_partition: bool | None = None
    canonical: bool | None = None
    ledger_lines: int | None = None
    outcome: str | None = None
    released_lines: int | None = None
    fetch_failed: int | None = None
    undecodable: int | None = None
    released_faces_measured: bool | None = None
    released_face_share: float | None = None
    released_candidate: bool | None = None
    released_taken_down: bool | None = None
    pixel_lines: int | None = None
    pixel_sorted: bool | None = None
    pixel_error: str | None = None
    pixel_format: str | None = None
    pixel_complete: bool | None = None
    pixel_bytes: int | None = None
    pixel_width: int | None = None
    pixel_width_expected: int | None = None
    pixel_stretch: float | None = None
    pixel_stretch_original: float | None = None
    pixel_as_ledger: bool | None = None
    page_as_url: bool | None = None
    embedding_lines: int | None = None
    embedding_sorted: bool | None = None
    embedding_error: str | None = None
    embedding_values: int | None = None
    embedding_not_finite: int | None = None
    embedding_min: float | None = None
    embedding_spread: float | None = None
    caption_rows: int | None = None
    captions: int | None = None
    stray_caption_rows: int | None = None
    caption_errors: int | None = None
    joined_lines: int | None = None
    joined_sorted: bool | None = None
    joined_as_ledger: bool | None = None
    joined_embedding_as_shard: bool | None = None


@dataclass(slots=True)
class File:
    """A file of the release, as it was read."""

    path: str
    folder: str
    present: bool
    expected: bool = True
    error: str | None = None
    header_as_declared: bool | None = None
    schema_as_declared: bool | None = None
    joined_schema_as_declared: bool | None = None
    rows: int | None = None
    bytes: int | None = None
    sha256: str | None = None
    receipt_rows: int | None = None
    receipt_bytes: int | None = None
    receipt_sha256: str | None = None
    size_ratio: float | None = None
    embedding_sum: np.ndarray | None = None
    embeddings_summed: int | None = None

    @property
    def whole(self) -> bool:
        """Whether it was read to its end, and as what it should be."""
        declared = (self.header_as_declared, self.schema_as_declared, self.joined_schema_as_declared)
        return self.present and self.error is None and False not in declared


@dataclass(slots=True)
class Language:
    """The caption rows of a language in a partition."""

    language: str
    language_rows: int


class Images(dict[str, Image]):
    """The images of a partition by their URL; one that is asked for and not there begins to be measured.

    Once the ledger was read, ``released_lines`` of one that it does not know is 0.
    """

    ledger_was_read = False

    def __missing__(self, url: str) -> Image:
        """Begin a row."""
        self[url] = Image(url, released_lines=0 if self.ledger_was_read else None)
        return self[url]


_ABOUT = {Image: "image", File: "file", Language: "language", Drift: "drift"}

Rows = Sequence[Image] | Sequence[File] | Sequence[Language] | Sequence[Drift]


def as_tables(rows: Rows, partition: str) -> Iterator[pa.Table]:
    """Return measurements of one kind as rows of the measurements table, some thousand at a time."""
    for start in range(0, len(rows), _BATCH):
        some = rows[start : start + _BATCH]
        kind = type(some[0])
        names = [field.name for field in fields(kind)]
        columns: dict[str, list[object]] = {name: [getattr(row, name) for row in some] for name in names}
        columns["about"] = [_ABOUT[kind]] * len(some)
        columns["partition"] = [partition] * len(some)
        arrays = [
            pa.array(columns[column.name], column.type) if column.name in columns else pa.nulls(len(some), column.type)
            for column in MEASUREMENTS.schema
        ]
        yield pa.Table.from_arrays(arrays, schema=MEASUREMENTS.schema)
