"""What the benchmarks of the networks share: pictures, clocks, tables."""

import io
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from tests.shared import SHARED
from tests.vision.making import Pixels, encoded, picture

SIZES = ((300, 225), (300, 200), (300, 400), (300, 225))
"""The most frequent shapes of photographs at 300 pixels' width: 4:3, 3:2, 3:4. What ``detect_faces`` scales them up to
depends on the shorter side, so a mix with more upright pictures would favour it, one with more panoramas would not."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds for one picture: by the clock, and of all this process's cores."""

    wall: float
    cpu: float


def jpegs() -> list[bytes]:
    """Return a picture of each of ``SIZES`` as JPEG: photographs where the shared data is at hand, else drawn ones."""
    photographs = sorted((SHARED / "faces" / "labelled").glob("01*.jpg"))
    if len(photographs) < len(SIZES):
        return [encoded(picture(*size, seed), "JPEG") for seed, size in enumerate(SIZES)]
    made = []
    for path, size in zip(photographs, SIZES, strict=False):
        with Image.open(path) as opened:
            made.append(encoded(np.asarray(opened.convert("RGB").resize(size)), "JPEG"))
    return made


def pixels_of(data: bytes) -> Pixels:
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(opened.convert("RGB"))


def in_turn(ways: Mapping[str, tuple[Callable[[], object], int]], rounds: int) -> dict[str, Cost]:
    """Time each way in turn, ``rounds`` times; the best round of each counts.

    Args:
        ways: what to run, and how many pictures that is.
        rounds: how often; a way is run once before that, to warm up.

    """
    for run, _ in ways.values():
        run()
    best: dict[str, Cost] = {}
    for _ in range(rounds):
        for name, (run, count) in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            spent = Cost((time.perf_counter() - wall) / count, (time.process_time() - cpu) / count)
            before = best.get(name, spent)
            best[name] = Cost(min(before.wall, spent.wall), min(before.cpu, spent.cpu))
    return best


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table in Markdown."""
    print(f"\n{title}\n")
    print("| " + " | ".join(header) + " |")
    print("| --- |" + " ---: |" * (len(header) - 1))
    for row in rows:
        print("| " + " | ".join(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row) + " |")


def show_costs(title: str, costs: Mapping[str, Cost], baseline: str) -> None:
    """Print what each way costs, and how many times faster it is than the baseline."""
    base = costs[baseline]
    rows = [
        (name, 1e3 * cost.wall, 1e3 * cost.cpu, 1 / cost.wall, base.wall / cost.wall, base.cpu / cost.cpu)
        for name, cost in costs.items()
    ]
    header = ("way", "ms a picture", "CPU ms a picture", "pictures/s", "× by the clock", "× by CPU time")
    show(title, header, rows)


def describe_machine(device: str) -> str:
    """Return machine, cores and torch in words."""
    gpu = f", {torch.cuda.get_device_name()}" if device == "cuda" else ""
    return f"{platform.machine()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}{gpu}"


def has_bf16_instructions() -> bool:
    """Say whether this machine's CPU has some for bf16, whether or not they make it faster."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def matmul_rate(kind: torch.dtype) -> float:
    """Return the FLOP/s of a large matrix product of random numbers on the GPU: the ceiling for convolutions."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=kind) for _ in range(2))
    return 2 * 8192**3 / gpu_seconds(lambda: a @ b, 20)


def gpu_seconds(run: Callable[[], object], times: int) -> float:
    """Return the seconds that a GPU takes for a run, on average of ``times`` after a warm-up."""
    for _ in range(3):
        run()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(times):
        run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3 / times
