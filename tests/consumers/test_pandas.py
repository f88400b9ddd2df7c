"""pandas reads the shards with the line that everyone writes."""

import base64
import io
from pathlib import Path

import pandas as pd
from PIL import Image

from pipelines.releases.reader import Release


def test_pixels(folder: Path, release: Release) -> None:
    parts = [
        pd.read_csv(path, sep="\t", header=None)
        for path in sorted((folder / "image_pixels").iterdir())
        if has_rows(path)
    ]
    rows = pd.concat(parts)
    assert rows.shape == (release.manifest["counts"]["outcomes"]["released"], 3)
    for text in rows[1]:
        with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
            picture.load()
            assert picture.width <= 300
    assert rows[0].str.startswith("https://upload.wikimedia.org/").all()
    assert rows[2].str.startswith("https://commons.wikimedia.org/wiki/File:").all()


def has_rows(path: Path) -> bool:
    """pandas refuses a file without a single row; so small a release may have one."""
    return path.stat().st_size > 40


def test_embeddings(folder: Path, release: Release) -> None:
    known = dict(release.embeddings())
    for path in sorted((folder / "resnet_embeddings").iterdir()):
        if has_rows(path):
            rows = pd.read_csv(path, sep="\t", header=None)
            vectors = rows[1].str.split(",", expand=True).astype("float32").to_numpy()
            assert vectors.shape == (len(rows), 2048)
            for url, vector in zip(rows[0], vectors, strict=True):
                assert (vector == known[url]).all()


def test_captions(folder: Path, release: Release) -> None:
    rows = pd.concat(pd.read_csv(path, sep="\t") for path in sorted((folder / "captions").iterdir()))
    assert len(rows) == release.manifest["counts"]["caption_rows"]
    assert list(rows.columns[:3]) == ["language", "page_url", "image_url"]
    assert rows.caption_title_and_reference_description.str.contains(" [SEP] ", regex=False).all()


def test_parquet(folder: Path, release: Release) -> None:
    rows = pd.read_parquet(folder / "parquet")
    assert len(rows) == release.manifest["counts"]["outcomes"]["released"]
    assert rows.embedding.map(len).eq(2048).all()
    assert rows.licence.notna().all()
