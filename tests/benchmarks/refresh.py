"""What a refresh costs beside the full run that it follows: the curve over the share of files that were uploaded again.

    python -m tests.benchmarks.refresh [--images 20000] [--partitions 200] [--shares 0 0.01 0.05 0.2 1]

A release of synthetic images is made, and then one refresh after the other, each in a process of its own. Counted is
the CPU time of all its processes, imports, Dask's workers and scheduler included, and what was fetched from the media
servers. What the API is asked is not counted; the time of the stage that asks it is given by itself. The networks are
`cheap_networks`, which makes this the harder test: with real ones the full run is dearer by what they take for each
image, and the refresh by that share of it; `--network-seconds` says how much that is, and adds a column that is
*calculated*.
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.benchmarks.accounts import CHEAP_NETWORKS, Account, run
from tests.benchmarks.cheap_networks import SEEN
from tests.benchmarks.claims import Claim, told
from tests.benchmarks.faces import MODELS
from tests.benchmarks.measuring import show
from tests.benchmarks.passes import cpu_costs
from tests.benchmarks.synthetic import Asked, SyntheticCommons, write_wit

_ASKING = ("describe_files",)
_WANTED = {0.0: (0.02, 0.0), 0.01: (0.04, 0.011)}
"""For a share that changed: what a refresh may take of the full run's CPU time and of its bytes."""


@dataclass(frozen=True)
class Networks:
    """CPU seconds that a face detector and ResNet-50 take for a picture."""

    faces: float
    embedding: float


@dataclass(frozen=True)
class Made:
    """A run, what it took, what it asked for, and how many pictures each network was shown."""

    account: Account
    asked: Asked
    seen: Counter[str]

    @property
    def cpu(self) -> float:
        """Seconds of CPU, without the stage that asks the API about every file."""
        return self.account.cpu - sum(self.account.stages[name].cpu for name in _ASKING)

    def cpu_with(self, networks: Networks) -> float:
        """Return what it would have taken with networks that cost so much, in seconds of CPU."""
        return self.cpu + self.seen["faces"] * networks.faces + self.seen["resnet50"] * networks.embedding


def make(folder: Path, wit: Path, images: int, partitions: int, version: str, again: set[int]) -> Made:
    """Make a release of the state in which some files were uploaded again."""
    with SyntheticCommons(images, again) as commons:
        settings = commons.settings() | {
            "store": str(folder / "store"),
            "wit_files": [str(wit)],
            "version": version,
            "partitions": partitions,
        }
        seen = folder / f"{version}.seen"
        account = run(settings, {**CHEAP_NETWORKS, SEEN: str(seen)})
        return Made(account, commons.asked(), _counted(seen))


def _counted(seen: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    for line in seen.read_text().splitlines() if seen.exists() else []:
        network, pictures = line.split()
        counts[network] += int(pictures)
    return counts


def real_networks() -> dict[str, Networks]:
    """Measure the real networks, by the face detector."""
    costs = cpu_costs(rounds=3)
    return {model: Networks(costs[model].cpu, costs["resnet50"].cpu) for model in MODELS}


def curve(folder: Path, images: int, partitions: int, shares: list[float]) -> int:
    """Make a release and its refreshes; print what they took; return 0 if that is what is wanted, else 1."""
    networks = real_networks()
    wit = write_wit(folder / "wit.tsv.gz", images)
    full = make(folder, wit, images, partitions, "2026.01.01", set())
    made = []
    again: set[int] = set()
    for number, share in enumerate(shares, start=2):
        # Each refresh follows the last one: its files are an edition that the last one did not see.
        again = again ^ set(Random(number).sample(range(images), round(share * images)))
        made.append((share, make(folder, wit, images, partitions, f"2026.{number:02d}.01", again)))
    rows: list[tuple[object, ...]] = [_row("full run", full, full, networks)]
    rows += [_row(f"{share:.0%} changed", one, full, networks) for share, one in made]
    header = ("", "seconds", "CPU s", "of the full run", "fetched", "bytes", "looked at", "CPU s, asking the API")
    named = (
        f"with {model}, {cost.faces * 1000:.0f} + {cost.embedding * 1000:.0f} ms" for model, cost in networks.items()
    )
    show(f"{images:,} images in {partitions} partitions", (*header, *named), rows)
    stages = [
        (name, full.account.stages[name].cpu, *(one.account.stages[name].cpu for _, one in made))
        for name in full.account.stages
    ]
    show("CPU seconds of each stage", ("stage", "full run", *(f"{share:.0%}" for share, _ in made)), stages)
    return told(_claims(made, full, networks))


def _claims(made: Sequence[tuple[float, Made]], full: Made, networks: Mapping[str, Networks]) -> Iterator[Claim]:
    for share, one in made:
        if share in _WANTED:
            cpu, fetched = _WANTED[share]
            for model, real in networks.items():
                taken = one.cpu_with(real) / full.cpu_with(real)
                yield f"{share:.0%} changed, {model}: {taken:.2%} of the CPU time, ≤ {cpu:.0%}", taken <= cpu
            part = one.asked.picture_bytes / full.asked.picture_bytes
            yield f"{share:.0%} changed: {part:.2%} of the bytes, ≤ {fetched:.1%}", part <= fetched


def _row(name: str, made: Made, full: Made, networks: Mapping[str, Networks]) -> tuple[object, ...]:
    return (
        *(name, made.account.seconds, made.cpu, f"{made.cpu / full.cpu:.1%}", made.asked.pictures),
        f"{made.asked.picture_bytes / full.asked.picture_bytes:.2%}",
        *(made.seen["faces"], sum(made.account.stages[stage].cpu for stage in _ASKING)),
        *(f"{made.cpu_with(real) / full.cpu_with(real):.2%}" for real in networks.values()),
    )


def main() -> int:
    """Make and print the curve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--partitions", type=int, default=200)
    parser.add_argument("--shares", type=float, nargs="*", default=[0, 0.01, 0.05, 0.2, 1])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        return curve(Path(folder), options.images, options.partitions, options.shares)


if __name__ == "__main__":
    sys.exit(main())
