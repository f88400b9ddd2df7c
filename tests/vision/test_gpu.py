"""On a GPU: what the CPU computes, to the last bit in any company, and with less memory if there is less."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from pipelines.vision.batches import Batch, Outputs
from pipelines.vision.checkpoint import load_network
from pipelines.vision.devices import processor_for
from pipelines.vision.embedding import load_embedder
from pipelines.vision.faces import Face, face_ratio
from pipelines.vision.retinaface import RetinaFaceDetector
from pipelines.vision.weights import WeightsUsed, find
from pipelines.vision.weights_errors import MissingWeights
from tests.vision.conftest import Photograph
from tests.vision.making import Pixels, picture, seeing

if not torch.cuda.is_available():
    pytest.skip("needs a GPU", allow_module_level=True)

from pipelines.vision.gpu import GpuRunner

MODELS = ("retinaface-resnet50", "retinaface-mobilenet0.25")
PICTURES = [picture(300, 100 + 7 * seed, seed) for seed in range(40)] + [picture(900, 700), picture(1, 1)]
USED = WeightsUsed("seeded", "0" * 64, "none", stand_in=False)


def detector(network: nn.Module, model: str, device: str, precision: str) -> RetinaFaceDetector:
    processor = processor_for(device, precision)
    return RetinaFaceDetector(network, model, USED, processor, 4 if processor.is_gpu else None)


def assert_alike(some: list[list[Face]], others: list[list[Face]]) -> None:
    for ours, theirs in zip(some, others, strict=True):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            edges = [[face.x0, face.y0, face.x1, face.y1, face.score] for face in (one, other)]
            np.testing.assert_allclose(*edges, atol=0.05)


def in_any_company(gpu: RetinaFaceDetector) -> list[list[list[Face]]]:
    together = gpu.detect_arrays(PICTURES)
    alone = [gpu.detect_arrays([pixels])[0] for pixels in PICTURES]
    return [together, gpu.detect_arrays(PICTURES[::-1])[::-1], alone]


@pytest.mark.parametrize("model", MODELS)
def test_faces_are_the_same_to_the_last_bit_in_any_company(model: str) -> None:
    together, backwards, alone = in_any_company(detector(seeing(model), model, "cuda", "bf16"))
    assert together == backwards == alone


@pytest.mark.parametrize("model", MODELS)
def test_faces_in_fp32_are_the_cpus_in_any_company(model: str) -> None:
    """Not to the last bit: cuDNN may convolve fp32 by transforms of whole tiles, wherever pictures lie in them."""
    cpu = detector(seeing(model), model, "cpu", "fp32").detect_arrays(PICTURES)
    for found in in_any_company(detector(seeing(model), model, "cuda", "fp32")):
        assert_alike(found, cpu)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.usefixtures("mobilenet_weights")
def test_bf16_keeps_and_drops_what_the_cpu_keeps_and_drops_in_fp32(
    model: str, photographs: Mapping[str, Photograph]
) -> None:
    try:
        find(model, download=False)
    except MissingWeights as error:
        pytest.skip(str(error))
    dropped = []
    for device, precision in (("cuda", "bf16"), ("cpu", "fp32")):
        ours = detector(load_network(model), model, device, precision)
        found = ours.detect_arrays([photograph.pixels for photograph in photographs.values()])
        ratios = {
            name: face_ratio(faces, *photographs[name].size, ours.default_score)
            for name, faces in zip(photographs, found, strict=True)
        }
        dropped.append([name for name, ratio in ratios.items() if ratio > 0.1])
    assert dropped[0] == dropped[1]


def embedded(device: str, precision: str, pictures: list[Pixels]) -> NDArray[np.float32]:
    return load_embedder("resnet50-stand-in", device=device, precision=precision, stand_in=True).embed_arrays(pictures)


def test_embeddings_are_the_same_to_the_last_bit_in_any_company() -> None:
    assert (embedded("cuda", "bf16", PICTURES)[::-1] == embedded("cuda", "bf16", PICTURES[::-1])).all()


def test_embeddings_in_fp32_are_the_cpus_in_any_company() -> None:
    cpu = embedded("cpu", "fp32", PICTURES[:4])
    np.testing.assert_allclose(embedded("cuda", "fp32", PICTURES)[:4], cpu, atol=1e-3)
    np.testing.assert_allclose(embedded("cuda", "fp32", PICTURES[::-1])[:-5:-1], cpu, atol=1e-3)


def test_bf16_embeddings_point_the_same_way() -> None:
    fine, rough = (embedded("cuda", precision, PICTURES) for precision in ("fp32", "bf16"))
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
