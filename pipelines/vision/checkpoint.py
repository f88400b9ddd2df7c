"""Tensors for a network, taken by name: from a file of weights, or made from a seed.

A network asks for each of its tensors by name and shape while it is being built, so that one description of it serves
the published file and seeded weights alike, and the file is accepted strictly: nothing missing, nothing left over, no
shape that differs, no number that is not finite.
"""

import hashlib
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.vision.layers import Source
from pipelines.vision.weights import find
from pipelines.vision.weights_errors import DamagedWeights, WrongArchitecture
from pipelines.vision.weights_registry import REGISTRY, Weights, lookup


class Checkpoint:
    """The tensors of a file, each of which must be taken exactly as it is."""

    def __init__(self, tensors: Mapping[str, Tensor], file: str) -> None:
        self._tensors = {name: value for name, value in tensors.items() if not name.endswith("num_batches_tracked")}
        self._taken: set[str] = set()
        self._file = file

    def take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Return a tensor.

        Raises:
            WrongArchitecture: it is not there, or has another shape.

        """
        if name not in self._tensors:
            raise WrongArchitecture(f"{self._file} has no tensor {name!r}")
        tensor = self._tensors[name]
        if tuple(tensor.shape) != shape:
            raise WrongArchitecture(f"{self._file}: {name} has the shape {tuple(tensor.shape)}, not {shape}")
        self._taken.add(name)
        return tensor.float()

    def finish(self) -> None:
        """Check that nothing is left over.

        Raises:
            WrongArchitecture: the file holds tensors that the network does not have.

        """
        left = sorted(self._tensors.keys() - self._taken)
        if left:
            raise WrongArchitecture(f"{self._file} holds {len(left)} tensors too many, among them {left[0]!r}")


class Seeded:
    """Tensors made from a seed: the same on every machine, since they come from integers of PCG64 alone."""

    def __init__(self, seed: int, gain: Callable[[str], float] = lambda name: 1.0) -> None:
        self._seed = seed
        self._gain = gain

    def take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Return a tensor: ones and zeros for what normalises and shifts, and even noise for convolutions.

        The noise has variance 2 / fan-in, which keeps activations at their scale through ReLU (He et al. 2015), times
        the square of ``gain(name)``, and sums to zero over each filter, so that it answers to structure in a picture
        more than to its brightness.
        """
        if len(shape) != 4:
            ones = name.endswith(("weight", "running_var"))
            return torch.full(shape, self._gain(name)) if ones else torch.zeros(shape)
        key = int.from_bytes(hashlib.sha256(f"{self._seed}/{name}".encode()).digest()[:8], "big")
        noise = np.random.Generator(np.random.PCG64(key)).integers(-(2**15), 2**15, size=shape).astype(np.float64)
        noise -= noise.mean(axis=(1, 2, 3), keepdims=True)
        fan_in = shape[1] * shape[2] * shape[3]
        scale = self._gain(name) * (6 / fan_in) ** 0.5 / 2**15
        return torch.from_numpy((noise * scale).astype(np.float32))


def read_tensors(path: Path, weights: Weights) -> Mapping[str, Tensor]:
    """Read a file of weights, without running anything that it may hold.

    Raises:
        DamagedWeights: it cannot be read, is not a mapping of names to tensors, or holds NaN or infinite numbers.

    """
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DamagedWeights(f"{path} cannot be read as weights of {weights.name}: {reason}") from error
    if not isinstance(held, Mapping) or not held or not all(isinstance(value, Tensor) for value in held.values()):
        raise DamagedWeights(f"{path} is not a mapping of names to tensors, as weights of {weights.name} are")
    for name, tensor in held.items():
        if not bool(torch.isfinite(tensor).all()):
            raise DamagedWeights(f"{path}: {name} holds numbers that are not finite; fetch {weights.name} again")
    return held


def load_network(name: str) -> nn.Module:
    """Build a model's network from its published file.

    Raises:
        WeightsError: the file cannot be had, or is not the right one.

    """
    weights = lookup(name)
    return _build(weights, find(name))


def check_architecture(weights: Weights, path: Path) -> None:
    """Check that a file fits its model, without keeping the network.

    Raises:
        DamagedWeights: it cannot be read, or holds numbers that are not finite.
        WrongArchitecture: it is another network's; the message names both if the other is known.

    """
    _build(weights, path)


def seeded_network(name: str, seed: int, gain: Callable[[str], float] = lambda name: 1.0) -> nn.Module:
    """Build a model's network with seeded weights."""
    return _architecture(name)(Seeded(seed, gain))


def _build(weights: Weights, path: Path) -> nn.Module:
    tensors = read_tensors(path, weights)
    try:
        return _strictly(weights.name, tensors, path)
    except WrongArchitecture as error:
        others = (name for name in REGISTRY if name != weights.name and _fits(name, tensors, path))
        other = next(others, None)
        held = f"weights of {other} ({REGISTRY[other].architecture})" if other else "weights of an unknown network"
        raise WrongArchitecture(
            f"{path} holds {held}, not of {weights.name} ({weights.architecture}): {error}"
        ) from None


def _strictly(name: str, tensors: Mapping[str, Tensor], path: Path) -> nn.Module:
    checkpoint = Checkpoint(tensors, path.name)
    network = _architecture(name)(checkpoint)
    checkpoint.finish()
    return network


def _fits(name: str, tensors: Mapping[str, Tensor], path: Path) -> bool:
    try:
        _strictly(name, tensors, path)
    except WrongArchitecture:
        return False
    return True


def _architecture(name: str) -> Callable[[Source], nn.Module]:
    if name == "retinaface-resnet50":
        from pipelines.vision.retinaface_resnet50 import RetinaFaceResNet50

        return RetinaFaceResNet50
    if name == "retinaface-mobilenet0.25":
        from pipelines.vision.retinaface_mobilenet import RetinaFaceMobileNet

        return RetinaFaceMobileNet
    from pipelines.vision.resnet50 import ResNet50

    return ResNet50
