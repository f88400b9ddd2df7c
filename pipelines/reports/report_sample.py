"""A sample of the released pictures with what must be said beside them: title, caption, author, licence.

Images are spread over the shards by a digest of their names, so whole shards, taken in an order that the version of
the release decides, are a random sample. Pictures are read from the shards that are published, which hold no other.
"""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.engine.step import Context, release_path, shard_keys
from pipelines.errors import ReleaseError
from pipelines.releases import shards
from pipelines.tables import KEY, Outcome

PICTURES = 48
BUDGET = 2_200_000
"""Bytes of all pictures together: as base64 they leave room in a page that must stay below 5 MB."""

Chosen = list[tuple[str, dict[str, Any]]]
"""Pictures to show: the key of each one's partition, and its row of the ledger."""

_COLUMNS = (KEY, "outcome", "metadata_url", "commons_name", "licence", "author", "format", "image_sha256")


@dataclass(frozen=True, slots=True)
class Picture:
    """A released picture; `source` is a data URI, `language` that of the caption."""

    title: str
    page: str
    caption: str
    language: str
    author: str
    licence: str
    source: str


def sample(context: Context) -> list[Picture]:
    """Return up to `PICTURES` released pictures, the same ones whenever the release is the same.

    Raises:
        ReleaseError: a picture in a shard is not the one that the ledger releases.
        StoreError: a file is not there.

    """
    chosen: Chosen = []
    for key in sorted(shard_keys(context), key=lambda key: draw(context.version, key)):
        rows = sorted(released(context, key), key=lambda row: draw(context.version, row[KEY]))
        chosen += [(key, row) for row in rows[:PICTURES]]
        if len(chosen) >= PICTURES:
            break
    chosen = sorted(chosen, key=lambda item: draw(context.version, item[1][KEY]))[:PICTURES]
    return list(load(context, chosen, BUDGET).values())


def load(context: Context, chosen: Chosen, budget: int) -> dict[str, Picture]:
    """Return pictures by their URL, in the order in which they were chosen, until their bytes exceed the budget.

    Raises:
        ReleaseError: a picture in a shard is not the one that the ledger releases.
        StoreError: a file is not there.

    """
    pictures: dict[str, bytes] = {}
    captions: dict[str, tuple[str, str]] = {}
    for key in dict.fromkeys(key for key, _ in chosen):
        wanted = {row[KEY]: row["image_sha256"] for owner, row in chosen if owner == key}
        pictures |= _pictures(context, key, wanted)
        captions |= _captions(context, key, set(wanted))
    return dict(_within_budget(chosen, pictures, captions, budget))


def draw(version: str, name: str) -> str:
    """Return what puts names in an order that looks random, and is the same whenever the version is."""
    return hashlib.sha256(f"{version} {name}".encode()).hexdigest()


def released(context: Context, key: str) -> list[dict[str, Any]]:
    """Return what the ledger says of the released pictures of a partition, as far as it is shown."""
    with context.store.open(release_path(context.version, shards.ledger_shard(key))) as file:
        ledger = pq.read_table(file, columns=list(_COLUMNS))
    rows: list[dict[str, Any]] = ledger.filter(pc.equal(ledger.column("outcome"), Outcome.RELEASED)).to_pylist()
    return rows


def _pictures(context: Context, key: str, wanted: dict[str, str]) -> dict[str, bytes]:
    where = release_path(context.version, shards.image_shard(key))
    found = {}
    with context.store.open(where) as file:
        for row in shards.read_pixels(file):
            if row.url in wanted:
                if hashlib.sha256(row.picture).hexdigest() != wanted[row.url]:
                    raise ReleaseError(f"{context.store.locate(where)}: {row.url} is not the picture of the ledger")
                found[row.url] = row.picture
                if len(found) == len(wanted):
                    break
    return found


def _captions(context: Context, key: str, wanted: set[str]) -> dict[str, tuple[str, str]]:
    """Return language and text of the first caption of each image."""
    found: dict[str, tuple[str, str]] = {}
    with context.store.open(release_path(context.version, shards.caption_shard(key))) as file:
        for row in shards.read_captions(file):
            url, text = row[KEY], row["caption_reference_description"].strip()
            if url in wanted and text:
                found.setdefault(url, (row["language"], text))
    return found


def _within_budget(
    chosen: Chosen, pictures: dict[str, bytes], captions: dict[str, tuple[str, str]], budget: int
) -> Iterator[tuple[str, Picture]]:
    spent = 0
    for _, row in chosen:
        picture = pictures.get(row[KEY])
        if picture is None:
            raise ReleaseError(f"{row[KEY]} is released, and no shard holds its picture; run write_shards again")
        spent += len(picture)
        if spent > budget:
            return
        language, caption = captions.get(row[KEY], ("", ""))
        kind = "image/png" if row["format"] == "PNG" else "image/jpeg"
        yield (
            row[KEY],
            Picture(
                title=(row["commons_name"] or "").replace("_", " "),
                page=row["metadata_url"] or "",
                caption=caption,
                language=language,
                author=row["author"] or "",
                licence=row["licence"] or "",
                source=f"data:{kind};base64,{base64.b64encode(picture).decode()}",
            ),
        )
