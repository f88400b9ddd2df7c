"""The benchmarks fit the program: no test starts them, so a name that is gone would be noticed months later."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = sorted((Path(__file__).resolve().parent / "benchmarks").glob("[!_]*.py"))


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_it_finds_what_it_imports(path: Path) -> None:
    importlib.import_module(f"tests.benchmarks.{path.stem}")
