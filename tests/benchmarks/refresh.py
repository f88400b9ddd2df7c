"""What a refresh costs beside the full run that it follows: the curve over the share of files that were uploaded again.

    python -m tests.benchmarks.refresh [--images 20000] [--partitions 200] [--shares 0 0.01 0.05 0.2 1] [--sample 1000]

A release of synthetic images is made, and then one refresh after the other, each in a process of its own. Counted is
the CPU time of all its processes, imports, Dask's workers and scheduler included, and what was fetched from the media
servers. What the API is asked is not counted; the time of the stage that asks it is given by itself.

The shares for which a limit is set are refreshed with the real networks (`seeded_networks`), once for each face
detector, and the others with `cheap_networks`. A full run with the real ones takes hours on a CPU, so it is
*calculated*: the full run with cheap ones, and for each picture what the real ones add to a run over a `--sample` of as
many pictures a partition, which is *measured*.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.benchmarks.accounts import CHEAP_NETWORKS, SEEDED_NETWORKS, Account, run
from tests.benchmarks.claims import Claim, told
from tests.benchmarks.faces import MODELS
from tests.benchmarks.measuring import show
from tests.benchmarks.seeded_networks import DETECTOR
from tests.benchmarks.synthetic import Asked, SyntheticCommons, write_wit

_ASKING = ("describe_files",)
_WANTED = {0.0: (0.02, 0.0), 0.01: (0.04, 0.011)}
"""For a share that changed: what a refresh may take of the full run's CPU time and of its bytes."""


@dataclass(frozen=True)
class Made:
    """A run, what it took, and what it asked for."""

    account: Account
    asked: Asked

    @property
    def cpu(self) -> float:
        """Seconds of CPU, without the stage that asks the API about every file."""
        return self.account.cpu - sum(self.account.stages[name].cpu for name in _ASKING)


@dataclass(frozen=True)
class Refresh:
    """A refresh after a share of the files was uploaded again, with cheap networks or with this face detector."""

    share: float
    model: str | None
    made: Made


class World:
    """The files, which are uploaded again and again, and the store that releases of them are in."""

    def __init__(self, folder: Path, images: int, partitions: int) -> None:
        folder.mkdir()
        self._folder, self._images, self._partitions = folder, images, partitions
        self._wit = write_wit(folder / "wit.tsv.gz", images)
        self._again: set[int] = set()
        self._releases = 0

    def change(self, share: float) -> None:
        """Upload files again: their edition is one that no release has seen since the last change."""
        chosen = Random(self._releases).sample(range(self._images), round(share * self._images))
        self._again ^= set(chosen)

    def release(self, model: str | None) -> Made:
        """Make the next release, with the real networks if a face detector is named."""
        self._releases += 1
        with SyntheticCommons(self._images, self._again) as commons:
            settings = commons.settings() | {
                "store": str(self._folder / "store"),
                "wit_files": [str(self._wit)],
                "version": f"2026.{self._releases:02d}.01",
                "partitions": self._partitions,
            }
            account = run(settings, {**SEEDED_NETWORKS, DETECTOR: model} if model else CHEAP_NETWORKS)
            return Made(account, commons.asked())


def network_seconds(folder: Path, pictures: int, partitions: int) -> dict[str, float]:
    """Measure, by face detector, the CPU seconds that it and ResNet-50 add to a full run for each picture.

    It is the slope between a tenth of the pictures and all of them: to load the networks is not counted.
    """
    added: list[dict[str, float]] = []
    for name, part in (("tenth", 10), ("all", 1)):
        shape = (pictures // part, max(1, partitions // part))
        worlds = {model: World(folder / f"{name}-{model}", *shape) for model in (None, *MODELS)}
        taken = {model: world.release(model).cpu for model, world in worlds.items()}
        added.append({model: taken[model] - taken[None] for model in MODELS})
    few, many = added
    return {model: (many[model] - few[model]) / (pictures - pictures // 10) for model in MODELS}


def curve(folder: Path, images: int, partitions: int, shares: list[float], sample: int) -> int:
    """Make a release and its refreshes; print what they took; return 0 if that is what is wanted, else 1."""
    each = network_seconds(folder, sample, max(1, round(partitions * sample / images)))
    world = World(folder / "world", images, partitions)
    full = world.release(None)
    refreshes = []
    for share in shares:
        for model in MODELS if share in _WANTED else (None,):
            world.change(share)
            refreshes.append(Refresh(share, model, world.release(model)))
    wholes = {model: full.cpu + images * seconds for model, seconds in each.items()}
    rows = [("full run", "cheap networks", *_numbers(full, full), *(f"{whole:,.0f} s" for whole in wholes.values()))]
    for one in refreshes:
        # What the real ones add where the run had cheap ones: calculated, too.
        added = {model: one.made.asked.pictures * seconds * (one.model is None) for model, seconds in each.items()}
        parts = (
            f"{(one.made.cpu + added[model]) / wholes[model]:.2%}" if one.model in (None, model) else ""
            for model in MODELS
        )
        rows.append((f"{one.share:.0%} changed", one.model or "cheap networks", *_numbers(one.made, full), *parts))
    header = ("", "with", "seconds", "CPU s", "fetched", "bytes", "CPU s, asking the API")
    named = (f"of {model}'s full run, {seconds * 1000:.0f} ms a picture" for model, seconds in each.items())
    show(f"{images:,} images in {partitions} partitions", (*header, *named), rows)
    stages = [
        (name, full.account.stages[name].cpu, *(one.made.account.stages[name].cpu for one in refreshes))
        for name in full.account.stages
    ]
    kinds = (f"{one.share:.0%} {one.model or ''}".strip() for one in refreshes)
    show("CPU seconds of each stage", ("stage", "full run", *kinds), stages)
    return told(_claims(refreshes, full, wholes))


def _claims(refreshes: Sequence[Refresh], full: Made, wholes: Mapping[str, float]) -> Iterator[Claim]:
    for one in refreshes:
        if one.share in _WANTED and one.model:
            cpu, fetched = _WANTED[one.share]
            taken = one.made.cpu / wholes[one.model]
            yield f"{one.share:.0%} changed, {one.model}: {taken:.2%} of the CPU time, ≤ {cpu:.0%}", taken <= cpu
            part = one.made.asked.picture_bytes / full.asked.picture_bytes
            yield f"{one.share:.0%} changed, {one.model}: {part:.2%} of the bytes, ≤ {fetched:.1%}", part <= fetched


def _numbers(made: Made, full: Made) -> tuple[object, ...]:
    return (
        *(made.account.seconds, made.cpu, made.asked.pictures),
        f"{made.asked.picture_bytes / full.asked.picture_bytes:.2%}",
        sum(made.account.stages[stage].cpu for stage in _ASKING),
    )


def main() -> int:
    """Make and print the curve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--partitions", type=int, default=200)
    parser.add_argument("--shares", type=float, nargs="*", default=[0, 0.01, 0.05, 0.2, 1])
    parser.add_argument("--sample", type=int, default=1000, help="pictures of which the networks' cost is measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        return curve(Path(folder), options.images, options.partitions, options.shares, options.sample)


if __name__ == "__main__":
    sys.exit(main())
