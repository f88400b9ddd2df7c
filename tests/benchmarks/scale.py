"""A release of many images on one machine: ``python -m tests.benchmarks.scale --images 65000 650000 [--crowded 20]``.

The WIT is made up (`synthetic_wit`), with 5.7 rows for each selected image and short texts. pull_rows, decide,
write_shards, the files of embed_images, validate's measurements and verdict, and publish's documents are the real ones
on the real engine. What would come from Commons and from networks is made up between them: descriptions, pictures of
32 × 32 pixels that are all different, no faces, and no embeddings, so that the verdict on these is left aside.

For each step: seconds, CPU of driver and workers, and the most memory of each process during it. `--crowded` gives one
partition so many times the images of the others. Times should grow with the images, and the memory of the driver not.
"""

import argparse
import hashlib
import logging
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from distributed import Client

from pipelines.engine.cluster import open_client
from pipelines.engine.run import Summary, run_step
from pipelines.engine.step import Context, PartitionStep, Step, shard_keys, table_path
from pipelines.engine.writer import open_writer
from pipelines.pipeline import Run
from pipelines.quality.collected import collect
from pipelines.quality.judging import judge
from pipelines.quality.verdict import write_verdict
from pipelines.reports.facts import gather
from pipelines.stages import decide, embed_images, publish, pull_rows, validate, write_shards
from pipelines.storage.store import Store
from pipelines.tables import (
    CANDIDATES,
    DESCRIPTIONS,
    EMBEDDINGS,
    FACES,
    FETCHED,
    IMAGES,
    KEY,
    PIXELS,
    Table,
)
from tests.benchmarks.synthetic_wit import Wit
from tests.running import peak_memory
from tests.stages.making import context, nulls

_ROWS_PER_IMAGE = 37 / 6.5
_CAPTIONED = 57
_TEXTS = 120
_SIDE = 32
_STAND_INS = {"face_model": "cascade-stand-in", "embedding_model": "resnet50-stand-in", "stand_in": True}


@dataclass(frozen=True, slots=True)
class Took:
    """What a part of the run took: seconds, CPU seconds of all processes, most bytes of the driver and of a worker."""

    seconds: float
    cpu: float
    driver: int
    worker: int
    partitions: int = 0
    waiting: float = 0.0


def _forget_peak() -> float:
    """Begin to measure the most memory of this process anew; return its CPU seconds so far."""
    Path("/proc/self/clear_refs").write_text("5")
    return time.process_time()


def _peak() -> tuple[float, int]:
    return time.process_time(), peak_memory()


def took(client: Client, work: Callable[[], Summary | None]) -> Took:
    """Do something, and measure it in this process and in all workers."""
    before = sum(client.run(_forget_peak).values()) + _forget_peak()
    began = time.monotonic()
    summary = work()
    seconds = time.monotonic() - began
    workers, driver = list(client.run(_peak).values()), _peak()
    cpu = sum(worker[0] for worker in workers) + driver[0] - before
    most = max(worker[1] for worker in workers)
    if summary is None:
        return Took(seconds, cpu, driver[1], most)
    waiting = seconds * len(workers) - summary.worker_seconds
    return Took(seconds, cpu, driver[1], most, summary.partitions, waiting)


# What Commons and the networks would have said


def _fabricate(this: Context, key: str) -> int:
    with this.store.open(table_path(IMAGES.name, key)) as file:
        images = pq.read_table(file, columns=[KEY, "name"])
    parts = [images.slice(start, 512) for start in range(0, max(1, images.num_rows), 512)]
    for table, make in ((DESCRIPTIONS, _described), (PIXELS, _pictured), (FACES, _faceless), (EMBEDDINGS, _bare)):
        _write(this, table, key, (make(part) for part in parts))
    _write(this, CANDIDATES, key, iter([CANDIDATES.schema.empty_table()]))
    return images.num_rows


def _write(this: Context, table: Table, key: str, parts: Iterator[pa.Table]) -> None:
    step = PartitionStep(writes=table, run=lambda task: iter(()), row_group=512)
    with open_writer(this.store, table_path(table.name, key), step) as writer:
        for part in parts:
            writer.write(part)
        writer.finish("", "", Counter())


def _described(images: pa.Table) -> pa.Table:
    count = images.num_rows
    columns = {KEY: images.column(KEY), "title": images.column("name"), "sha1": images.column("name")}
    side = pa.array([_SIDE] * count, pa.int32())
    given = {name: pa.array([text] * count) for name, text in (("licence", "CC0"), ("mime", "image/jpeg"))}
    return nulls(DESCRIPTIONS, **columns, **given, original_width=side, original_height=side)


def _pictured(images: pa.Table) -> pa.Table:
    count = images.num_rows
    urls = images.column(KEY).to_pylist()
    pictures = [_picture(url) for url in urls]
    side = pa.array([_SIDE] * count, pa.int32())
    return nulls(
        PIXELS,
        **{KEY: images.column(KEY), "format": pa.array(["JPEG"] * count), "status": pa.array([FETCHED] * count)},
        **{name: side for name in ("fetched_width", "fetched_height", "width", "height")},
        bytes=pa.array([len(picture) for picture in pictures], pa.int64()),
        sha256=_digests(pictures),
        image=pa.array(pictures, pa.binary()),
    )


