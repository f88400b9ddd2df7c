"""Measures what each stage costs for an image, a partition and a run; writes pipelines/capacity/unit_costs.json.

    python -m tests.benchmarks.unit_costs [--small 100] [--large 400] [--whole] [--write]

Three releases of synthetic images are made in this process: of few images, of more, and of few in more partitions. With
`--whole` they are judged and published, which one process does; without, that is missing from the file, and it says so.
The costs that explain their CPU seconds best, none below zero, are the units. CPU seconds, since they hold on a busy
machine too. The networks are measured by themselves, with seeded weights, on one picture at a time.
"""

import argparse
import datetime
import importlib
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from distributed import Client
from scipy.optimize import nnls

from pipelines.capacity.model import UNIT_COSTS, Unit
from pipelines.commons.politeness import LocalLeases
from pipelines.config import ReleaseConfig
from pipelines.engine.partition import make_partition
from pipelines.pipeline import STAGES, run_stage
from pipelines.releases.versions import begin, release_path
from pipelines.storage.store import Store
from tests.benchmarks import cheap_networks
from tests.benchmarks.synthetic import SyntheticCommons, write_wit
from tests.running import ROOT

_FOLDERS = {
    "pull_rows": ("work/pulled", "work/images"),
    "describe_files": ("work/descriptions",),
    "fetch_images": ("work/pixels",),
    "detect_faces": ("work/faces",),
    "decide": ("work/ledger",),
    "write_shards": ("image_pixels", "captions", "ledger", "work/phashes"),
    "embed_images": ("resnet_embeddings", "parquet", "work/embeddings"),
    "validate": ("work/measurements",),
}
"""Where what a stage stores lies; what is linked into the release is counted once."""


@dataclass(frozen=True)
class Sample:
    """What one release took: CPU seconds that workers share and that one process has to itself, and bytes."""

    images: int
    partitions: int
    shared: dict[str, float]
    alone: dict[str, float]
    stored: dict[str, int]
    fetched: int


def sample(images: int, partitions: int, whole: bool) -> Sample:
    """Make a release in this process, step by step; `whole`: with what follows the steps of validate, and publish."""
    shared, alone = {}, {}
    with (
        tempfile.TemporaryDirectory() as folder,
        SyntheticCommons(images) as commons,
        Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None) as client,
    ):
        wit = write_wit(Path(folder) / "wit.tsv.gz", images)
        store = Store(str(Path(folder) / "store"))
        settings = commons.settings() | {"store": store.url, "wit_files": [str(wit)], "partitions": partitions}
        context = begin(ReleaseConfig.parse(settings), "benchmark")
        for name in STAGES:
            began = time.process_time()
            for step in importlib.import_module(f"pipelines.stages.{name}").STEPS:
                for key in step.keys(context):
                    make_partition(context, step, key, lambda rows: None, lambda kind: LocalLeases(2), "cpu")
            between = time.process_time()
            if whole:
                run_stage(name, context, client)
            shared[name] = between - began
            alone[name] = time.process_time() - between if name in ("validate", "publish") else 0.0
        stored = {
            name: sum(_bytes(store, path if "/" in path else release_path(context.version, path)) for path in paths)
            for name, paths in _FOLDERS.items()
        }
        return Sample(images, partitions, shared, alone, stored, commons.asked().picture_bytes)


def _bytes(store: Store, folder: str) -> int:
    return sum(store.size(path) for path in store.files(folder))


def units(samples: list[Sample], networks: Mapping[str, float]) -> dict[str, Unit]:
    """Return the unit costs that explain the samples best."""
    facts = np.array([[one.images, one.partitions, 1.0] for one in samples])
    largest = max(samples, key=lambda one: one.images)
    found = {}
    for name in STAGES:
        (image, partition, start), _ = nnls(facts, np.array([one.shared[name] for one in samples]))
        (serial, _, fixed), _ = nnls(facts * [1, 0, 1], np.array([one.alone[name] for one in samples]))
        found[name] = Unit(
            image=round(image, 6),
            partition=round(partition, 5),
            fixed=round(start + fixed, 3),
            serial_image=round(serial, 7),
            stored=round(largest.stored.get(name, 0) / largest.images),
            network=round(networks.get(name, 0.0), 4),
            peak=_PEAKS.get(name),
        )
    return found


_PEAKS = {"write_shards": 354_000_000, "embed_images": 485_000_000}
"""Bytes, over a shard of 32,000 images: as tests.benchmarks.shards measured them (RESULTS.md, Shards)."""


def networks(pictures: int) -> dict[str, float]:
    """Return the CPU seconds that the two networks take for a picture, with seeded weights."""
    from pipelines.vision.embedding import load_embedder
    from tests.benchmarks.faces import detector as seeded
    from tests.benchmarks.synthetic import Drawn

    drawn = Drawn()
    shown = [drawn.picture(number, 0) for number in range(pictures)]
    detector = seeded("retinaface-resnet50", "cpu", "auto", 1)
    embedder = load_embedder("resnet50-stand-in", device="cpu", threads=1, stand_in=True)
    took = {}
    for name, look in (("detect_faces", detector.detect), ("embed_images", embedder.embed)):
        look(shown[:1])
        before = time.process_time()
        look(shown)
        took[name] = (time.process_time() - before) / pictures
    return took


def machine() -> str:
    """Return the processor in words."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def main() -> None:
    """Measure, print, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=100)
    parser.add_argument("--large", type=int, default=400)
    parser.add_argument("--pictures", type=int, default=6, help="for the networks")
    parser.add_argument("--whole", action="store_true", help="with expectations, reports and publication")
    parser.add_argument("--write", action="store_true", help=f"write {UNIT_COSTS.name}")
    options = parser.parse_args()
    cheap_networks.dask_setup(None)
    whole = options.whole
    sample(20, 2, whole)  # imports, and what is loaded once
    sizes = ((options.small, 4), (options.large, 4), (options.small, 16))
    samples = [sample(images, partitions, whole) for images, partitions in sizes]
    left_out = "" if whole else "NOT in it: Great Expectations, reports and publication, and Dask's own work. "
    found = units(samples, networks(options.pictures))
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    text = json.dumps(
        {
            "measured": {
                "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
                "machine": machine(),
                "commit": commit.stdout.strip(),
                "command": f"python -m tests.benchmarks.unit_costs --small {options.small} --large {options.large}"
                + (" --whole" if whole else ""),
                "images": f"{options.small} to {options.large}",
                "note": f"{left_out}Networks: seeded weights, CPU, one thread. Memory: shards of 32,000 images, by "
                "tests.benchmarks.shards.",
            },
            "fetched": round(samples[1].fetched / samples[1].images),
            "stages": {name: asdict(unit) for name, unit in found.items()},
        },
        indent=1,
    )
    print(text)
    if options.write:
        UNIT_COSTS.write_text(text + "\n")


if __name__ == "__main__":
    main()
