"""Fetching beside img2dataset 1.47.0: ``python -m tests.benchmarks.fetch``.

Both programs download the same pictures from the same nginx, scale them to 300 px and write them, in turn, in one run;
we also write base64 and gzip, which the peer does not. What counts is CPU time of the whole command with all its
processes, and the same less what the command costs with one picture. Behind 80 ms with two connections, images a
second count.
The peer is installed into an environment of its own on first use. Take the ratios, not the figures.
"""

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from skimage.metrics import structural_similarity

from pipelines.commons import names
from tests.benchmarks.claims import told
from tests.benchmarks.fetch_servers import late_server, nginx, originals, peer_program, thumbnails
from tests.benchmarks.pictures import lanczos, ours

QUALITY = 90


@dataclass(frozen=True)
class Cost:
    """What a command took: CPU seconds, seconds, and the most memory that its processes had together, in bytes."""

    cpu: float
    wall: float
    memory: int
    said: str


def memory_of(pid: int) -> int:
    """Return the resident memory of a process and of all below it; what they share counts once."""
    total, waiting = 0, [pid]
    while waiting:
        current = waiting.pop()
        try:
            rollup = Path(f"/proc/{current}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024
            for task in Path(f"/proc/{current}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except (OSError, StopIteration):
            continue
    return total


def measured(command: list[str], names_: list[str] | None = None, env: dict[str, str] | None = None) -> Cost:
    """Run a command to its end."""
    peak = 0
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE if names_ is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | (env or {}),
        text=True,
    )
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.25):
            peak = max(peak, memory_of(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    before = os.times()
    out, err = process.communicate("\n".join(names_) if names_ is not None else None)
    after = os.times()
    wall = time.monotonic() - began
    done.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{err[-2000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(cpu, wall, peak, out)


class Bench:
    """Runs both programs over the same names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    def fresh(self) -> Path:
        self.count += 1
        return self.folder / f"out-{self.count}"

    def ours(self, way: str, url: str, wanted: list[str], kind: str, connections: int = 8) -> Cost:
        command = [
            sys.executable,
            "-m",
            "tests.benchmarks.fetch_ours",
            way,
            url,
            str(self.fresh()),
            kind,
            str(connections),
        ]
        return measured(command, wanted)

    def peer(self, url: str, wanted: list[str], kind: str, processes: int = 2, threads: int = 16) -> Cost:
        path = names.original_path if kind == "original" else lambda name: names.thumbnail_path(name, 330)
        output = self.fresh()
        urls = self.folder / f"{output.name}.txt"
        urls.write_text("\n".join(url + path(name) for name in wanted))
        settings = {
            "url_list": urls,
            "input_format": "txt",
            "output_format": "webdataset",
            "output_folder": output,
            "image_size": 300,
            "resize_mode": "keep_ratio_largest",
            "resize_only_if_bigger": True,
            "encode_quality": QUALITY,
            "processes_count": processes,
            "thread_count": threads,
            "number_sample_per_shard": 1000,
            "disallowed_header_directives": "[]",
            "enable_wandb": False,
        }
        command = [str(peer_program()), *(f"--{name}={value}" for name, value in settings.items())]
        return measured(command, env={"NO_ALBUMENTATIONS_UPDATE": "1"})

    def made_by_peer(self) -> int:
        """Return how many pictures the peer's last run wrote."""
        import tarfile

        output = self.folder / f"out-{self.count}"
        return sum(name.endswith(".jpg") for tar in output.glob("*.tar") for name in tarfile.open(tar).getnames())


def best(run: Callable[[], Cost], rounds: int) -> Cost:
    return min((run() for _ in range(rounds)), key=lambda cost: cost.cpu)


def side_by_side(
    bench: Bench, url: str, root: Path, wanted: list[str], kind: str, rounds: int
) -> list[tuple[str, bool]]:
    """Run both in turn, print the table; return what had to hold, and whether it did."""
    bench.ours("all", url, wanted[:1], kind), bench.peer(url, wanted[:1], kind)  # files into the disk's cache
    mine, theirs = [], []
    for _ in range(rounds):
        mine.append(bench.ours("all", url, wanted, kind))
        theirs.append(bench.peer(url, wanted, kind))
        if (made := bench.made_by_peer()) != len(wanted):
            raise SystemExit(f"the peer wrote {made} of {len(wanted)} pictures")
    our, their = min(mine, key=lambda c: c.cpu), min(theirs, key=lambda c: c.cpu)
    our_start = best(lambda: bench.ours("all", url, wanted[:1], kind), rounds).cpu
    their_start = best(lambda: bench.peer(url, wanted[:1], kind), rounds).cpu
    thousand = 1000 / len(wanted)
    whole = (our.cpu * thousand, their.cpu * thousand)
    less = ((our.cpu - our_start) * thousand, (their.cpu - their_start) * thousand)
    some = root / (names.original_path if kind == "original" else lambda n: names.thumbnail_path(n, 330))(wanted[0])[1:]
    parts = {
        "fetch": bench.ours("fetch", url, wanted, kind).cpu,
        "scale": bench.ours("scale", str(root), wanted, kind).cpu,
        "write": bench.ours("write", str(some), wanted, kind).cpu,
    }
    floor = {name: (cpu - our_start) * thousand for name, cpu in parts.items()}
    print(f"\n{len(wanted)} {kind}s; CPU seconds per 1,000{'ours':>14}{'img2dataset':>14}{'ratio':>8}")
    print(f"{'whole command':40}{whole[0]:10.2f}{whole[1]:14.2f}{whole[0] / whole[1]:8.2f}")
    print(f"{'less start-up':40}{less[0]:10.2f}{less[1]:14.2f}{less[0] / less[1]:8.2f}")
    print(f"{'most memory, MB':40}{our.memory / 1e6:10.0f}{their.memory / 1e6:14.0f}{our.memory / their.memory:8.2f}")
    print(f"{'seconds':40}{our.wall:10.1f}{their.wall:14.1f}{our.wall / their.wall:8.2f}")
    sums = sum(floor.values())
    print("floor: " + " + ".join(f"{name} {cpu:.2f}" for name, cpu in floor.items()) + f" = {sums:.2f}", end="; ")
    print(f"we need {less[0] / sums:.2f} of it")
    limits = (0.5, 0.8) if kind == "thumbnail" else (None, 0.65)
    held = [(f"{kind}s less start-up ≤ {limits[1]}", less[0] <= limits[1] * less[1])]
    if limits[0]:
        held.append((f"{kind}s whole command ≤ {limits[0]}", whole[0] <= limits[0] * whole[1]))
    return [*held, (f"{kind}s: less memory than the peer", our.memory < their.memory)]


def likeness(root: Path, wanted: list[str], kind: str) -> tuple[str, bool]:
    """Compare what we scale to Pillow's Lanczos, before encoding."""
    place = names.original_path if kind == "original" else lambda name: names.thumbnail_path(name, 330)
    values = []
    for name in wanted:
        data = (root / place(name)[1:]).read_bytes()
        values.append(structural_similarity(np.asarray(ours(data)), np.asarray(lanczos(data)), channel_axis=2))
    print(f"{kind}s: mean SSIM to Pillow's Lanczos before encoding {np.mean(values):.4f}, least {np.min(values):.4f}")
    return f"{kind}s: mean SSIM ≥ 0.995", bool(np.mean(values) >= 0.995)


def behind_latency(bench: Bench, body: bytes, number: int) -> tuple[str, bool]:
    """Two connections to a server that answers after 80 ms: at most 25 images/s."""
    wanted = [f"Late_{count}.jpg" for count in range(number)]
    with late_server(0.08, body) as url:
        seconds = float(bench.ours("all", url, wanted, "thumbnail", connections=2).said)
        start = bench.peer(url, wanted[:1], "thumbnail", processes=1, threads=2).wall
        peer = bench.peer(url, wanted, "thumbnail", processes=1, threads=2).wall - start
    mine, theirs = number / seconds, number / peer
    print(f"\nbehind 80 ms with 2 connections: {mine:.1f} images/s, the peer {theirs:.1f}, of the 25 that are possible")
    return "≥ 95 % of 25 images/s behind 80 ms", mine >= 0.95 * 25


def main() -> int:
    """Run everything and say what held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--thumbnails", type=int, default=3000)
    parser.add_argument("--originals", type=int, default=300)
    parser.add_argument("--late", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=2, help="the best of so many counts (default: %(default)s)")
    options = parser.parse_args()
    peer_program()
    with TemporaryDirectory() as name:
        folder = Path(name)
        root = folder / "root"
        small, large = thumbnails(root, options.thumbnails), originals(root, options.originals)
        bench = Bench(folder)
        with nginx(root, folder / "nginx") as url:
            held = side_by_side(bench, url, root, small, "thumbnail", options.rounds)
            held += side_by_side(bench, url, root, large, "original", options.rounds)
        held += [likeness(root, small[:36], "thumbnail"), likeness(root, large[:16], "original")]
        body = (root / names.thumbnail_path(small[0], 330)[1:]).read_bytes()
        held.append(behind_latency(bench, body, options.late))
    return told(held)


if __name__ == "__main__":
    sys.exit(main())
