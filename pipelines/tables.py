"""The Arrow schema of every table that passes between stages, in one place.

Every table is kept as one Parquet file per partition, sorted by ``image_url``, the key that joins them all. A *payload*
column is identified by another column of the table (a picture by its sha256), so it takes no part in fingerprints, and
its bytes may be removed once they are no longer wanted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pyarrow as pa

KEY = "image_url"


class Outcome(StrEnum):
    """What became of an image. Every image considered has exactly one, in this order of precedence."""

    TAKEN_DOWN = "taken_down"
    NOT_ON_COMMONS = "not_on_commons"
    MISSING = "missing"
    UNSUPPORTED_TYPE = "unsupported_type"
    UNDECODABLE = "undecodable"
    FETCH_FAILED = "fetch_failed"
    DELETION_CANDIDATE = "deletion_candidate"
    FACE = "face"
    RELEASED = "released"


class Change(StrEnum):
    """What became of an image since the release before."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


FETCHED = "fetched"
"""The status of a picture that was fetched and made …"""

PURGED = "purged"
"""… and of one whose pixels were removed because a release dropped it; every other status is an outcome."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table between stages: its name (the folder under ``work/``), its columns, and which of them are payload."""

    name: str
    schema: pa.Schema
    payload: frozenset[str] = frozenset()

    def columns(self, *columns: str, keys: Callable[[Any], Sequence[str]] | None = None) -> "Reads":
        """Declare that a step reads these columns of the table.

        Args:
            columns: nothing else of the table can change the step's result.
            keys: the partitions that are read, given the run's Context; None means the one of the same key.

        """
        unknown = set(columns) - set(self.schema.names)
        if unknown:
            raise ValueError(f"{self.name} has no columns {sorted(unknown)}")
        return Reads(self, columns, keys)


@dataclass(frozen=True, slots=True)
class Reads:
    """An input of a step: see `Table.columns`."""

    table: Table
    columns: tuple[str, ...]
    keys: Callable[[Any], Sequence[str]] | None = None


def _table(name: str, *fields: tuple[str, pa.DataType], payload: tuple[str, ...] = ()) -> Table:
    return Table(name, pa.schema(list(fields)), frozenset(payload))


WIT_COLUMNS = (
    "language",
    "page_url",
    "image_url",
    "page_title",
    "section_title",
    "hierarchical_section_title",
    "caption_reference_description",
    "caption_attribution_description",
    "caption_alt_text_description",
    "mime_type",
    "original_height",
    "original_width",
    "is_main_image",
    "attribution_passes_lang_id",
    "page_changed_recently",
    "context_page_description",
    "context_section_description",
)
"""WIT's 17 columns in the order of its files."""

WIT_INTEGERS = ("original_height", "original_width")
WIT_BOOLEANS = ("is_main_image", "attribution_passes_lang_id", "page_changed_recently")


def wit_type(column: str) -> pa.DataType:
    """Return the Arrow type of a WIT column."""
    if column in WIT_INTEGERS:
        return pa.int32()
    return pa.bool_() if column in WIT_BOOLEANS else pa.string()


PULLED = _table(
    "pulled",
    ("partition", pa.int32()),  # null in the row about the WIT file itself
    ("path", pa.string()),  # of the rows of one WIT file that fall into the partition, or of that file
    ("rows", pa.int64()),
    ("sha256", pa.string()),  # null for a WIT file that was not read to its end
    ("facts_path", pa.string()),  # of the facts of the same rows
    ("facts_sha256", pa.string()),
)
"""Where the rows of one WIT file went. One table per WIT file."""

_wit_fields = [(column, wit_type(column)) for column in WIT_COLUMNS if column != KEY]

ROW = pa.schema(
    [
        (KEY, pa.string()),  # canonical: https, percent-encoded, no query
        ("wit_image_url", pa.string()),  # as WIT spells it in this row
        *_wit_fields,
    ]
)
"""A row of WIT."""

DEALT_ROW = pa.schema([(KEY, pa.string()), ("cells", pa.binary())])
"""A row of WIT as pull_rows deals it out, its cells in one piece; see `pipelines.pulled`."""

