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
import tempfile
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.benchmarks.accounts import CHEAP_NETWORKS, Account, run
from tests.benchmarks.measuring import show
from tests.benchmarks.synthetic import Asked, SyntheticCommons, write_wit

_ASKING = ("describe_files",)


@dataclass(frozen=True)
class Made:
    """A run, what it took and what it asked for."""

    account: Account
    asked: Asked

    @property
    def cpu(self) -> float:
        """Seconds of CPU, without the stage that asks the API about every file."""
        return self.account.cpu - sum(self.account.stages[name].cpu for name in _ASKING)


def make(folder: Path, wit: Path, images: int, partitions: int, version: str, again: set[int]) -> Made:
    """Make a release of the state in which some files were uploaded again."""
    with SyntheticCommons(images, again) as commons:
        settings = commons.settings() | {
            "store": str(folder / "store"),
            "wit_files": [str(wit)],
            "version": version,
            "partitions": partitions,
        }
        return Made(run(settings, CHEAP_NETWORKS), commons.asked())


def curve(folder: Path, images: int, partitions: int, shares: list[float], network: float) -> None:
    """Make a release and its refreshes; print what they took."""
    wit = write_wit(folder / "wit.tsv.gz", images)
    full = make(folder, wit, images, partitions, "2026.01.01", set())
    made = []
    again: set[int] = set()
    for number, share in enumerate(shares, start=2):
        # Each refresh follows the last one: its files are an edition that the last one did not see.
        again = again ^ set(Random(number).sample(range(images), round(share * images)))
        made.append((share, make(folder, wit, images, partitions, f"2026.{number:02d}.01", again)))
    rows: list[tuple[object, ...]] = [_row("full run", full, full, 1.0, images, network)]
    rows += [_row(f"{share:.0%} changed", one, full, share, images, network) for share, one in made]
    header = ("", "seconds", "CPU s", "of the full run", "pictures", "bytes of the full run", "CPU s, asking the API")
    show(
        f"{images:,} images in {partitions} partitions, cheap networks",
        (*header, f"with networks of {network * 1000:.0f} ms an image (calculated)") if network else header,
        rows,
    )
    stages = [
        (name, full.account.stages[name].cpu, *(one.account.stages[name].cpu for _, one in made))
        for name in full.account.stages
    ]
    show("CPU seconds of each stage", ("stage", "full run", *(f"{share:.0%}" for share, _ in made)), stages)


def _row(name: str, made: Made, full: Made, share: float, images: int, network: float) -> tuple[object, ...]:
    row = (
        *(name, made.account.seconds, made.cpu, f"{made.cpu / full.cpu:.1%}", made.asked.pictures),
        f"{made.asked.picture_bytes / full.asked.picture_bytes:.2%}",
        sum(made.account.stages[stage].cpu for stage in _ASKING),
    )
    if not network:
        return row
    return (*row, f"{(made.cpu + share * images * network) / (full.cpu + images * network):.2%}")


def main() -> None:
    """Make and print the curve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--partitions", type=int, default=200)
    parser.add_argument("--shares", type=float, nargs="*", default=[0, 0.01, 0.05, 0.2, 1])
    parser.add_argument("--network-seconds", type=float, default=0.0, help="CPU seconds of both networks for an image")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        curve(Path(folder), options.images, options.partitions, options.shares, options.network_seconds)


if __name__ == "__main__":
    main()
