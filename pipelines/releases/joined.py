"""parquet/: one row for each image with all that the release has of it, as wikimedia/wit_base has it, and more.

Column names and types are those of wit_base on Hugging Face; the columns after ``wit_features`` are new. Row groups are
small, with page index, and a Bloom filter on the URL, so that one picture is read without the megabytes around it.
"""

import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.releases.shards import TITLE_AND_CAPTION, title_and_caption
from pipelines.storage.store import Written
from pipelines.tables import KEY, wit_type

FOLDER = "parquet"
ROW_GROUP = 128
"""Some 4 MB of pictures: what a reader without page index reads to show one."""

_PAGE = 16
_DENSE = ("image.bytes", "embedding.list.element")
"""Compressed already, or as good as random."""

_REPEATED = ["mime_type", "licence", "licence_url", "wit_features.list.element.language"]

_FEATURES = (
    "language",
    "page_url",
    "attribution_passes_lang_id",
    "caption_alt_text_description",
    "caption_reference_description",
    TITLE_AND_CAPTION,
    "context_page_description",
    "context_section_description",
    "hierarchical_section_title",
    "is_main_image",
    "page_changed_recently",
    "page_title",
    "section_title",
)
"""The fields of ``wit_features`` in wit_base's order: a caption row without what belongs to the image."""

FEATURE = pa.struct([(name, wit_type(name)) for name in _FEATURES])

_COLUMNS = pa.schema(
    [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        (KEY, pa.string()),
        ("embedding", pa.list_(pa.float32(), 2048)),
        ("metadata_url", pa.string()),
        ("original_height", pa.int32()),
        ("original_width", pa.int32()),
        ("mime_type", pa.string()),
        ("caption_attribution_description", pa.string()),
        ("wit_features", pa.list_(FEATURE)),
        ("wit_image_url", pa.string()),
        ("licence", pa.string()),
        ("licence_url", pa.string()),
        ("author", pa.string()),
        ("credit", pa.string()),
        ("commons_sha1", pa.string()),
        ("image_sha256", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("face_ratio", pa.float64()),
        ("phash", pa.int64()),
        ("near_duplicate_of", pa.string()),
    ]
)


def _hugging_face(kind: pa.DataType) -> Any:
    """Return how Hugging Face datasets name a type in their metadata, from which they know a picture to show."""
    if pa.types.is_struct(kind):
        return {field.name: _hugging_face(field.type) for field in kind}
    if pa.types.is_fixed_size_list(kind):
        return {"feature": _hugging_face(kind.value_type), "length": kind.list_size, "_type": "Sequence"}
    if pa.types.is_list(kind):
        return [_hugging_face(kind.value_type)]
    names = {pa.bool_(): "bool", pa.float32(): "float32", pa.float64(): "float64"}
    return {"dtype": names.get(kind, str(kind)), "_type": "Value"}


def _schema() -> pa.Schema:
    features = {field.name: _hugging_face(field.type) for field in _COLUMNS} | {"image": {"_type": "Image"}}
    return _COLUMNS.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


SCHEMA = _schema()
"""The schema of the files."""


def shard(key: str) -> str:
    """Return the path of a joined shard below the release."""
    return f"{FOLDER}/{key}.parquet"


@contextmanager
def parquet_writer(written: Written) -> Iterator[pq.ParquetWriter]:
    """Open a joined shard for writing; rows must come in the order of their URLs, `ROW_GROUP` at a time."""
    with pq.ParquetWriter(
        pa.PythonFile(written.file, mode="w"),
        SCHEMA,
        compression=dict.fromkeys(_leaves(), "ZSTD") | dict.fromkeys(_DENSE, "NONE"),
        use_dictionary=_REPEATED,
        write_statistics=[name for name in _leaves() if name not in _DENSE],
        write_page_index=True,
        write_page_checksum=True,
        max_rows_per_page=_PAGE,
        sorting_columns=pq.SortingColumn.from_ordering(SCHEMA, [(KEY, "ascending")]),
        bloom_filter_options={KEY: {"ndv": ROW_GROUP, "fpp": 0.01}},
    ) as sink:
        yield sink


def _leaves() -> list[str]:
    """Return the names of the leaf columns, as Parquet spells them."""
    file = io.BytesIO()
    pq.write_table(SCHEMA.empty_table(), file)
    schema = pq.ParquetFile(file).schema
    return [schema.column(index).path for index in range(len(schema))]


class CaptionRows:
    """The caption rows of a partition, handed out in the order of their URLs, a table in memory at a time."""

    def __init__(self, tables: Iterable[pa.Table]) -> None:
        self._tables = iter(tables)
        self._held: list[pa.Table] = []

    def up_to(self, url: str) -> pa.Table | None:
        """Return the rows of images up to this one, except those handed out before; None: there are none."""
        while not self._held or self._held[-1].column(KEY)[-1].as_py() <= url:
            rows = next(self._tables, None)
            if rows is None:
                break
            if rows.num_rows:
                self._held.append(rows)
        if not self._held:
            return None
        held = pa.concat_tables(self._held)
        wanted = int(pc.sum(pc.less_equal(held.column(KEY), url)).as_py())
        self._held = [held.slice(wanted)] if wanted < held.num_rows else []
        return held.slice(0, wanted)


def join(images: pa.Table, captions: pa.Table, near_duplicates: Mapping[str, str]) -> pa.Table:
    """Return rows of `SCHEMA`.

    Args:
        images: with the ledger's columns, ``image``, ``embedding`` and ``phash``, sorted by URL.
        captions: WIT rows, sorted by URL; those of other images are passed over.
        near_duplicates: URL of an image to that of the one it looks like.

    """
    urls = images.column(KEY).combine_chunks()
    places = pc.index_in(captions.column(KEY), urls)
    captions, places = captions.filter(pc.is_valid(places)), places.drop_null().to_numpy()
    offsets = np.searchsorted(places, np.arange(len(urls) + 1)).astype(np.int32)
    columns = {name: images.column(name) for name in SCHEMA.names if name in images.schema.names and name != "image"}
    columns["image"] = pa.StructArray.from_arrays(
        [_whole(images, "image"), pa.array(_file_names(images), pa.string())], fields=list(SCHEMA.field("image").type)
    )
    columns["wit_features"] = pa.ListArray.from_arrays(offsets, _features(captions))
    attributions = captions.column("caption_attribution_description").to_pylist()
    columns["caption_attribution_description"] = pa.array(
        [next((text for text in attributions[start:end] if text), None) for start, end in itertools.pairwise(offsets)],
        pa.string(),
    )
    columns["phash"] = _whole(images, "phash").view(pa.int64())
    columns["near_duplicate_of"] = pa.array([near_duplicates.get(url) for url in urls.to_pylist()], pa.string())
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _whole(table: pa.Table, name: str) -> pa.Array:
    return table.column(name).combine_chunks()


def _features(captions: pa.Table) -> pa.StructArray:
    titled = title_and_caption(captions.column("page_title"), captions.column("caption_reference_description"))
    captions = captions.append_column(TITLE_AND_CAPTION, titled)
    return pa.StructArray.from_arrays([_whole(captions, name) for name in _FEATURES], fields=list(FEATURE))


def _file_names(images: pa.Table) -> list[str]:
    """Return names whose endings say what the pictures are, made as those of Commons' thumbnails: ``map.svg.png``."""
    names = []
    for name, kind in zip(images.column("commons_name").to_pylist(), images.column("format").to_pylist(), strict=True):
        endings = (".jpg", ".jpeg") if kind == "JPEG" else (".png",)
        names.append(name if name.lower().endswith(endings) else name + endings[0])
    return names
