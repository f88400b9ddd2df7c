"""What it would save to decode each picture once for both networks, instead of once in each stage.

    python -m tests.benchmarks.passes [--rounds 5]

Measured, on a CPU: the CPU time of decoding beside that of each network, which is all that one pass could save. A GPU
worker is arithmetic: the rates that are wanted of the networks from decoded pictures, and 16 cores that decode while
the GPU computes. The pictures are files of 300 pixels' width, as they stand between the stages.
"""

import argparse
from functools import partial

from pipelines.vision.devices import processor_for
from pipelines.vision.pictures import decode_rgb
from tests.benchmarks.embeddings import embedder
from tests.benchmarks.faces import MODELS, detector
from tests.benchmarks.measuring import Cost, describe_machine, in_turn, jpegs, show
from tests.vision.reference_resnet50 import seeded

GPU_CORES = 16
GPU_RATES = {"detect_faces": 4_000, "embed_images": 10_000}
"""Pictures a second from decoded pictures: wanted on an H200, not measured here."""


def cpu_costs(rounds: int) -> dict[str, Cost]:
    """Measure "decoding", each face detector of ``MODELS`` and "resnet50", with one thread in fp32, for one picture."""
    files = jpegs()
    pixels = [decode_rgb(data) for data in files]
    many = 50 * files
    embed = embedder(seeded(1), processor_for("cpu", "fp32", 1))
    ways = {"decoding": (lambda: [decode_rgb(data) for data in many], len(many))}
    for model in MODELS:
        ways[model] = (partial(detector(model, "cpu", "fp32", 1).detect_arrays, pixels), len(pixels))
    ways["resnet50"] = (partial(embed.embed_arrays, pixels), len(pixels))
    return in_turn(ways, rounds)


def on_this_machine(rounds: int) -> Cost:
    """Print what decoding costs beside the networks; return what decoding a picture costs."""
    costs = cpu_costs(rounds)
    decoding = costs["decoding"]
    rows = []
    for model in MODELS:
        twice = 2 * decoding.cpu + costs[model].cpu + costs["resnet50"].cpu
        parts = (decoding.cpu, costs[model].cpu, costs["resnet50"].cpu, twice, twice - decoding.cpu)
        rows.append((model, *(1e3 * part for part in parts), f"{decoding.cpu / twice:.1%}"))
    header = ("faces with", "decoding", "faces", "embedding", "decoded twice", "decoded once", "saved")
    show(f"CPU ms a picture ({describe_machine('cpu')})", header, rows)
    return decoding


def on_a_gpu_worker(decoding: Cost) -> None:
    """Print what the wanted rates come to; nothing here is measured but the cost of decoding on this machine's core."""
    host = GPU_CORES / decoding.cpu
    rates = {stage: min(rate, host) for stage, rate in GPU_RATES.items()}
    twice = 1 / sum(1 / rate for rate in rates.values())
    once = min(host, 1 / sum(1 / rate for rate in GPU_RATES.values()))
    print(f"\nA GPU worker, by arithmetic: {GPU_CORES} cores like this one decode {host:,.0f} pictures/s.")
    for stage, rate in rates.items():
        print(f"{stage}: {rate:,.0f} pictures/s, {rate / host:.0%} of what the cores decode")
    print(f"both stages over the same pictures: {twice:,.0f} pictures/s decoded twice, {once:,.0f} decoded once")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="the best of so many counts (default: %(default)s)")
    on_a_gpu_worker(on_this_machine(parser.parse_args().rounds))