FACTS = pa.schema(
    [
        (KEY, pa.string()),
        ("name", pa.string()),  # of the file; null where the URL names none
        ("wit_image_url", pa.string()),
        ("mime_type", pa.string()),
        ("original_width", pa.int32()),
        ("original_height", pa.int32()),
        ("captioned", pa.bool_()),  # whether anything is left of the reference description after a Unicode strip
        ("row_sha256", pa.binary(32)),  # of all cells
    ]
)
"""What pull_rows needs to know of a row to select images."""

IMAGES = _table(
    "images",
    (KEY, pa.string()),
    ("name", pa.string()),  # decoded file name with underscores; the file's identity on Commons
    ("site", pa.string()),  # "commons", "en.wikipedia", …; null when the URL names no Wikimedia file
    ("wit_image_url", pa.string()),  # the first spelling in WIT
    ("metadata_url", pa.string()),  # the file page
    ("wit_mime_type", pa.string()),
    ("wit_width", pa.int32()),
    ("wit_height", pa.int32()),
    ("wit_rows_sha256", pa.string()),  # of the content of all its rows, whatever their order
)
"""One row for each selected image."""

DESCRIPTIONS = _table(
    "descriptions",
    (KEY, pa.string()),
    ("exists", pa.bool_()),  # null: not asked, because the image is not on Commons
    ("title", pa.string()),  # the file's name today; differs from the asked name after a move
    ("sha1", pa.string()),  # of the original, in hex
    ("timestamp", pa.string()),  # of the newest upload, ISO 8601
    ("mime", pa.string()),
    ("bytes", pa.int64()),
    ("original_width", pa.int32()),
    ("original_height", pa.int32()),
    ("licence", pa.string()),
    ("licence_url", pa.string()),
    ("author", pa.string()),
    ("credit", pa.string()),
    ("attribution_required", pa.bool_()),
)
"""What the Action API says of each file."""

PIXELS = _table(
    "pixels",
    (KEY, pa.string()),
    ("title", pa.string()),  # the file that the picture was made from,
    ("sha1", pa.string()),  # the digest of its original
    ("timestamp", pa.string()),  # and its upload time: the picture is reused while all three are the same
    ("status", pa.string()),  # FETCHED, PURGED, or the outcome that stopped it
    ("detail", pa.string()),
    ("fetched_url", pa.string()),
    ("fetched_bytes", pa.int64()),
    ("fetched_sha256", pa.string()),
    ("fetched_width", pa.int32()),
    ("fetched_height", pa.int32()),
    ("etag", pa.string()),
    ("last_modified", pa.string()),
    ("format", pa.string()),  # "JPEG" or "PNG"
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("bytes", pa.int64()),  # of the picture
    ("sha256", pa.string()),  # of the picture
    ("image", pa.binary()),  # the picture, encoded
    payload=("image",),
)
"""The 300-px picture of each image, or why there is none."""

FACE = pa.struct(
    [("x0", pa.float32()), ("y0", pa.float32()), ("x1", pa.float32()), ("y1", pa.float32()), ("score", pa.float32())]
)

FACES = _table(
    "faces",
    (KEY, pa.string()),
    ("sha256", pa.string()),  # of the picture that was looked at; null: there was none
    ("faces", pa.list_(FACE)),  # boxes in pixels of the picture, best score first
    ("processor", pa.string()),  # and precision that found them, as in "cuda bf16": last digits depend on it
)
"""Every face that the detector saw, whatever its size: the decision is taken in a later step."""

PAGES_GONE = _table("pages_gone", ("title", pa.string()), ("setting", pa.string()))
"""Categories and templates in the settings that Commons does not have, and so mark no deletion candidate."""

DELETION_MARKS = _table("deletion_marks", ("name", pa.string()), ("reason", pa.string()))
"""Every deletion candidate on Commons, one table for all partitions."""

CANDIDATES = _table("candidates", (KEY, pa.string()), ("reason", pa.string()))
"""The deletion candidates among the partition's images; only those have a row."""

