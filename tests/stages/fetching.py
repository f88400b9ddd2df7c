"""A store that is ready for fetch_images, a server of its pictures, and what was done to them."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from aiohttp import web

from pipelines.commons import names
from pipelines.config import ReleaseConfig
from pipelines.engine.step import Context, shard_name
from pipelines.storage.store import Store
from pipelines.tables import DESCRIPTIONS, IMAGES, KEY
from tests.stages.making import rows_of, url_of, write_table
from tests.world import drawn

VERSION = "2026.01.01"


def pictures(count: int) -> dict[str, bytes]:
    """Draw files, narrow enough to be fetched as originals, by name."""
    return {f"Picture_{number:04d}.jpg": drawn(number) for number in range(count)}


def ready(folder: Path, wanted: Mapping[str, dict[str, Any]], settings: Mapping[str, object]) -> Context:
    """Write what the stages before fetch_images make of these files.

    Args:
        folder: of the store.
        wanted: what Commons says of each file, where it is not what it says of a narrow JPEG; by name.
        settings: of the release; partitions take the files in turn.

    """
    config = ReleaseConfig.parse({**settings, "store": str(folder), "version": VERSION})
    context = Context(config, VERSION, Store(config.store), observation=VERSION)
    for partition in range(config.partitions):
        mine = sorted(list(wanted)[partition :: config.partitions], key=url_of)
        images = [{KEY: url_of(name), "name": name, "site": "commons"} for name in mine]
        described = [
            {
                **{KEY: url_of(name), "exists": True, "title": name, "sha1": hashlib.sha1(name.encode()).hexdigest()},
                **{"timestamp": "2020-01-01T00:00:00Z", "mime": "image/jpeg", "original_width": 64},
                **wanted[name],
            }
            for name in mine
        ]
        write_table(context, IMAGES, rows_of(IMAGES, images), shard_name(partition))
        write_table(context, DESCRIPTIONS, rows_of(DESCRIPTIONS, described), shard_name(partition))
    return context


class Originals:
    """Answers with files, a little late."""

    def __init__(self, files: Mapping[str, bytes], delay: float = 0.01) -> None:
        self.files = {names.original_path(name): body for name, body in files.items()}
        self._delay = delay

    async def __call__(self, request: web.Request) -> web.Response:
        await asyncio.sleep(self._delay)
        body = self.files.get(request.raw_path)
        return web.Response(status=404) if body is None else web.Response(body=body, content_type="image/jpeg")


def slices(store: Path) -> list[Path]:
    """Return the slices that were saved so far in partitions that are still under way."""
    return sorted((store / "work/pixels").glob("*.saved/*.parquet"))


def rows_in(files: list[Path]) -> dict[str, dict[str, Any]]:
    """Return the rows of saved slices or of whole partitions, by name."""
    found = [row for file in files for row in pq.read_table(file, partitioning=None).to_pylist()]
    assert len({row[KEY] for row in found}) == len(found)
    return {row["title"]: row for row in found}


def finished(store: Path) -> dict[str, dict[str, Any]]:
    return rows_in(sorted((store / "work/pixels").glob("*.parquet")))


def so_far(store: Path) -> dict[str, dict[str, Any]]:
    """Return every row that is saved, whether its partition is done or not."""
    return finished(store) | {name: row for file in slices(store) for name, row in rows_in([file]).items()}


def times_asked(paths: list[str]) -> Counter[str]:
    """Return how often each file was asked for, by name."""
    known = Counter(paths)
    return Counter({path.rsplit("/", 1)[-1]: count for path, count in known.items()})
