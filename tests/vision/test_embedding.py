"""Embeddings: those of torchvision's ResNet-50, and of nothing but the picture."""

import hashlib

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.vision.checkpoint import Checkpoint, Seeded
from pipelines.vision.devices import processor_for
from pipelines.vision.embedding import Embedder, load_embedder
from pipelines.vision.layers import to_kind
from pipelines.vision.pictures import Undecodable
from pipelines.vision.resizing import axes_for
from pipelines.vision.resnet50 import FEATURES, ResNet50
from pipelines.vision.weights import WeightsUsed, find
from pipelines.vision.weights_errors import MissingWeights, StandInRefused, UnknownModel
from tests.shared import shared
from tests.vision.making import encoded, picture
from tests.vision.reference_resnet50 import PlainResNet50, seeded

USED = WeightsUsed("resnet50", "0" * 64, "none", stand_in=False)
PICTURES = [picture(300, 225, 1), picture(300, 200, 2), picture(224, 300, 3), picture(40, 30, 4)]


@pytest.fixture(scope="module")
def plain() -> PlainResNet50:
    return seeded(7)


@pytest.fixture(scope="module")
def network(plain: PlainResNet50) -> ResNet50:
    checkpoint = Checkpoint(plain.state_dict(), "seeded")
    built = ResNet50(checkpoint).eval()
    checkpoint.finish()
    return built


def normalised(pixels: Tensor) -> Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return ((pixels / 255 - mean) / std).permute(0, 3, 1, 2)


def crops() -> Tensor:
    return torch.from_numpy(np.stack([picture(224, 224, seed) for seed in (1, 2)])).float()


def test_the_network_is_a_plain_resnet50(plain: PlainResNet50, network: ResNet50) -> None:
    with torch.inference_mode():
        ours, theirs = network(crops()), plain(normalised(crops()))
    assert ours.shape == (2, FEATURES)
    assert float(theirs.std()) > 0.1
    assert float((ours - theirs).abs().max()) <= 1e-5 * float(theirs.abs().max())


def test_the_network_is_torchvisions(plain: PlainResNet50, network: ResNet50) -> None:
    try:
        from torchvision.models import resnet50
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"torchvision does not import beside this torch: {error}")
    theirs = resnet50().eval()
    theirs.load_state_dict(plain.state_dict())
    theirs.fc = torch.nn.Identity()
    with torch.inference_mode():
        assert float((network(crops()) - theirs(normalised(crops()))).abs().max()) <= 1e-5


def test_bf16_points_the_same_way(plain: PlainResNet50, network: ResNet50) -> None:
    checkpoint = Checkpoint(plain.state_dict(), "seeded")
    rough = to_kind(ResNet50(checkpoint), torch.bfloat16)
    with torch.inference_mode():
        fine, short = network(crops()), rough(crops())
    assert short.dtype == torch.float32
    assert float(torch.cosine_similarity(fine, short).min()) >= 0.999


def embedder(network: ResNet50, rows: int | None = None) -> Embedder:
    return Embedder(network, USED, processor_for("cpu", "fp32", threads=1), rows)


def test_a_vector_is_the_same_to_the_last_bit_in_any_company(network: ResNet50) -> None:
    one = embedder(network)
    alone = np.concatenate([one.embed_arrays([pixels]) for pixels in PICTURES])
    turned = one.embed_arrays([*PICTURES[::-1], PICTURES[0]])
    assert turned.dtype == np.float32
    assert (turned == alone[[3, 2, 1, 0, 0]]).all()


def test_in_batches_of_a_fixed_shape_company_does_not_matter_either(network: ResNet50) -> None:
    many = embedder(network, rows=2)
    first = many.embed_arrays(PICTURES[:3])
    turned = many.embed_arrays(PICTURES[:3][::-1])
    assert (first == turned[::-1]).all()
    np.testing.assert_allclose(first, embedder(network).embed_arrays(PICTURES[:3]), rtol=1e-4, atol=1e-4)


def test_encoded_pictures_give_what_their_pixels_give(network: ResNet50) -> None:
    one = embedder(network)
    assert (one.embed([encoded(PICTURES[0])]) == one.embed_arrays(PICTURES[:1])).all()


def test_no_pictures_give_no_vectors(network: ResNet50) -> None:
    assert embedder(network).embed([]).shape == (0, FEATURES)


@pytest.mark.parametrize("size", [(1, 1), (300, 9000), (9000, 1), (1200, 900)])
def test_pictures_of_every_shape_have_a_vector(network: ResNet50, size: tuple[int, int]) -> None:
    vector = embedder(network).embed_arrays([np.full((size[1], size[0], 3), 90, dtype=np.uint8)])
    assert np.isfinite(vector).all()
    assert (vector >= 0).all()
    assert max(axis.size for axis in axes_for(*size)) <= 900


def test_damaged_bytes_are_refused(network: ResNet50) -> None:
    with pytest.raises(Undecodable):
        embedder(network).embed([encoded(PICTURES[3], "JPEG")[:300]])


def test_the_published_vector_of_the_2021_release_is_ours() -> None:
    try:
        find("resnet50", download=False)
    except MissingWeights as error:
        pytest.skip(str(error))
    published = np.loadtxt(shared("release-2021/golden_Dodge_Challenger_resnet50.csv"), delimiter=",").reshape(-1)
    ours = load_embedder(device="cpu").embed([shared("release-2021/golden_Dodge_Challenger_300px.jpg").read_bytes()])[0]
    assert ours @ published / np.linalg.norm(ours) / np.linalg.norm(published) >= 0.999


def test_the_stand_in_must_be_asked_for_and_unknown_names_are_refused() -> None:
    with pytest.raises(StandInRefused, match="resnet50-stand-in"):
        load_embedder("resnet50-stand-in")
    with pytest.raises(UnknownModel, match="resnet18"):
        load_embedder("resnet18")


def test_the_stand_in_tells_pictures_apart() -> None:
    stand_in = load_embedder("resnet50-stand-in", device="cpu", threads=1, stand_in=True)
    vectors = stand_in.embed_arrays(PICTURES)
    assert np.isfinite(vectors).all()
    assert 0.05 < vectors.mean() < 5
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    others = (unit @ unit.T)[~np.eye(len(unit), dtype=bool)]
    assert others.max() < 0.99
    assert vectors.std(axis=0).min() > 0


def test_seeded_weights_are_the_same_on_every_machine() -> None:
    made = Seeded(2021)
    digest = hashlib.sha256()
    for name, shape in (
        ("conv1.weight", (64, 3, 7, 7)),
        ("layer1.0.conv1.weight", (64, 64, 1, 1)),
        ("bn1.bias", (64,)),
    ):
        digest.update(made.take(name, shape).numpy().tobytes())
    assert digest.hexdigest() == "7155c8055a1cbb84c67da218b67d50ab8c24fb0da68941292c7b04e3fb933050"
