"""What it costs to embed pictures of 300 pixels' width, beside a plain ResNet-50 in fp32.

    python -m tests.benchmarks.embeddings [--threads 2] [--rounds 3]
    python -m tests.benchmarks.embeddings --device cuda [--pictures 16384] [--compile]

Weights are seeded: they cost what real ones cost. On a CPU the ways are run in turn; the peer gets decoded, prepared
pictures in batches of 32, so decoding and preparing count against ours alone. On a GPU the table says what the
arithmetic alone would take (FLOPs over the rate of a large matrix product), what the network takes, and what comes out
at the end. The last lines, and the exit status, say whether what was wanted holds. A machine with a GPU needs torch,
numpy, Pillow and simplejpeg.
"""

import argparse
import os
import sys
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipelines.vision.checkpoint import Checkpoint
from pipelines.vision.devices import Processor, processor_for
from pipelines.vision.embedding import ROWS, Embedder
from pipelines.vision.gpu import Program
from pipelines.vision.resnet50 import ResNet50
from pipelines.vision.weights import WeightsUsed
from tests.benchmarks.claims import Claim, at_least, told
from tests.benchmarks.measuring import (
    describe_machine,
    gpu_seconds,
    has_bf16_instructions,
    in_turn,
    jpegs,
    matmul_rate,
    pixels_of,
    show,
    show_costs,
)
from tests.vision.reference_resnet50 import PlainResNet50, seeded

BATCH = 32


def embedder(plain: PlainResNet50, processor: Processor, compiled: bool = False) -> Embedder:
    network: Any = ResNet50(Checkpoint(plain.state_dict(), "seeded"))
    if compiled:
        network = torch.compile(network, fullgraph=True, dynamic=False)
    used = WeightsUsed("resnet50", "0" * 64, "none", stand_in=False)
    return Embedder(network, used, processor, ROWS if processor.is_gpu else None)


def on_cpu(threads: int, rounds: int) -> list[Claim]:
    plain = seeded(1)
    pictures = 2 * jpegs()
    crops = torch.rand(BATCH, 3, 224, 224)
    processor = processor_for("cpu", "auto", threads)
    ours = embedder(plain, processor)
    fp32 = embedder(plain, processor_for("cpu", "fp32", threads))

    def peer() -> None:
        with torch.inference_mode():
            plain(crops)

    ways = {
        f"plain torch, fp32, batches of {BATCH}, network alone": (peer, BATCH),
        "ours, fp32, from files": (lambda: fp32.embed(pictures), len(pictures)),
        f"ours, {processor.precision}, from files": (lambda: ours.embed(pictures), len(pictures)),
    }
    costs = in_turn(ways, rounds)
    show_costs(f"Embeddings on a CPU ({describe_machine('cpu')})", costs, next(iter(ways)))
    alone, *_, chosen = costs.values()  # two where ours is in fp32
    claims = [_alike(processor.precision, ours.embed(pictures), fp32.embed(pictures))]
    if has_bf16_instructions():
        claims.append(at_least("× plain torch with bf16 instructions", alone.wall / chosen.wall, 1.9))
    return claims


def on_gpu(count: int, threads: int, rounds: int, precision: str, compiled: bool) -> list[Claim]:
    plain = seeded(1)
    few = jpegs()
    files = [few[number % len(few)] for number in range(count)]
    decoded = [pixels_of(data) for data in few]
    arrays = [decoded[number % len(few)] for number in range(count)]
    processor = processor_for("cuda", precision, threads)
    ours = embedder(plain, processor, compiled)
    alone = _network_rate(ours)
    costs = in_turn(
        {"pixels": (lambda: ours.embed_arrays(arrays), count), "files": (lambda: ours.embed(files), count)}, rounds
    )
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        plain(torch.rand(1, 3, 224, 224))
    ceiling = matmul_rate(processor.kind) / counter.get_total_flops()
    rows = [
        (name, rate, ceiling, rate / ceiling, rate / alone, 1 - min(1.0, rate / alone))
        for name, rate in (("network alone", alone), *((name, 1 / cost.wall) for name, cost in costs.items()))
    ]
    header = ("from", "pictures/s", "ceiling", "share of it", "share of the network's", "GPU idle")
    show(f"Embeddings on a GPU ({describe_machine('cuda')}, {processor.precision}, {threads} threads)", header, rows)
    exact = embedder(plain, processor_for("cuda", "fp32", threads)).embed_arrays(decoded)
    from_pixels, from_files = (1 / cost.wall for cost in costs.values())
    return [
        _alike(processor.precision, ours.embed_arrays(decoded), exact),
        at_least("pictures/s from pixels", from_pixels, 10_000),
        at_least(f"pictures/s from files with {threads} threads", from_files, 4_000),
        at_least("% of the network's own rate from pixels", 100 * from_pixels / alone, 70),
    ]


def _network_rate(ours: Embedder) -> float:
    """Return the pictures per second of the captured network, preparation included, nothing else being done."""
    with torch.inference_mode():
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            pixels = torch.randint(0, 256, (ROWS, 288, 288, 3), dtype=torch.uint8, device="cuda")
            axes = torch.tensor([[264, 1.3359375, 1.171875]] * 2, device="cuda").repeat(ROWS, 1, 1)
            program = Program(ours.features, [pixels, axes], stream)
            return ROWS / gpu_seconds(lambda: program.run([pixels, axes]), 20)


def _alike(precision: str, some: np.ndarray, exact: np.ndarray) -> Claim:
    lengths = np.linalg.norm(some, axis=1) * np.linalg.norm(exact, axis=1)
    cosine = ((some * exact).sum(axis=1) / lengths).min()
    return f"least cosine of {precision} with fp32: {cosine:.6f}; wanted: 0.999", bool(cosine >= 0.999)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="on a GPU")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=16384, help="on a GPU")
    parser.add_argument("--compile", action="store_true", help="let torch.compile fuse the network first, on a GPU")
    options = parser.parse_args()
    if options.device == "cpu":
        held = on_cpu(options.threads, options.rounds)
    else:
        held = on_gpu(options.pictures, options.threads, options.rounds, options.precision, options.compile)
    sys.exit(told(held))
