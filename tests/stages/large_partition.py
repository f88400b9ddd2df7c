"""Runs the stages that need no model over one large partition; prints the peak memory after each, in bytes.

The pictures are one and the same JPEG of some 30 KB, served from this process's own thread under 20,000 names; each
has four rows of some 5 KB in WIT.
"""

import asyncio
import io
import os
import sys
import threading
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from aiohttp import web
from isal import igzip
from PIL import Image

from pipelines.commons.names import ImageUrl, original_url
from pipelines.commons.politeness import LocalLeases
from pipelines.engine.partition import make_partition
from pipelines.engine.step import Context, table_path
from pipelines.stages import decide, embed_images, fetch_images, pull_rows, write_shards
from pipelines.storage.store import Store
from pipelines.tables import CANDIDATES, DESCRIPTIONS, EMBEDDINGS, FACES, IMAGES, KEY, PIXELS, WIT_COLUMNS
from tests.running import peak_memory
from tests.stages.making import context, nulls, write_table


def picture() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (225, 300, 3), dtype=np.uint8)
    smooth = Image.fromarray(noise).resize((150, 112)).resize((300, 225), Image.Resampling.BICUBIC)
    data = io.BytesIO()
    smooth.save(data, "JPEG", quality=92)
    return data.getvalue()


def serve(data: bytes) -> str:
    """Answer every request with the picture, from a thread; return the base URL."""
    ready: list[str] = []
    started = threading.Event()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=data, content_type="image/jpeg")

    async def live() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ready.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        started.set()
        await asyncio.Event().wait()

    threading.Thread(target=lambda: asyncio.run(live()), daemon=True).start()
    started.wait()
    return ready[0]


def write_rows(path: Path, count: int) -> None:
    texts = {"caption_reference_description": "x" * 200}
    texts |= {"context_page_description": "y" * 2400, "context_section_description": "z" * 2400}
    with igzip.open(path, "wt", compresslevel=1) as file:
        file.write("\t".join(WIT_COLUMNS) + "\n")
        for language in ("de", "en", "fr", "nn"):
            for number in range(count):
                url = original_url(ImageUrl("commons", f"Picture_{number:06d}.jpg"))
                row = texts | {KEY: url, "language": language}
                file.write("\t".join(row.get(column, "") for column in WIT_COLUMNS) + "\n")


def run(stage: ModuleType, this: Context, steps: slice = slice(None)) -> None:
    for step in stage.STEPS[steps]:
        for key in step.keys(this):
            make_partition(this, step, key, lambda rows: None, lambda kind: LocalLeases(8))
    print(stage.__name__.rsplit(".", 1)[-1], peak_memory(), flush=True)


def main(folder: Path, count: int) -> None:
    data = picture()
    url = serve(data)
    write_rows(folder / "wit.tsv.gz", count)
    this = context(
        Store(str(folder / "store")),
        str(folder / "wit.tsv.gz"),
        partitions=1,
        media_url=url,
        api_url=f"{url}/w/api.php",
    )
    run(pull_rows, this)
    with this.store.open(table_path(IMAGES.name, "part-00000")) as file:
        images = pq.read_table(file)
    urls = images.column(KEY).combine_chunks()
    title = images.column("name").combine_chunks()
    width = pa.array([300] * count)
    write_table(
        this, DESCRIPTIONS, nulls(DESCRIPTIONS, **{KEY: urls, "title": title, "original_width": width, "sha1": title})
    )
    run(fetch_images, this)
    no_faces = pa.array([[]] * count, FACES.schema.field("faces").type)
    with this.store.open(table_path(PIXELS.name, "part-00000")) as file:
        pictures = pq.read_table(file, columns=["sha256"]).column("sha256").combine_chunks()
    write_table(this, FACES, nulls(FACES, **{KEY: urls, "sha256": pictures, "faces": no_faces}))
    write_table(this, CANDIDATES, CANDIDATES.schema.empty_table())
    run(decide, this)
    run(write_shards, this)
    write_table(this, EMBEDDINGS, nulls(EMBEDDINGS, **{KEY: urls}))
    run(embed_images, this, slice(1, None))  # the files
    shard = this.store.size("releases/2026.01.01/image_pixels/part-00000.csv.gz")
    assert shard > count * len(data) * 0.8, shard


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.flush()
    os._exit(0)  # not by way of the thread that serves, which never ends
