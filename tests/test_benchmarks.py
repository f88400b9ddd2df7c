"""The benchmarks fit the program: no test starts them, so a name that is gone would be noticed months later."""

import importlib
from pathlib import Path

import pytest

from tests.benchmarks.faces import flops
from tests.benchmarks.measuring import SIZES
from tests.vision.making import encoded, picture

BENCHMARKS = sorted((Path(__file__).resolve().parent / "benchmarks").glob("[!_]*.py"))


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_it_finds_what_it_imports(path: Path) -> None:
    importlib.import_module(f"tests.benchmarks.{path.stem}")


@pytest.mark.parametrize(("model", "gigaflops"), [("retinaface-resnet50", 20.2), ("retinaface-mobilenet0.25", 0.39)])
def test_what_a_picture_takes_of_a_gpu_is_counted_without_one(model: str, gigaflops: float) -> None:
    pictures = [encoded(picture(*size), "JPEG") for size in SIZES]
    assert flops(model, pictures) / 1e9 == pytest.approx(gigaflops, rel=0.01)