LEDGER = _table(
    "ledger",
    (KEY, pa.string()),
    ("wit_image_url", pa.string()),
    ("metadata_url", pa.string()),
    ("outcome", pa.string()),
    ("detail", pa.string()),  # in words
    ("commons_name", pa.string()),
    ("commons_sha1", pa.string()),
    ("commons_timestamp", pa.string()),
    ("mime_type", pa.string()),
    ("original_width", pa.int32()),
    ("original_height", pa.int32()),
    ("licence", pa.string()),
    ("licence_url", pa.string()),
    ("author", pa.string()),
    ("credit", pa.string()),
    ("attribution_required", pa.bool_()),
    ("fetched_url", pa.string()),
    ("fetched_width", pa.int32()),
    ("fetched_height", pa.int32()),
    ("fetched_sha256", pa.string()),
    ("format", pa.string()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("image_sha256", pa.string()),  # of the released picture; null for every other outcome
    ("image_bytes", pa.int64()),
    ("faces", pa.int32()),
    ("face_ratio", pa.float64()),  # largest face ∩ image over image area
    ("face_union", pa.float64()),  # all faces together
    ("wit_rows_sha256", pa.string()),  # of the content of all its WIT rows: captions, pages, titles
)
"""Every image considered, and its outcome. It is part of the release."""

EMBEDDINGS = _table(
    "embeddings",
    (KEY, pa.string()),
    ("image_sha256", pa.string()),  # null where the image is not released
    ("embedding", pa.list_(pa.float32(), 2048)),
    ("processor", pa.string()),  # as that of FACES
)
"""The 2048 features of each released picture; null where an image is not released."""


CHANGES = _table(
    "changes",
    (KEY, pa.string()),
    ("change", pa.string()),  # Change
    ("reason", pa.string()),  # in words
    # Of an image in both releases: what is different, in the order of changes.WHAT. Its type as Parquet gives it back.
    ("what", pa.list_(pa.field("element", pa.string()))),
    ("commons_name", pa.string()),  # the file's name when it was last considered
    ("outcome_before", pa.string()),  # null: it was not considered
    ("outcome", pa.string()),  # null: it is not considered any more
    ("image_sha256_before", pa.string()),
    ("image_sha256", pa.string()),
    ("licence_before", pa.string()),
    ("licence", pa.string()),
)
"""The images that the release before has and this one has not, or the other way round, or otherwise."""


def files_table(name: str) -> Table:
    """Return the table of receipts for the files of the release that a step writes for a partition."""
    return _table(
        name,
        ("path", pa.string()),  # below releases/<version>/
        ("rows", pa.int64()),
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
    )


PHASHES = _table(
    "phashes",
    (KEY, pa.string()),
    ("image_sha256", pa.string()),  # null where the image is not released
    ("phash", pa.uint64()),  # null there, and where a picture is too plain to have one
)
"""What each released picture looks like, in 64 bits."""

_looks_like = ((KEY, pa.string()), ("near_duplicate_of", pa.string()))

SIMILAR = _table("similar", *_looks_like)
"""Every released picture that looks like another one of smaller URL, one table for all partitions."""

NEAR_DUPLICATES = _table("near_duplicates", *_looks_like)
"""Those of the partition."""

PIXEL_FILES = files_table("pixel_files")
CAPTION_FILES = files_table("caption_files")
LEDGER_FILES = files_table("ledger_files")
CHANGE_FILES = files_table("change_files")
EMBEDDING_FILES = files_table("embedding_files")
PARQUET_FILES = files_table("parquet_files")

MEASUREMENTS = _table(
    "measurements",
    ("about", pa.string()),  # "image", "file", "language" or "drift": what the row measures; other columns are null
    ("partition", pa.string()),
    # An image, wherever in the release's files its URL stands. Null: does not apply, or the file could not be read.
    (KEY, pa.string()),
    ("selected", pa.bool_()),  # it is among the images selected from WIT; null: neither there nor in the ledger
    ("partitions_of_url", pa.int32()),  # in which it stands; known only when all were measured
    ("in_its_partition", pa.bool_()),
    ("canonical", pa.bool_()),  # its URL is spelled as its file name demands; null where it names no file
    ("ledger_lines", pa.int32()),
    ("outcome", pa.string()),
    ("released_lines", pa.int32()),  # lines that it must have in a shard: 1 when the ledger says released, else 0
    ("fetch_failed", pa.int32()),  # 1 or 0
    ("undecodable", pa.int32()),  # 1 or 0
    ("released_faces_measured", pa.bool_()),
    ("released_face_share", pa.float64()),  # what face_rule holds against the threshold
    ("released_candidate", pa.bool_()),
    ("released_taken_down", pa.bool_()),
    ("pixel_lines", pa.int32()),
    ("pixel_sorted", pa.bool_()),  # after the URL of the line before
    ("pixel_error", pa.string()),
    ("pixel_format", pa.string()),
    ("pixel_complete", pa.bool_()),  # it ends as its format demands
    ("pixel_bytes", pa.int64()),
    ("pixel_width", pa.int32()),
    ("pixel_width_expected", pa.int32()),
    ("pixel_stretch", pa.float64()),  # pixels of height by which its aspect is off what was fetched
    ("pixel_stretch_original", pa.float64()),  # … off the original as Commons describes it
    ("pixel_as_ledger", pa.bool_()),  # its sha256 is the ledger's
    ("page_as_url", pa.bool_()),  # metadata_url is the page of the file that image_url names
    ("embedding_lines", pa.int32()),
    ("embedding_sorted", pa.bool_()),
    ("embedding_error", pa.string()),
    ("embedding_values", pa.int32()),
    ("embedding_not_finite", pa.int32()),  # values that are not
    ("embedding_min", pa.float64()),
    ("embedding_spread", pa.float64()),  # greatest less smallest value
    ("caption_rows", pa.int32()),  # of a released image
    ("captions", pa.int32()),  # of a released image: rows whose reference description is not blank
    ("stray_caption_rows", pa.int32()),  # of an image that is not released
    ("caption_errors", pa.int32()),  # rows that have other fields than the header
    ("joined_lines", pa.int32()),  # rows of the joined Parquet file
    ("joined_sorted", pa.bool_()),
    ("joined_as_ledger", pa.bool_()),  # the sha256 of its picture is the ledger's
    ("joined_embedding_as_shard", pa.bool_()),  # least value and spread are those of the embedding shard
    # A file
    ("path", pa.string()),  # below releases/<version>/
    ("folder", pa.string()),
    ("present", pa.bool_()),
    ("expected", pa.bool_()),  # false: a file that no stage wrote
    ("error", pa.string()),  # why it could not be read to its end
    ("header_as_declared", pa.bool_()),  # of a caption file
    ("schema_as_declared", pa.bool_()),  # of a ledger file
    ("joined_schema_as_declared", pa.bool_()),  # of a joined Parquet file
    ("rows", pa.int64()),
    ("bytes", pa.int64()),
    ("sha256", pa.string()),
    ("receipt_rows", pa.int64()),
    ("receipt_bytes", pa.int64()),
    ("receipt_sha256", pa.string()),
    ("size_ratio", pa.float64()),  # bytes over the mean of its folder; null in small releases
    ("embedding_sum", pa.list_(pa.float64())),  # of an embedding file: the sum of its whole, finite embeddings
    ("embeddings_summed", pa.int64()),
    # A language of caption rows
    ("language", pa.string()),
    ("language_rows", pa.int64()),
    # A number of this release and of the published one before it
    ("drift_of", pa.string()),
    ("before", pa.float64()),
    ("now", pa.float64()),
    ("images_moved", pa.float64()),  # over those before
    ("outcome_share_moved", pa.float64()),
    ("language_moved", pa.float64()),  # rows, over those before
    ("mean_embedding_moved", pa.float64()),  # 1 less the cosine of the angle between the two
)
"""What validation measured in the release's own files; the expectations are about these columns."""
