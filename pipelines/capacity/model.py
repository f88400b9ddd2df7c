"""What a release will take: time, CPU, GPU, bytes and calls for each stage, and which limit binds. Arithmetic only.

Costs of a unit come from `unit_costs.json`, which ``python -m tests.benchmarks.unit_costs`` measures and writes. What
cannot be measured without a GPU, and what depends on servers that are not ours, is assumed, and is printed as such.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

UNIT_COSTS = Path(__file__).with_name("unit_costs.json")

TITLES_A_CALL = 50
"""Files that one query of the Action API describes."""

_RETINAFACE_GFLOP, _RESNET_GFLOP = 20.2, 8.2
_GPU_STAGES = {"detect_faces": _RETINAFACE_GFLOP, "embed_images": _RESNET_GFLOP}
"""GFLOP for a picture of 300 pixels: RetinaFace as counted by tests.benchmarks.faces; ResNet-50 at 224 × 224 pixels."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the servers of a profile allow, and what they are assumed to take to answer.

    Args:
        connections: to the media servers, in all.
        bits_per_second: from them, in all; None: no limit.
        calls_per_second: to the Action API; None: no limit.
        latency: seconds from a request to the end of its answer; an assumption.

    """

    connections: int
    bits_per_second: float | None
    calls_per_second: float | None
    latency: float


PROFILES: Mapping[str, Limits] = {
    "wikimedia": Limits(connections=2, bits_per_second=25e6, calls_per_second=200 / 60, latency=0.08),
    "mirror": Limits(connections=16, bits_per_second=None, calls_per_second=None, latency=0.005),
}
"""Wikimedia's limits are those of its robot policy; a mirror is one's own, with as many connections as by default."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU in numbers; none of them was measured.

    Args:
        teraflops: that its maker promises for bf16.
        utilisation: the share of it that convolutions are assumed to reach.

    """

    teraflops: float = 989.0
    utilisation: float = 0.2


@dataclass(frozen=True, slots=True)
class Prices:
    """What things cost, in any currency; 0: not counted."""

    cpu_hour: float = 0.0
    gpu_hour: float = 0.0
    gb_month: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be planned.

    Args:
        images: selected from WIT.
        limits: of the servers.
        workers: processes of one core each.
        gpus: among them; 0: the networks run on the CPU.
        partitions: of the release.
        files: WIT files, each of which one worker reads.
        networks: whether the two networks are planned; without: what the unit costs were measured with.

    """

    images: int
    limits: Limits
    workers: int = 2
    gpus: int = 0
    partitions: int = 200
    files: int = 10
    networks: bool = True
    gpu: Gpu = field(default_factory=Gpu)


@dataclass(frozen=True, slots=True)
class Unit:
    """What a stage costs: a part for each image and partition that workers share, and one that nobody shares.

    Args:
        image: CPU seconds for an image, on workers.
        partition: CPU seconds for a partition, on workers.
        fixed: CPU seconds for a run, on one process.
        serial_image: CPU seconds for an image, on one process.
        stored: bytes for an image that stay in the store.
        network: CPU seconds for an image of a network on the CPU, 0 without one.
        peak: bytes of memory of a worker, for shards of a whole release; None: not measured.

    """

    image: float
    partition: float = 0.0
    fixed: float = 0.0
    serial_image: float = 0.0
    stored: float = 0.0
    network: float = 0.0
    peak: int | None = None


@dataclass(frozen=True, slots=True)
class UnitCosts:
    """Costs of a unit for each stage, bytes that are fetched for an image, and how all that was measured."""

    stages: Mapping[str, Unit]
    fetched: float
    measured: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What a stage takes.

    Args:
        name: of the stage.
        seconds: by the clock.
        cpu: seconds of all cores.
        gpu: seconds of all GPUs; an estimate.
        moved: bytes from Wikimedia.
        stored: bytes that stay in the store.
        calls: of the Action API.
        peak: memory of a worker in bytes; None: not measured.
        binds: the limit that decides how long it takes.

    """

    name: str
    seconds: float
    cpu: float
    gpu: float
    moved: float
    stored: float
    calls: int
    peak: int | None
    binds: str


def read_unit_costs(path: Path = UNIT_COSTS) -> UnitCosts:
    """Read the file that the benchmark wrote."""
    known = json.loads(path.read_text())
    stages = {name: Unit(**unit) for name, unit in known["stages"].items()}
    return UnitCosts(stages, known["fetched"], known["measured"])


def plan(asked: Asked, costs: UnitCosts) -> list[StagePlan]:
    """Return what each stage takes, in their order."""
    return [_stage(name, unit, asked, costs) for name, unit in costs.stages.items()]


def _stage(name: str, unit: Unit, asked: Asked, costs: UnitCosts) -> StagePlan:
    images = asked.images
    on_gpu = asked.networks and asked.gpus > 0 and name in _GPU_STAGES
    network = unit.network * images if asked.networks and not on_gpu else 0.0
    shared = unit.image * images + unit.partition * asked.partitions + network
    alone = unit.fixed + unit.serial_image * images
    gpu = _GPU_STAGES[name] * 1e9 * images / (asked.gpu.teraflops * 1e12 * asked.gpu.utilisation) if on_gpu else 0.0
    calls = -(-images // TITLES_A_CALL) if name == "describe_files" else 0
    moved = costs.fetched * images if name == "fetch_images" else 0.0
    hands = min(asked.workers, asked.files if name == "pull_rows" else asked.partitions)
    limits = {f"{hands} worker(s)": shared / hands, **_of_servers(name, asked, calls, moved)}
    if gpu:
        limits[f"{asked.gpus} GPU(s), estimated"] = gpu / asked.gpus
    binds = max(limits, key=lambda limit: limits[limit])
    seconds = limits[binds] + alone
    return StagePlan(
        *(name, seconds, shared + alone, gpu, moved, unit.stored * images, calls, unit.peak),
        binds if limits[binds] >= alone else "one process",
    )


def _of_servers(name: str, asked: Asked, calls: int, moved: float) -> dict[str, float]:
    limits = asked.limits
    if name == "describe_files" and limits.calls_per_second:
        return {f"API, {limits.calls_per_second * 60:.0f} calls a minute": calls / limits.calls_per_second}
    if name != "fetch_images":
        return {}
    waiting = asked.images * limits.latency / limits.connections
    found = {f"{limits.connections} connections × {limits.latency * 1000:.0f} ms": waiting}
    if limits.bits_per_second:
        found[f"{limits.bits_per_second / 1e6:.0f} Mbit/s"] = moved * 8 / limits.bits_per_second
    return found


def cost(stages: list[StagePlan], prices: Prices) -> float:
    """Return what a release costs: its CPU and GPU hours, and its bytes for a month."""
    cpu, gpu, stored = (sum(getattr(stage, what) for stage in stages) for what in ("cpu", "gpu", "stored"))
    return float(cpu / 3600 * prices.cpu_hour + gpu / 3600 * prices.gpu_hour + stored / 1e9 * prices.gb_month)
