"""What it costs to find the faces on pictures of 300 pixels' width, beside retina-face's ``detect_faces``.

    python -m tests.benchmarks.faces [--rounds 3]
    python -m tests.benchmarks.faces --device cuda [--pictures 8192] [--compile]

Weights are seeded: they cost what real ones cost, and find nothing, which spares the reference its slow suppression.
On a CPU all ways are run in turn, with two threads and JPEG decoding included; ours end with the share of each picture
that faces cover. On a GPU the table says what the arithmetic alone would take (FLOPs over the rate of a large matrix
product), what the network takes, and what comes out at the end, on the host; and 32 pictures are dropped or kept as by
the CPU, with weights that see faces. The last lines, and the exit status, say whether what was wanted holds. A machine
with a GPU needs torch, numpy, Pillow, OpenCV and simplejpeg; the reference is left out where retina-face is not
installed.
"""

import argparse
import operator
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

os.environ.setdefault("DEEPFACE_BACKEND_ENGINE", "pytorch")

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pipelines.vision.canvas import packed, single
from pipelines.vision.checkpoint import seeded_network
from pipelines.vision.devices import processor_for
from pipelines.vision.faces import Face, face_ratio
from pipelines.vision.gpu import Program
from pipelines.vision.retinaface import CANVASES, RetinaFaceDetector
from pipelines.vision.weights import WeightsUsed
from tests.benchmarks.claims import Claim, at_least, told
from tests.benchmarks.measuring import (
    Cost,
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
from tests.vision.making import Pixels, picture, seeing

MODELS = ("retinaface-resnet50", "retinaface-mobilenet0.25")
CPU_THREADS = 2
USED = WeightsUsed("seeded", "0" * 64, "none", stand_in=False)


def detector(
    model: str, device: str, precision: str, threads: int | None, compiled: bool = False
) -> RetinaFaceDetector:
    processor = processor_for(device, precision, threads)
    network = seeded_network(model, 1, lambda name: 0.3 if name.endswith("conv3.weight") else 1.0)
    for head in network.heads:
        head.convolution.bias[:2] -= 1e6  # no face anywhere
    if compiled:
        network = torch.compile(network, fullgraph=True, dynamic=False)
    return RetinaFaceDetector(network, model, USED, processor, CANVASES if processor.is_gpu else None)


def shares(faces: Sequence[Sequence[Face]], sizes: Sequence[tuple[int, ...]], score: float) -> list[float]:
    """Return what `decide` needs of each picture; sizes are (height, width, …)."""
    return [face_ratio(found, size[1], size[0], score) for found, size in zip(faces, sizes, strict=True)]


def from_files(ours: RetinaFaceDetector, files: list[bytes], sizes: list[tuple[int, ...]]) -> list[float]:
    return shares(ours.detect(files), sizes, ours.default_score)


def from_pixels(ours: RetinaFaceDetector, arrays: list[Pixels]) -> list[float]:
    return shares(ours.detect_arrays(arrays), [pixels.shape for pixels in arrays], ours.default_score)


class OnGpu:
    """retina-face's network moved to the GPU by hand."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network.cuda()

    def __call__(self, pixels: Tensor) -> list[Tensor]:
        return [output.cpu() for output in self._network(pixels.cuda())]


def reference(device: str) -> Callable[[bytes, bool], object] | None:
    """Return detect_faces over a JPEG; None where retina-face is not installed."""
    try:
        from retinaface import RetinaFace
        from retinaface.model.retinaface_pth_model import RetinaFace as Network
    except ImportError as error:
        print(f"without the reference: {error}")
        return None
    torch.manual_seed(0)
    network: Any = Network().eval()
    if device == "cuda":
        network = OnGpu(network)

    def detect(data: bytes, upscaled: bool) -> object:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        return RetinaFace.detect_faces(pixels, model=network, allow_upscaling=upscaled)

    return detect


def reference_ways(device: str, pictures: list[bytes]) -> dict[str, tuple[Callable[[], object], int]]:
    detect = reference(device)
    if detect is None:
        return {}
    return {
        "detect_faces, its defaults": (lambda: [detect(data, True) for data in pictures], len(pictures)),
        "detect_faces(allow_upscaling=False)": (lambda: [detect(data, False) for data in pictures], len(pictures)),
    }


def on_cpu(threads: int, rounds: int) -> list[Claim]:
    pictures = jpegs()
    sizes = [pixels_of(data).shape for data in pictures]
    ways = reference_ways("cpu", pictures)
    for model in MODELS:
        ours = detector(model, "cpu", "auto", threads)
        ways[f"ours, {model}, {ours.processor}"] = (partial(from_files, ours, pictures, sizes), len(pictures))
    costs = in_turn(ways, rounds)
    show_costs(f"Faces on a CPU ({describe_machine('cpu')})", costs, next(iter(ways)))
    if len(costs) == len(MODELS):  # without the reference there is nothing to compare with
        return []
    bf16 = has_bf16_instructions()
    reference, _, resnet, mobilenet = costs.values()
    with_or_without = f"{'with' if bf16 else 'without'} bf16 instructions"
    return [
        at_least(
            f"× detect_faces with the ResNet-50 {with_or_without}", reference.wall / resnet.wall, 40 if bf16 else 20
        ),
        at_least("× detect_faces with the MobileNet", reference.wall / mobilenet.wall, 200),
    ]


def flops(model: str, pictures: list[bytes]) -> float:
    """Return the floating-point operations for a picture, on average, at its exact size.

    They are counted without a device: torch's counter does not know oneDNN's convolutions, which a CPU takes.
    """
    network = seeded_network(model, 1).to("meta")
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        for batch in single(map(pixels_of, pictures)):
            network(*(torch.from_numpy(np.empty(shape, kind)).to("meta") for shape, kind in batch.shapes), True)
    return counter.get_total_flops() / len(pictures)


def on_gpu(count: int, threads: int, rounds: int, precision: str, compiled: bool) -> list[Claim]:
    few = jpegs()
    files = [few[number % len(few)] for number in range(count)]
    decoded = [pixels_of(data) for data in few]
    arrays = [decoded[number % len(few)] for number in range(count)]
    rows = []
    for model in MODELS:
        ours = detector(model, "cuda", precision, threads, compiled)
        network = _network_rate(ours, arrays)
        ways = {
            "pixels": (partial(from_pixels, ours, arrays), count),
            "files": (partial(from_files, ours, files, [pixels.shape for pixels in arrays]), count),
        }
        costs = in_turn(ways, rounds)
        ceiling = matmul_rate(torch.bfloat16 if precision != "fp32" else torch.float32) / flops(model, few)
        for name, rate in (("network alone", network), *((name, 1 / cost.wall) for name, cost in costs.items())):
            rows.append((model, name, rate, ceiling, rate / ceiling, 1 - min(1.0, rate / network)))
    header = ("model", "from", "pictures/s", "ceiling", "share of it", "GPU idle")
    show(f"Faces on a GPU ({describe_machine('cuda')}, {precision}, {threads} threads)", header, rows)
    costs = in_turn(reference_ways("cuda", few), 1)
    if costs:
        fastest = {"from files": Cost(1 / rows[2][2], 0.0), "from pixels": Cost(1 / rows[1][2], 0.0)}
        show_costs("Beside the reference on the same GPU", costs | fastest, next(iter(costs)))
    claims = [
        at_least("pictures/s with the ResNet-50 from pixels", rows[1][2], 4000),
        at_least(f"pictures/s with the ResNet-50 from files with {threads} threads", rows[2][2], 2500),
    ]
    if costs:
        claims.append(at_least("× detect_faces on the same GPU", next(iter(costs.values())).wall * rows[1][2], 100))
    return claims + [agreement(model, precision, threads) for model in MODELS]


def agreement(model: str, precision: str, threads: int) -> Claim:
    """Say whether pictures are dropped on the GPU that are on the CPU: with weights that see faces, and mean nothing.

    What such weights see may lie on the line, where rounding decides; so one picture may differ.
    """
    pictures = [picture(300, 150 + 7 * seed, seed) for seed in range(32)]
    dropped = []
    for device, kind in (("cuda", precision), ("cpu", "fp32")):
        processor = processor_for(device, kind, threads)
        canvases = CANVASES if processor.is_gpu else None
        ours = RetinaFaceDetector(seeing(model), model, USED, processor, canvases)
        dropped.append([share > 0.1 for share in from_pixels(ours, pictures)])
    same = sum(map(operator.eq, *dropped))
    claim = f"{same} of {len(pictures)} pictures dropped or kept as by the CPU in fp32 with {model}; wanted: 31"
    return claim, same >= 31


def _network_rate(ours: RetinaFaceDetector, arrays: list[Any]) -> float:
    """Return the pictures per second of the captured network on full canvases, nothing else being done."""
    batch = next(packed(arrays, CANVASES))
    host = [np.zeros(shape, kind) for shape, kind in batch.shapes]
    batch.fill(host)
    with torch.inference_mode():
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            program = Program(ours.together, [torch.from_numpy(array).cuda() for array in host], stream)
            inputs = [torch.from_numpy(array).cuda() for array in host]
            return len(batch.tag) / gpu_seconds(lambda: program.run(inputs), 20)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="on a GPU")
    parser.add_argument("--threads", type=int, help="default: two on a CPU, all cores beside a GPU")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=8192, help="on a GPU")
    parser.add_argument("--compile", action="store_true", help="let torch.compile fuse the network first, on a GPU")
    options = parser.parse_args()
    if options.device == "cpu":
        held = on_cpu(options.threads or CPU_THREADS, options.rounds)
    else:
        threads = options.threads or len(os.sched_getaffinity(0))
        held = on_gpu(options.pictures, threads, options.rounds, options.precision, options.compile)
    sys.exit(told(held))
