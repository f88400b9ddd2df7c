"""DuckDB queries the Parquet files where they lie."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.releases.reader import Release

duckdb = pytest.importorskip("duckdb", reason="needs the package duckdb")


def query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        return list(connection.execute(sql.replace("FOLDER", str(folder))).fetchall())


def test_counts_by_licence(folder: Path, release: Release) -> None:
    rows = query(folder, "SELECT licence, count(*) FROM 'FOLDER/parquet/*.parquet' GROUP BY licence")
    assert dict(rows) == release.manifest["counts"]["licences"]


def test_one_picture_by_its_url(folder: Path, release: Release) -> None:
    for image in release.images():
        rows = query(folder, f"SELECT image.bytes FROM 'FOLDER/parquet/*.parquet' WHERE image_url = '{image.url}'")
        assert rows == [(image.picture,)]


def test_captions_unnest(folder: Path, release: Release) -> None:
    rows = query(
        folder,
        "SELECT f.language, count(*) FROM (SELECT unnest(wit_features) AS f FROM 'FOLDER/parquet/*.parquet') "
        "GROUP BY f.language",
    )
    assert dict(rows) == release.manifest["counts"]["languages"]


def test_embeddings_and_hashes_compute(folder: Path) -> None:
    rows = query(
        folder,
        "SELECT len(embedding), list_cosine_similarity(embedding, embedding), bit_count(xor(phash, phash)) "
        "FROM 'FOLDER/parquet/*.parquet' WHERE phash IS NOT NULL",
    )
    assert rows
    for length, similarity, bits in rows:
        assert (length, bits) == (2048, 0)
        assert similarity == pytest.approx(1, abs=1e-5)


def test_the_ledger_adds_up(folder: Path, release: Release) -> None:
    rows = query(folder, "SELECT outcome, count(*) FROM 'FOLDER/ledger/*.parquet' GROUP BY outcome")
    expected = {outcome: count for outcome, count in release.manifest["counts"]["outcomes"].items() if count}
    assert dict(rows) == expected


def test_urls_have_bloom_filters(folder: Path) -> None:
    rows = query(
        folder,
        "SELECT path_in_schema, bool_and(bloom_filter_length > 0) FROM parquet_metadata('FOLDER/parquet/*.parquet') "
        "GROUP BY path_in_schema",
    )
    assert [name for name, has_filter in rows if has_filter] == ["image_url"]
