"""How long all suites take over a synthetic table of measurements, and how much memory.

    python -m tests.benchmarks.validation --rows 1000000

A row is an image; most are released and as they should be, some fail each kind of check, since failing rows cost more.
Whole WIT has some 6.5 million images.
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.config import ReleaseConfig
from pipelines.engine.step import Context
from pipelines.quality.collected import measurements_path
from pipelines.quality.judging import judge
from pipelines.quality.verdict import Verdict
from pipelines.storage.store import Store
from pipelines.tables import MEASUREMENTS, Outcome
from tests.running import peak_memory

_BATCH = 50_000
_FEW = 1_000
_WHOLE_WIT = 6_500_000
_FAILING = 1e-4


def batches(rows: int) -> Iterator[pa.Table]:
    """Make rows of images, `_BATCH` at a time."""
    random = np.random.default_rng(1)
    for start in range(0, rows, _BATCH):
        yield _images(random, np.arange(start, min(start + _BATCH, rows)))


def _images(random: np.random.Generator, numbers: np.ndarray) -> pa.Table:
    count = len(numbers)
    released = random.random(count) < 0.8
    outcome = np.where(released, Outcome.RELEASED, Outcome.MISSING)

    def fails() -> np.ndarray:
        return random.random(count) < _FAILING

    def where_released(values: np.ndarray) -> pa.Array:
        return pa.array(values, mask=~released)

    width = np.where(random.random(count) < 0.9, 300, 220)
    columns = {
        "about": pa.array(["image"] * count),
        "partition": pa.array([f"part-{number % 200:05d}" for number in numbers]),
        "image_url": pa.array(
            [f"https://upload.wikimedia.org/wikipedia/commons/a/ab/A_picture_of_something_{n:09d}.jpg" for n in numbers]
        ),
        "selected": pa.array(np.ones(count, bool)),
        "partitions_of_url": pa.array(np.where(fails(), 2, 1)),
        "in_its_partition": pa.array(~fails()),
        "canonical": pa.array(~fails()),
        "ledger_lines": pa.array(np.where(fails(), 2, 1)),
        "outcome": pa.array(outcome),
        "released_lines": pa.array(released.astype(np.int32)),
        "fetch_failed": pa.array(fails().astype(np.int32)),
        "undecodable": pa.array(fails().astype(np.int32)),
        "released_faces_measured": where_released(~fails()),
        "released_face_share": where_released(np.where(fails(), 0.2, random.random(count) / 10)),
        "released_candidate": where_released(fails()),
        "released_taken_down": where_released(fails()),
        "pixel_lines": pa.array(np.where(fails(), 0, released)),
        "pixel_sorted": where_released(~fails()),
        "pixel_error": pa.array(["damaged base64"] * count, mask=~fails()),
        "pixel_format": where_released(np.where(random.random(count) < 0.8, "JPEG", "PNG")),
        "pixel_complete": where_released(~fails()),
        "pixel_bytes": where_released(random.integers(5_000, 90_000, count)),
        "pixel_width": where_released(width + fails()),
        "pixel_width_expected": where_released(width),
        "pixel_stretch": where_released(random.random(count) + fails()),
        "pixel_stretch_original": where_released(random.random(count) * 2),
        "pixel_as_ledger": where_released(~fails()),
        "page_as_url": where_released(~fails()),
        "embedding_lines": pa.array(released.astype(np.int32)),
        "embedding_sorted": where_released(~fails()),
        "embedding_values": where_released(np.where(fails(), 2047, 2048)),
        "embedding_not_finite": where_released(fails().astype(np.int32)),
        "embedding_min": where_released(np.where(fails(), -0.1, 0.0)),
        "embedding_spread": where_released(np.where(fails(), 0, random.random(count) + 1)),
        "caption_rows": where_released(random.integers(1, 30, count)),
        "captions": where_released(random.integers(1, 3, count)),
        "caption_errors": where_released(fails().astype(np.int32)),
        "joined_lines": pa.array(np.where(fails(), 0, released)),
        "joined_sorted": where_released(~fails()),
        "joined_as_ledger": where_released(~fails()),
        "joined_embedding_as_shard": where_released(~fails()),
    }
    return pa.Table.from_arrays(
        [
            columns[field.name].cast(field.type) if field.name in columns else pa.nulls(count, field.type)
            for field in MEASUREMENTS.schema
        ],
        schema=MEASUREMENTS.schema,
    )


def judged(rows: int) -> tuple[float, float, Verdict]:
    """Judge a table of so many images; return seconds, seconds of CPU, and the verdict."""
    with tempfile.TemporaryDirectory() as folder:
        config = ReleaseConfig(origin="demo", media_url="http://127.0.0.1", api_url="http://127.0.0.1")
        context = Context(config, "2026.11.23", Store(folder), observation="")
        with (
            context.store.write(measurements_path(context.version)) as written,
            pq.ParquetWriter(pa.PythonFile(written.file, mode="w"), MEASUREMENTS.schema, compression="ZSTD") as sink,
        ):
            for batch in batches(rows):
                sink.write_table(batch)
        started, cpu = time.monotonic(), time.process_time()
        verdict = judge(context)
        return time.monotonic() - started, time.process_time() - cpu, verdict


def main() -> None:
    """Judge a small table and a large one; print what they took, and what the whole of WIT would take."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    logging.getLogger("pipelines").setLevel(logging.CRITICAL)
    first, first_cpu, _ = judged(_FEW)  # imports Great Expectations
    few, _, _ = judged(_FEW)
    before = _peak()
    many, many_cpu, verdict = judged(rows)
    print(
        f"{_FEW:,} rows: {first:.1f} s with imports ({first_cpu:.1f} s of CPU), {few:.1f} s without; {before:.2f} GB\n"
        f"{rows:,} rows, {len(verdict.expectations)} expectations, {len(verdict.errors)} of which fail: {many:.1f} s "
        f"({many_cpu:.1f} s of CPU), peak {_peak():.2f} GB; with imports {many + first - few:.1f} s\n"
        f"extrapolated to {_WHOLE_WIT:,} images: {first + (many - few) * _WHOLE_WIT / rows:.0f} s, "
        f"{before + (_peak() - before) * _WHOLE_WIT / rows:.1f} GB"
    )


def _peak() -> float:
    return peak_memory() / 1e9


if __name__ == "__main__":
    main()
