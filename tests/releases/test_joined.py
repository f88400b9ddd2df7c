"""parquet/: one row for each image, in wit_base's columns and types, joined from everything that the release has."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.engine.step import Context, release_path, shard_keys
from pipelines.releases import joined
from pipelines.releases.reader import open_release

WIT_BASE = {
    "image": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    "image_url": pa.string(),
    "embedding": pa.list_(pa.float32(), 2048),
    "metadata_url": pa.string(),
    "original_height": pa.int32(),
    "original_width": pa.int32(),
    "mime_type": pa.string(),
    "caption_attribution_description": pa.string(),
}


@pytest.fixture(scope="module")
def rows(published: Context) -> list[dict[str, object]]:
    tables = []
    for key in shard_keys(published):
        with published.store.open(release_path(published.version, joined.shard(key))) as file:
            tables.append(pq.read_table(file))
    return list(pa.concat_tables(tables).to_pylist())


def test_the_columns_begin_with_those_of_wit_base(published: Context) -> None:
    with published.store.open(release_path(published.version, "parquet/part-00000.parquet")) as file:
        schema = pq.read_schema(file)
    assert dict(zip(schema.names[:8], schema.types[:8], strict=True)) == WIT_BASE
    assert schema.names[8] == "wit_features"


def test_every_released_image_has_one_row_with_all_that_the_shards_say(
    published: Context, rows: list[dict[str, object]]
) -> None:
    release = open_release(published.store.locate(f"releases/{published.version}"))
    shown = {row.url: row for row in release.rows()}
    ledger = {row["image_url"]: row for row in release.ledger(["released"])}
    assert len(rows) == len(shown) == len({row["image_url"] for row in rows})
    for row in rows:
        other, entry = shown[str(row["image_url"])], ledger[row["image_url"]]
        assert row["image"]["bytes"] == other.picture  # type: ignore[index]
        assert row["embedding"] == other.embedding.tolist()
        assert row["metadata_url"] == other.page
        for name in ("licence", "author", "width", "height", "commons_sha1", "image_sha256", "face_ratio", "mime_type"):
            assert row[name] == entry[name]
        features = row["wit_features"]
        assert isinstance(features, list)
        assert len(features) == len(other.captions)
        for feature, caption in zip(features, other.captions, strict=True):
            for name, value in feature.items():
                expected = caption[name]
                assert (value or "") == expected if not isinstance(value, bool) else str(value).lower() == expected
        attributions = [caption["caption_attribution_description"] for caption in other.captions]
        assert (row["caption_attribution_description"] or "") == next((text for text in attributions if text), "")


def test_the_names_of_pictures_end_as_their_formats_do(rows: list[dict[str, object]]) -> None:
    for row in rows:
        name, data = row["image"]["path"], row["image"]["bytes"]  # type: ignore[index]
        assert name.lower().endswith((".jpg", ".jpeg") if data.startswith(b"\xff\xd8") else ".png")


def test_one_picture_is_found_without_reading_the_rest(published: Context) -> None:
    with published.store.open(release_path(published.version, "parquet/part-00000.parquet")) as file:
        metadata = pq.read_metadata(file)
    group = metadata.row_group(0)
    assert group.num_rows <= joined.ROW_GROUP
    url = next(group.column(i) for i in range(group.num_columns) if group.column(i).path_in_schema == "image_url")
    assert url.statistics.min <= url.statistics.max
    assert url.has_column_index
    assert url.has_offset_index
    assert [(column.column_index, column.descending) for column in group.sorting_columns] == [(2, False)]
