"""RetinaFace with a ResNet-50: the numbers and the faces of retina-face's own network, for pictures of mixed sizes."""

import os

os.environ.setdefault("DEEPFACE_BACKEND_ENGINE", "pytorch")

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.vision.canvas import packed
from pipelines.vision.checkpoint import Checkpoint, load_network
from pipelines.vision.devices import processor_for
from pipelines.vision.faces import face_ratio
from pipelines.vision.retinaface import RetinaFaceDetector
from pipelines.vision.retinaface_resnet50 import RetinaFaceResNet50
from pipelines.vision.weights import WeightsUsed, find
from pipelines.vision.weights_errors import MissingWeights
from tests.shared import shared
from tests.vision.making import Pixels, picture

reference = pytest.importorskip("retinaface.RetinaFace")
reference_network = pytest.importorskip("retinaface.model.retinaface_pth_model")

SIZES = ((300, 225), (131, 97), (300, 33), (64, 200), (1, 1))
USED = WeightsUsed("retinaface-resnet50", "0" * 64, "none", stand_in=False)


@pytest.fixture(scope="module")
def theirs() -> Iterator[nn.Module]:
    """Give retina-face's network with seeded weights, its heads scaled so that some places look like faces."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(5)
    network = reference_network.RetinaFace().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    with torch.inference_mode():
        outputs = network(torch.from_numpy(picture(300, 225))[None].float())
        for index, stride in enumerate((32, 16, 8)):
            head = getattr(network, f"face_rpn_stride{stride}")
            faces = outputs[3 * index][..., 2:]
            logits = torch.log(faces / (1 - faces))
            scale = 1.5 / float(logits.std())
            head.cls_score.weight *= scale
            head.cls_score.bias *= scale
            head.cls_score.bias[2:] += 0.5 - scale * float(logits.quantile(0.95))
            head.bbox_pred.weight *= 0.3 / float(outputs[3 * index + 1].std())
    yield network
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def ours(theirs: nn.Module) -> nn.Module:
    return loaded(theirs)


def loaded(theirs: nn.Module) -> nn.Module:
    checkpoint = Checkpoint(theirs.state_dict(), "seeded")
    network = RetinaFaceResNet50(checkpoint).eval()
    checkpoint.finish()
    return network


def expected(network: nn.Module, pixels: Pixels) -> tuple[Tensor, Tensor]:
    """Return the scores and box deltas that retina-face's network has for one picture, in the order of the anchors."""
    with torch.inference_mode():
        outputs = network(torch.from_numpy(pixels)[None].float())
    scores = torch.cat([outputs[index][..., 2:].flatten() for index in (0, 3, 6)])
    return scores, torch.cat([outputs[index].flatten(0, 2).reshape(-1, 4) for index in (1, 4, 7)])


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (3, 4, 2, 1, 0)])
def test_pictures_of_mixed_sizes_get_together_what_each_gets_alone(
    theirs: nn.Module, ours: nn.Module, order: tuple[int, ...]
) -> None:
    pictures = [picture(*SIZES[number], seed=number) for number in order]
    (batch,) = packed(pictures, 1, height=832)
    pixels, table = (np.full(shape, 77, kind) for shape, kind in batch.shapes)
    batch.fill([pixels, table])
    with torch.inference_mode():
        scores, boxes, rows = ours(torch.from_numpy(pixels), torch.from_numpy(table), False)
    inside = _inside(table[0], pixels.shape[2])
    for place in batch.tag:
        mine = inside & (rows[0].numpy() == place.row)
        their_scores, their_deltas = expected(theirs, pictures[place.picture])
        np.testing.assert_allclose(scores[0][mine], their_scores, atol=1e-4)
        np.testing.assert_allclose(
            boxes[0][mine],
            _decoded(their_deltas.numpy(), place.width, place.height),
            atol=1.6e-3,  # 1e-4 of a box delta is that many pixels on the smallest anchor, more on the others
            rtol=1e-5,
        )


