"""What it costs to write the shards of a release, beside writers of the standard library in the same run.

    python -m tests.benchmarks.shards [--images 2000] [--rounds 3]        the ratios
    python -m tests.benchmarks.shards --shards 3 [--images 32000]         whole shards: time, memory, size; 6.5 M images

Times are CPU seconds of the writing process, and the best of the rounds counts: take the ratios, not the figures. Ours
are the steps of the stages as the engine runs them, reading the tables between stages and taking checksums included;
the standard library's writers find their rows in memory.
"""

import argparse
import base64
import csv
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from pipelines.commons.names import file_page_url, original_url
from pipelines.commons.politeness import LocalLeases
from pipelines.engine.partition import make_partition
from pipelines.engine.step import Context, FileStep, Step, release_path, table_path
from pipelines.pulled import Dealer, packed
from pipelines.releases import shards
from pipelines.stages import embed_images, write_shards
from pipelines.storage.store import Store
from pipelines.tables import (
    DEALT_ROW,
    EMBEDDINGS,
    FETCHED,
    IMAGES,
    KEY,
    LEDGER,
    PIXELS,
    PULLED,
    WIT_COLUMNS,
    Outcome,
    Table,
)
from tests.running import peak_memory
from tests.shared import SHARED
from tests.stages.making import context, nulls, write_table_in_parts

ALL_IMAGES = 6_500_000
ROWS_EACH = 6  # 37 M caption rows for 6.5 M images
_DISTINCT = 400
_GROUP = 64


