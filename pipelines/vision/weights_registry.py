"""The models' weights: which file each needs, where it is published, what it must hash to, on which terms."""

from dataclasses import dataclass

from pipelines.vision.weights_errors import UnknownModel


@dataclass(frozen=True, slots=True)
class Weights:
    """One file of weights.

    Attributes:
        name: of the model.
        file: the name under which the file is published, and looked for.
        urls: where it is published, the preferred place first.
        sha256: what it must hash to; None where no digest is published, and then the one found is recorded.
        size: in bytes; None where it is not known.
        licence: its terms, in words fit for the dataset card.
        architecture: the network it belongs to, in words.

    """

    name: str
    file: str
    urls: tuple[str, ...]
    sha256: str | None
    size: int | None
    licence: str
    architecture: str


REGISTRY = {
    weights.name: weights
    for weights in (
        Weights(
            name="retinaface-resnet50",
            file="retinaface.pth",
            urls=(
                "https://github.com/serengil/deepface_models/releases/download/v1.0/retinaface.pth",
                "https://huggingface.co/serengil/deepface/resolve/main/retinaface.pth",
            ),
            sha256=None,
            size=None,
            licence="published by retina-face (MIT); descends from InsightFace's models, which are for "
            "non-commercial research only",
            architecture="RetinaFace with a ResNet-50 (v2), as in retina-face 0.0.19",
        ),
        Weights(
            name="retinaface-mobilenet0.25",
            file="mobilenet0.25_Final.pth",
            urls=(
                "https://github.com/hhj1897/face_detection/raw/db2a4e8eae8c9c53385ff0773e9db08f03cf21ad/"
                "ibug/face_detection/retina_face/weights/mobilenet0.25_Final.pth",
            ),
            sha256="2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220",
            size=1_789_735,
            licence="MIT (biubug6/Pytorch_Retinaface, hhj1897/face_detection)",
            architecture="RetinaFace with a MobileNet v1 of width 0.25, as in biubug6/Pytorch_Retinaface",
        ),
        Weights(
            name="resnet50",
            file="resnet50-0676ba61.pth",
            urls=("https://download.pytorch.org/models/resnet50-0676ba61.pth",),
            sha256="0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
            size=102_530_333,
            licence="BSD-3-Clause (torchvision, IMAGENET1K_V1; trained on ImageNet)",
            architecture="ResNet-50 (v1.5), as in torchvision",
        ),
    )
}
"""The facts come from each publisher; retina-face publishes no digest for its PyTorch file."""

STAND_INS = {
    "cascade-stand-in": "scikit-image's lbpcascade_frontalface_opencv, revision 1",
    "resnet50-stand-in": "ResNet-50 with seeded weights, revision 1",
}
"""What stands in for a model in the demo, and the recipe that it is; another recipe is another revision."""


def lookup(name: str) -> Weights:
    """Return a model's entry.

    Raises:
        UnknownModel: there is no model of this name.

    """
    if name not in REGISTRY:
        raise UnknownModel(f"no weights are known for {name!r}; the models are {', '.join(REGISTRY)}")
    return REGISTRY[name]