def _inside(table: NDArray[np.int32], width: int) -> NDArray[np.bool_]:
    """Return which anchors of a canvas lie on a picture, worked out place by place."""
    return np.array(
        [
            x * stride < table[y * stride, 0]
            for stride in (32, 16, 8)
            for y in range(-(-len(table) // stride))
            for x in range(-(-width // stride))
            for _ in range(2)
        ]
    )


def _decoded(deltas: NDArray[np.float32], width: int, height: int) -> NDArray[np.float64]:
    """Decode deltas with retina-face's own functions."""
    bases = {
        32: [[-248.0, -248.0, 263.0, 263.0], [-120.0, -120.0, 135.0, 135.0]],
        16: [[-56.0, -56.0, 71.0, 71.0], [-24.0, -24.0, 39.0, 39.0]],
        8: [[-8.0, -8.0, 23.0, 23.0], [0.0, 0.0, 15.0, 15.0]],
    }
    post = reference.postprocess
    anchors = np.concatenate(
        [
            post.anchors_plane(-(-height // s), -(-width // s), s, np.array(base)).reshape(-1, 4)
            for s, base in bases.items()
        ]
    )
    boxes: NDArray[np.float64] = post.clip_boxes(post.bbox_pred(anchors, deltas), (height, width))
    return boxes


@pytest.mark.parametrize(("width", "height"), [(300, 225), (300, 401), (131, 97)])
def test_the_faces_are_those_of_detect_faces(theirs: nn.Module, ours: nn.Module, width: int, height: int) -> None:
    pixels = picture(width, height, seed=width + height)
    detector = RetinaFaceDetector(ours, "retinaface-resnet50", USED, processor_for("cpu", "fp32"), None)
    _assert_same_faces(detector, theirs, pixels)


def test_a_very_tall_picture_is_scaled_as_retina_face_scales_it(theirs: nn.Module, ours: nn.Module) -> None:
    detector = RetinaFaceDetector(ours, "retinaface-resnet50", USED, processor_for("cpu", "fp32"), None)
    _assert_same_faces(detector, theirs, picture(40, 2500, seed=8))


def _assert_same_faces(detector: RetinaFaceDetector, network: Any, pixels: Pixels) -> None:
    theirs = list(reference.detect_faces(pixels[:, :, ::-1], model=network, allow_upscaling=False).values())
    ours = [face for face in detector.detect_arrays([pixels])[0] if face.score >= 0.9]
    assert len(theirs) >= 3, "the seeded weights must see some faces"
    assert len(ours) == len(theirs)
    edges = np.array([(face.x0, face.y0, face.x1, face.y1) for face in ours])
    for their in theirs:
        whole = np.array(their["facial_area"])  # retina-face cuts the fractions off
        apart = np.abs(edges - (whole + 0.5)).max(axis=1)
        our = ours[int(apart.argmin())]
        assert apart.min() <= 0.5 + 0.01
        assert our.score == pytest.approx(float(their["score"]), abs=1e-3)


def test_bf16_decides_as_fp32_does(theirs: nn.Module) -> None:
    # Not the fifth: with these weights its largest box scores 0.9 but for rounding, which no decision can survive.
    heights = {0: 225, 1: 200, 2: 401, 3: 169, 5: 300, 6: 199, 7: 400, 8: 225}
    pictures = [picture(300, height, seed) for seed, height in heights.items()]
    ratios, scores = [], []
    for precision in ("fp32", "bf16"):
        processor = processor_for("cpu", precision)
        detector = RetinaFaceDetector(loaded(theirs), "retinaface-resnet50", USED, processor, None)
        found = detector.detect_arrays(pictures)
        ratios.append([face_ratio(faces, 300, len(p), 0.9) for faces, p in zip(found, pictures, strict=True)])
        scores.append([face.score for faces in found for face in faces])
    dropped = [[ratio > 0.1 for ratio in each] for each in ratios]
    assert dropped[0] == dropped[1]
    assert {True, False} == set(dropped[0])
    assert scores[0] != scores[1], "it was another precision"


@pytest.fixture(scope="module")
def real() -> nn.Module:
    try:
        path = find("retinaface-resnet50", download=False)
    except MissingWeights as error:
        pytest.skip(str(error))
    network: nn.Module = reference_network.RetinaFace().eval()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network


def photographs() -> list[Pixels]:
    from PIL import Image

    made = []
    for path in sorted([*shared("faces").glob("*.jpg"), *shared("faces/labelled").glob("*.jpg")]):
        with Image.open(path) as opened:
            high = round(opened.height * 300 / opened.width)
            made.append(np.asarray(opened.convert("RGB").resize((300, high), Image.Resampling.LANCZOS)))
    return made


def test_real_weights_find_what_detect_faces_finds(real: nn.Module) -> None:
    network = load_network("retinaface-resnet50")
    detector = RetinaFaceDetector(network, "retinaface-resnet50", USED, processor_for("cpu", "fp32"), None)
    for pixels in photographs():
        theirs = reference.detect_faces(pixels[:, :, ::-1], model=real, allow_upscaling=False)
        if theirs:
            _assert_same_faces(detector, real, pixels)


def test_bf16_decides_as_fp32_does_with_real_weights(real: nn.Module) -> None:
    pictures = photographs()
    decisions = []
    for precision in ("fp32", "bf16"):
        network = load_network("retinaface-resnet50")
        detector = RetinaFaceDetector(network, "retinaface-resnet50", USED, processor_for("cpu", precision), None)
        found = detector.detect_arrays(pictures)
        decisions.append(
            [face_ratio(f, p.shape[1], p.shape[0], 0.9) > 0.1 for f, p in zip(found, pictures, strict=True)]
        )
    assert decisions[0] == decisions[1]