def pictures(count: int) -> list[bytes]:
    """Return pictures as a release has them: cuts of photographs, 300 px wide, JPEG at quality 90; repeated."""
    random = np.random.default_rng(0)
    paths = [*sorted((SHARED / "faces").glob("*.jpg")), *sorted((SHARED / "faces/labelled").glob("*.jpg"))]
    if not paths:
        raise SystemExit("the benchmark needs ../shared/data")
    made = []
    for _ in range(min(count, _DISTINCT)):
        with Image.open(paths[random.integers(len(paths))]) as image:
            width, height = (int(side * random.uniform(0.4, 1)) for side in image.size)
            left, top = random.integers(image.width - width + 1), random.integers(image.height - height + 1)
            cut = image.convert("RGB").crop((left, top, left + width, top + height))
        file = io.BytesIO()
        cut.resize((300, max(1, 300 * height // width)), Image.Resampling.LANCZOS).save(file, "JPEG", quality=90)
        made.append(file.getvalue())
    order = random.permutation(count) % len(made)
    return [made[index] for index in order]


def vectors(count: int) -> np.ndarray:
    """Return embeddings: the numbers of a published one, shuffled and scaled."""
    text = (SHARED / "release-2021/golden_Dodge_Challenger_resnet50.csv").read_text().strip().rpartition("\t")[2]
    published = np.array(text.split(","), np.float32)
    random = np.random.default_rng(1)
    return np.stack([random.permutation(published) * np.float32(random.uniform(0.5, 1.5)) for _ in range(count)])


def names(count: int) -> list[str]:
    """Return file names in the order of their URLs."""
    made = [f"Église_de_{hashlib.md5(str(number).encode()).hexdigest()[:12]}_(vue).jpg" for number in range(count)]
    return sorted(made, key=original_url)


def fill(this: Context, count: int) -> None:
    """Write what the stages before would have left for one partition."""
    named = names(count)
    urls = pa.array([original_url(name) for name in named])
    shown = pictures(count)
    sizes = pa.array([len(picture) for picture in shown])
    digest = {picture: hashlib.sha256(picture).hexdigest() for picture in set(shown)}
    digests = pa.array([digest[picture] for picture in shown])
    write_table_in_parts(
        this,
        PIXELS,
        (
            nulls(
                PIXELS,
                **{KEY: urls[start : start + _GROUP], "sha256": digests[start : start + _GROUP]},
                status=pa.array([FETCHED] * len(shown[start : start + _GROUP])),
                image=pa.array(shown[start : start + _GROUP]),
            )
            for start in range(0, count, _GROUP)
        ),
        row_group=_GROUP,
    )
    ledger = nulls(
        LEDGER,
        **{KEY: urls, "outcome": pa.array([Outcome.RELEASED] * count), "image_sha256": digests, "image_bytes": sizes},
        metadata_url=pa.array([file_page_url(name) for name in named]),
        commons_name=pa.array(named),
        format=pa.array(["JPEG"] * count),
        licence=pa.array(["CC BY-SA 4.0"] * count),
        author=pa.array([f"Author {number % 5000}" for number in range(count)]),
    )
    write_table_in_parts(this, LEDGER, iter([ledger]))
    numbers = vectors(min(count, 512))
    write_table_in_parts(this, EMBEDDINGS, embedded(urls, digests, numbers))
    write_table_in_parts(this, IMAGES, iter([nulls(IMAGES, **{KEY: urls, "wit_rows_sha256": digests})]))
    with ExitStack() as stack:
        dealer = Dealer(this.store, "work/pulled/file-00000.rows", DEALT_ROW, stack)
        for texts in wit_rows(urls):
            rows = pa.table({KEY: texts.column(KEY), "cells": packed(texts)})
            dealer.add(rows, np.zeros(rows.num_rows, np.int32))
        dealer.flush()
    receipts = nulls(PULLED, partition=pa.array([0], pa.int32()), path=pa.array([dealer.written[0].path]))
    write_table_in_parts(this, PULLED, iter([receipts]), "file-00000")


def embedded(urls: pa.Array, digests: pa.Array, numbers: np.ndarray) -> Iterator[pa.Table]:
    for start in range(0, len(urls), len(numbers)):
        part = urls[start : start + len(numbers)]
        flat = pa.FixedSizeListArray.from_arrays(pa.array(numbers[: len(part)].reshape(-1)), 2048)
        yield nulls(EMBEDDINGS, **{KEY: part, "embedding": flat, "image_sha256": digests[start : start + len(part)]})


def wit_rows(urls: pa.Array) -> Iterator[pa.Table]:
    random = np.random.default_rng(2)
    words = [f"wort{number:x}" for number in random.integers(0, 1 << 20, 4000)]
    texts = pa.array([" ".join(words[at] for at in random.integers(0, len(words), 120)) for _ in range(500)])
    for start in range(0, len(urls), 512):
        part = urls[start : start + 512]
        which = pa.array(np.repeat(np.arange(len(part)), ROWS_EACH))
        keys = part.take(which)
        context_of = texts.take(pa.array(random.integers(0, len(texts), len(keys))))
        yield nulls(
            Table("rows", pa.schema([(name, pa.string()) for name in WIT_COLUMNS])),
            **{KEY: keys, "page_title": context_of, "context_page_description": context_of},
            language=pa.array(["de", "en", "fr", "nl", "ru", "zh"][:ROWS_EACH] * len(part)),
            caption_reference_description=context_of,
            is_main_image=pa.array(["true"] * len(keys)),
        )


def make(this: Context, step: Step) -> float:
    """Run a step on the one partition as the engine does; return CPU seconds."""
    began = time.process_time()
    (key,) = step.keys(this)
    make_partition(this, step, key, lambda rows: None, lambda kind: LocalLeases(1))
    return time.process_time() - began


def forget(this: Context, table: Table) -> None:
    this.store.remove(table_path(table.name, "part-00000"))


def pixels_of_the_standard_library(this: Context, path: Path) -> Callable[[], None]:
    with this.store.open(release_path(this.version, shards.image_shard("part-00000"))) as file:
        rows = list(shards.read_pixels(file))

    def write() -> None:
        with gzip.open(path, "wt", compresslevel=6, newline="", encoding="utf-8") as text:
            writer = csv.writer(text, delimiter="\t")
            for row in rows:
                writer.writerow([row.url, base64.b64encode(row.picture).decode(), row.page])

    return write


def embeddings_of_the_standard_library(this: Context, path: Path) -> Callable[[], None]:
    with this.store.open(release_path(this.version, shards.embedding_shard("part-00000"))) as file:
        rows = [(url, vector.tolist()) for url, vector in shards.read_embeddings(file)]

    def write() -> None:
        with gzip.open(path, "wt", compresslevel=6, newline="", encoding="utf-8") as text:
            for url, row in rows:
                text.write(f"{url}\t{','.join(map(repr, row))}\n")

    return write


def compare(folder: Path, count: int, rounds: int) -> None:
    """Print the ratios."""
    this = context(Store(str(folder / "store")), "made-up.tsv", partitions=1)
    fill(this, count)
    other = folder / "other.gz"
    print(f"{count} images; CPU ms for each, best of {rounds}; bytes for each\n")
    print("| shard | standard library | ours | ratio | its bytes | our bytes |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for step, shard, rival in (
        (write_shards.WRITE_PIXELS, shards.image_shard("part-00000"), pixels_of_the_standard_library),
        (embed_images.WRITE_EMBEDDINGS, shards.embedding_shard("part-00000"), embeddings_of_the_standard_library),
    ):
        ours, theirs = [], []
        make(this, step)
        write = rival(this, other)
        for _ in range(rounds):
            forget(this, step.writes)
            ours.append(make(this, step))
            began = time.process_time()
            write()
            theirs.append(time.process_time() - began)
        bytes_ = this.store.size(release_path(this.version, shard))
        print(
            f"| {shard.split('/')[0]} | {min(theirs) / count * 1000:.3f} | {min(ours) / count * 1000:.3f} "
            f"| **{min(theirs) / min(ours):.1f}** | {other.stat().st_size / count:,.0f} | {bytes_ / count:,.0f} |",
            flush=True,
        )
    check_embeddings(this, count)


def check_embeddings(this: Context, count: int) -> None:
    numbers = vectors(min(count, 512))
    with this.store.open(release_path(this.version, shards.embedding_shard("part-00000"))) as file:
        for index, (_, vector) in enumerate(shards.read_embeddings(file)):
            if (vector != numbers[index % len(numbers)]).any():
                raise SystemExit(f"row {index} does not read back to the same numbers")
    print(f"\nevery one of {count * 2048:,} numbers reads back to the same float32")


STEPS: tuple[Step, ...] = tuple(
    step for step in (*write_shards.STEPS, *embed_images.STEPS) if step is not embed_images.EMBED
)


def whole_shard(folder: Path, name: str) -> None:
    """Run one step over a filled store, in this process alone; print what it took as JSON."""
    this = context(Store(str(folder)), "made-up.tsv", partitions=1)
    step = next(step for step in STEPS if step.name == name)
    began = time.perf_counter()
    seconds = make(this, step)
    wall = time.perf_counter() - began
    size = 0
    if isinstance(step, FileStep):
        size = sum(this.store.size(path) for path in this.store.files("releases/2026.01.01"))
    print(json.dumps({"seconds": seconds, "wall": wall, "peak": peak_memory(), "size": size}))


def simulate(folder: Path, count: int, number: int) -> None:
    """Print what whole shards take, step by step, and what 6.5 million images would."""
    took: dict[str, list[dict[str, float]]] = {step.name: [] for step in STEPS}
    for _ in range(number):
        with tempfile.TemporaryDirectory(dir=folder) as store:
            fill(context(Store(store), partitions=1), count)
            before = 0.0
            for step in STEPS:
                measured = in_a_process_of_its_own(step, Path(store))
                if measured["size"]:
                    measured["size"], before = measured["size"] - before, measured["size"]
                took[step.name].append(measured)
    factor = ALL_IMAGES / count
    print(f"{number} shards of {count} images each: means for a shard, greatest peak of memory; 6.5 M images\n")
    print("| step | CPU s | seconds | peak MB | MB | CPU h for 6.5 M | GB for 6.5 M |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    totals = dict.fromkeys(("seconds", "wall", "size"), 0.0)
    for name, measured_ in took.items():
        means = {unit: sum(one[unit] for one in measured_) / number for unit in totals}
        totals = {unit: totals[unit] + means[unit] for unit in totals}
        show_step(name, means, max(one["peak"] for one in measured_), factor)
    show_step("all", totals, max(one["peak"] for measured_ in took.values() for one in measured_), factor)
    print(f"\nload average of the machine at the end: {os.getloadavg()[0]:.1f}")


def in_a_process_of_its_own(step: Step, store: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.shards", "--step", step.name, "--store", str(store)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


def show_step(name: str, means: Mapping[str, float], peak: float, factor: float) -> None:
    seconds, wall, size = (means[unit] for unit in ("seconds", "wall", "size"))
    print(
        f"| {name} | {seconds:.1f} | {wall:.1f} | {peak / 1e6:.0f} | {size / 1e6:,.0f} | {seconds * factor / 3600:.1f} "
        f"| {size * factor / 1e9:,.0f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.shards", description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, help="images in a shard")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shards", type=int, default=0, help="simulate so many whole shards")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        whole_shard(options.store, options.step)
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.shards:
            simulate(Path(folder), options.images or 32_000, options.shards)
        else:
            compare(Path(folder), options.images or 2000, options.rounds)


if __name__ == "__main__":
    main()