def _picture(url: str) -> bytes:
    seed = int.from_bytes(hashlib.md5(url.encode()).digest()[:8])
    grey = np.random.Generator(np.random.SFC64(seed)).integers(0, 256, (_SIDE, _SIDE), np.uint8)
    return cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 50])[1].tobytes()


def _digests(pictures: list[bytes]) -> pa.StringArray:
    return pa.array([hashlib.sha256(picture).hexdigest() for picture in pictures], pa.string())


def _faceless(images: pa.Table) -> pa.Table:
    urls = images.column(KEY)
    none = pa.array([[]] * images.num_rows, FACES.schema.field("faces").type)
    return nulls(FACES, **{KEY: urls, "sha256": _digests([_picture(url) for url in urls.to_pylist()]), "faces": none})


def _bare(images: pa.Table) -> pa.Table:
    return nulls(EMBEDDINGS, **{KEY: images.column(KEY)})


# The run

_EMPTY = PartitionStep(
    writes=Table("nothing", pa.schema([(KEY, pa.string())])),
    run=lambda task: iter(()),
)


def release(folder: Path, images: int, crowded: float, partitions: int, files: int = 2) -> dict[str, Took]:
    """Make a release of about so many images; return what each part took."""
    crowd = round(crowded * images / partitions * 100 / _CAPTIONED)
    wit = Wit(round(images * _ROWS_PER_IMAGE), round(images * 100 / _CAPTIONED), _CAPTIONED, _TEXTS, crowd, partitions)
    paths = [folder / f"wit-{number}.tsv.gz" for number in range(files)]
    this = context(Store(str(folder / "store")), *map(str, paths), partitions=partitions, **_STAND_INS)
    done: dict[str, Took] = {}
    with open_client(this.config) as client:
        run = Run(this, client)
        client.gather(client.map(wit.write, paths, range(files), [files] * files, pure=False))
        run_step(client, this, _EMPTY)  # imports
        for key in shard_keys(this):
            this.store.remove(table_path("nothing", key))
        done[f"{partitions} empty partitions"] = took(client, lambda: run_step(client, this, _EMPTY))
        done["… that stand already"] = took(client, lambda: run_step(client, this, _EMPTY))

        def steps(stage: str, some: tuple[Step, ...]) -> None:
            for step in some:
                done[f"{stage}: {step.name}"] = took(client, partial(run_step, client, this, step))

        steps("pull_rows", pull_rows.STEPS)
        for path in paths:
            path.unlink()
        run.each_shard(_fabricate)
        steps("decide", decide.STEPS)
        steps("write_shards", write_shards.STEPS)
        steps("embed_images", embed_images.STEPS[1:])
        steps("validate", validate.STEPS)
        done["validate: collect"] = took(client, lambda: _nothing(collect(this, shard_keys(this))))
        done["validate: judge"] = took(client, lambda: _nothing(write_verdict(this.store, judge(this))))
        done["publish: documents"] = took(client, lambda: publish._write(this, gather(this)))
        done["publish: purge"] = took(client, lambda: _nothing(run.each_shard(publish.purge_pictures)))
    return done


def _nothing(_: object) -> None:
    return None


def main() -> None:
    """Make releases of growing size; print what they took, and how that grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[6500, 65_000])
    parser.add_argument("--crowded", type=float, default=0, help="one partition has so many times the others' images")
    parser.add_argument("--partitions", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where the store goes; default: a temporary folder")
    options = parser.parse_args()
    logging.getLogger("pipelines").setLevel(logging.CRITICAL)
    before: tuple[int, dict[str, Took]] | None = None
    for images in options.images:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            done = release(Path(folder), images, options.crowded, options.partitions)
        show(images, options.crowded, done, before)
        before = images, done


def show(images: int, crowded: float, done: dict[str, Took], before: tuple[int, dict[str, Took]] | None) -> None:
    crowd = f", {crowded:g} × the others' in one partition" if crowded else ""
    factor = f" | CPU × for {images / before[0]:g} × images" if before else ""
    print(f"\n{images:,} images{crowd}; load average {os.getloadavg()[0]:.1f}\n")
    print(f"| step | seconds | CPU s | driver MB | worker MB | ms a partition besides work{factor} |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |" + (" ---: |" if before else ""))
    for name, one in done.items():
        aside = f"{1000 * one.waiting / one.partitions:.0f}" if one.partitions else ""
        grown = f" {one.cpu / max(before[1][name].cpu, 0.01):.1f} |" if before else ""
        print(
            f"| {name} | {one.seconds:.1f} | {one.cpu:.1f} | {one.driver / 1e6:,.0f} | {one.worker / 1e6:,.0f} "
            f"| {aside} |{grown}",
            flush=True,
        )
    seconds, cpu = (sum(getattr(one, unit) for one in done.values()) for unit in ("seconds", "cpu"))
    total = f" {cpu / sum(one.cpu for one in before[1].values()):.1f} |" if before else ""
    print(f"| all | {seconds:.1f} | {cpu:.1f} | | | |{total}", flush=True)


if __name__ == "__main__":
    main()
