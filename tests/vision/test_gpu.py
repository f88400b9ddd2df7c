"""On a GPU: what the CPU computes, to the last bit in any company, and with less memory if there is less."""

import numpy as np
import pytest
import torch

from pipelines.vision.batches import Batch, Outputs
from pipelines.vision.checkpoint import seeded_network
from pipelines.vision.devices import processor_for
from pipelines.vision.embedding import load_embedder
from pipelines.vision.retinaface import RetinaFaceDetector
from pipelines.vision.weights import WeightsUsed
from tests.vision.making import picture

if not torch.cuda.is_available():
    pytest.skip("needs a GPU", allow_module_level=True)

from pipelines.vision.gpu import GpuRunner

PICTURES = [picture(300, 100 + 7 * seed, seed) for seed in range(40)] + [picture(900, 700), picture(1, 1)]
USED = WeightsUsed("seeded", "0" * 64, "none", stand_in=False)


def detector(device: str, precision: str, canvases: int | None) -> RetinaFaceDetector:
    network = seeded_network("retinaface-mobilenet0.25", 3)
    for head in network.heads:
        head.convolution.bias[:2] -= 6
    return RetinaFaceDetector(network, "retinaface-mobilenet0.25", USED, processor_for(device, precision), canvases)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_faces_are_the_same_to_the_last_bit_in_any_company(precision: str) -> None:
    gpu = detector("cuda", precision, 4)
    together = gpu.detect_arrays(PICTURES)
    assert together[::-1] == gpu.detect_arrays(PICTURES[::-1])
    assert together == [gpu.detect_arrays([pixels])[0] for pixels in PICTURES]


def test_faces_are_the_cpus() -> None:
    for ours, theirs in zip(
        detector("cuda", "fp32", 4).detect_arrays(PICTURES),
        detector("cpu", "fp32", None).detect_arrays(PICTURES),
        strict=True,
    ):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            edges = [[face.x0, face.y0, face.x1, face.y1, face.score] for face in (one, other)]
            np.testing.assert_allclose(*edges, atol=0.05)


def test_embeddings_are_the_cpus_and_the_same_in_any_company() -> None:
    gpu = load_embedder("resnet50-stand-in", device="cuda", precision="fp32", stand_in=True)
    vectors = gpu.embed_arrays(PICTURES)
    assert (vectors[::-1] == gpu.embed_arrays(PICTURES[::-1])).all()
    cpu = load_embedder("resnet50-stand-in", device="cpu", precision="fp32", stand_in=True).embed_arrays(PICTURES[:4])
    np.testing.assert_allclose(vectors[:4], cpu, atol=1e-3)


def test_bf16_embeddings_point_the_same_way() -> None:
    fine, rough = (
        load_embedder("resnet50-stand-in", device="cuda", precision=precision, stand_in=True).embed_arrays(PICTURES)
        for precision in ("fp32", "bf16")
    )
    cosine = (fine * rough).sum(axis=1) / np.linalg.norm(fine, axis=1) / np.linalg.norm(rough, axis=1)
    assert cosine.min() >= 0.999


def test_a_function_too_large_for_the_memory_gets_fewer_rows() -> None:
    free, _ = torch.cuda.mem_get_info()
    per_row = free // 8  # 8 rows at once are more than half of what is free

    def greedy(values: torch.Tensor) -> Outputs:
        waste = torch.empty((len(values), per_row), dtype=torch.uint8, device=values.device)
        return (values + waste[:, :1].float() * 0,), ()

    runner = GpuRunner(greedy, processor_for("cuda"), rows=8)
    batches = [Batch((((8, 1), np.float32),), lambda arrays: arrays[0].fill(3), number) for number in range(3)]
    assert [out.results[0].tolist() for out in runner.run(batches)] == [[[3.0]] * 8] * 3
