"""Weights on this machine: found, downloaded, checked.

A file is looked for under its original name in the folder $WIT_MODELS, then in the cache, and is downloaded into the
cache if it is in neither. Nothing is used before its checksum is right, so an interrupted or altered download can not
decide what is published. The manifest of a release records the digest of each file that it was made with.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.vision.weights_errors import ChecksumMismatch, MissingWeights, WeightsError
from pipelines.vision.weights_registry import REGISTRY, STAND_INS, Weights, lookup

MODELS_FOLDER = "WIT_MODELS"
"""Environment variable that names a folder with weights under their original file names; it is never written to."""


@dataclass(frozen=True, slots=True)
class WeightsUsed:
    """The weights that a loaded model works with, for the manifest.

    Attributes:
        name: of the model.
        sha256: of the file; of the recipe where nothing was loaded from a file.
        licence: the file's terms.
        stand_in: whether it only stands in for a real model.

    """

    name: str
    sha256: str
    licence: str
    stand_in: bool


def cache_folder() -> Path:
    """Return the folder that downloads go to, by the XDG base directory rules."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wit-release" / "models"


def places(weights: Weights) -> list[Path]:
    """Return where the file is looked for, in order."""
    given = os.environ.get(MODELS_FOLDER)
    return [Path(folder) / weights.file for folder in (given, cache_folder()) if folder]


def installed(name: str) -> Path | None:
    """Return where a model's file lies on this machine, unchecked; None if it is nowhere."""
    return next((path for path in places(lookup(name)) if path.is_file()), None)


def find(name: str, *, download: bool = True) -> Path:
    """Return the checked file of a model, downloading it if it is not on this machine.

    Raises:
        UnknownModel: there is no model of this name.
        MissingWeights: the file is nowhere, and could not be downloaded.
        ChecksumMismatch: the file is not the published one.

    """
    weights = lookup(name)
    path = installed(name)
    if path is not None:
        try:
            _digest(path, weights)
        except ChecksumMismatch as error:
            raise ChecksumMismatch(
                f"{path}: {error}. Remove it and run: python -m pipelines weights fetch {name}"
            ) from None
        return path
    if not download:
        raise MissingWeights(_missing(weights))
    from pipelines.vision.weights_download import download_weights

    target = cache_folder() / weights.file
    return download_weights(weights, target, lambda path: _digest(path, weights), _missing(weights))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(path: Path, weights: Weights) -> str:
    """Return the file's digest if it is the published one, or if none is published and it is no other model's.

    Raises:
        ChecksumMismatch: it is another file; if it is another model's, the message names both.

    """
    digest = sha256_of(path)
    other = next((entry for entry in REGISTRY.values() if entry.sha256 == digest and entry is not weights), None)
    if other is not None:
        raise ChecksumMismatch(
            f"it is the file of {other.name} ({other.architecture}), not of {weights.name} ({weights.architecture})"
        )
    if weights.sha256 not in (None, digest):
        size = path.stat().st_size
        short = f", and it has {size:,} bytes of {weights.size:,}" if weights.size and size != weights.size else ""
        raise ChecksumMismatch(f"its sha256 is {digest}, that of {weights.name} is {weights.sha256}{short}")
    return digest


def weights_digest(name: str) -> str:
    """Return what identifies a model's weights: the file's sha256, or a digest of the recipe of a stand-in.

    A file is only touched where no digest of it is published.

    Raises:
        WeightsError: the model is unknown, or its file is needed and cannot be had.

    """
    if name in STAND_INS:
        return hashlib.sha256(STAND_INS[name].encode()).hexdigest()
    return lookup(name).sha256 or sha256_of(find(name))


def weights_used(name: str) -> WeightsUsed:
    """Return what the manifest records about a model's weights.

    Raises:
        WeightsError: as ``weights_digest``.

    """
    stand_in = name in STAND_INS
    licence = f"none: {STAND_INS[name]}" if stand_in else lookup(name).licence
    return WeightsUsed(name, weights_digest(name), licence, stand_in)


def list_weights(names: Sequence[str] = ()) -> Iterator[str]:
    """Yield a line for each model (all by default): name, file, digest, size, licence, and where the file lies.

    Raises:
        UnknownModel: a name is no model's.

    """
    for weights in _chosen(names):
        path = installed(weights.name)
        size = f"{weights.size:,} bytes" if weights.size else "size not published"
        yield f"{weights.name}: {weights.file} ({size}), {weights.architecture}"
        yield f"  sha256   {weights.sha256 or 'not published: recorded when it is used'}"
        yield f"  licence  {weights.licence}"
        yield f"  from     {' or '.join(weights.urls)}"
        yield f"  here     {path or 'no; it will be downloaded to ' + str(cache_folder())}"


def fetch_weights(names: Sequence[str] = ()) -> Iterator[str]:
    """Find or download each model's file (all by default); yield a line for each.

    Raises:
        WeightsError: a file cannot be had.

    """
    for weights in _chosen(names):
        path = find(weights.name)
        yield f"{weights.name}: {path}"


def check_weights(names: Sequence[str] = ()) -> Iterator[str]:
    """Check each model's file (all by default) by digest, numbers and architecture; yield a line for each good one.

    Nothing is downloaded.

    Raises:
        WeightsError: some are missing or refused; the message names them all.

    """
    from pipelines.vision.checkpoint import check_architecture

    problems = []
    for weights in _chosen(names):
        try:
            path = find(weights.name, download=False)
            check_architecture(weights, path)
        except WeightsError as error:
            problems.append(str(error))
        else:
            yield f"{weights.name}: {path} is good (sha256 {sha256_of(path)})"
    if problems:
        raise WeightsError("\n".join(problems))


def _chosen(names: Sequence[str]) -> Iterable[Weights]:
    return [lookup(name) for name in names] or REGISTRY.values()


def _missing(weights: Weights) -> str:
    where = " or ".join(str(path) for path in places(weights))
    unset = "" if os.environ.get(MODELS_FOLDER) else f" (or into a folder of your own, named by ${MODELS_FOLDER})"
    return (
        f"{weights.name} needs the file {weights.file}, which is not on this machine. "
        f"Download it from {' or '.join(weights.urls)} and put it at {where}{unset}"
    )
