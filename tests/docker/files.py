"""What the tests of docker/ share: its files, read once, and the few things of their formats that the tests ask for."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
BASE = DOCKER / "compose.yaml"
OVERLAYS = (DOCKER / "compose.gpu.yaml", DOCKER / "compose.demo.yaml")
COMPOSE = (BASE, *OVERLAYS)
HOME = "/opt/wit-release/"

VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<operator>:?[-?])(?P<value>[^}]*))?\}")


def load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text("utf-8"))


def services(path: Path) -> dict[str, dict[str, Any]]:
    return load(path)["services"]


def example() -> dict[str, str]:
    """The variables of .env.example."""
    lines = (DOCKER / ".env.example").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def strings(value: Any) -> Iterator[str]:
    """Every text in a YAML document, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from strings(key)
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def interpolated(text: str) -> str:
    """A text with its variables as .env.example and their defaults have them."""
    return VARIABLE.sub(lambda found: example().get(found["name"]) or found["value"] or "", text)


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, rest), continued lines joined, comments left out."""
    text = "\n".join(line for line in (DOCKER / "Dockerfile").read_text("utf-8").splitlines() if line[:1] != "#")
    joined = re.sub(r"\\\n\s*", "", text)
    return [
        (word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines()) if word
    ]


def stages() -> dict[str, list[tuple[str, str]]]:
    """The Dockerfile's stages by name; under "" what stands before the first."""
    found: dict[str, list[tuple[str, str]]] = {"": []}
    name = ""
    for word, rest in instructions():
        if word == "FROM":
            name = rest.split()[-1]
            found[name] = []
        found[name].append((word, rest))
    return found


def with_bases(stage: str) -> list[tuple[str, str]]:
    """A stage's instructions after those of the stages that it is built on."""
    known = stages()
    parent = known[stage][0][1].split()[0]
    return (with_bases(parent) if parent in known else []) + known[stage]
