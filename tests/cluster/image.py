"""An image of docker/Dockerfile as a folder: the files that it copies, and the environment that it sets.

What a service needs and the image does not hold is missing here, too: a process is given this folder, not the checkout.
Python's packages alone are those of the environment that runs the tests.
"""

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.docker.files import HOME, ROOT, with_bases


@dataclass(frozen=True)
class Image:
    """An unpacked image.

    Args:
        home: what stands for its working directory.
        environment: its variables, with its own paths.

    """

    home: Path
    environment: dict[str, str]


def unpack(target: str, home: Path) -> Image:
    """Make a folder of a target of the Dockerfile."""
    environment: dict[str, str] = {}
    home.mkdir(parents=True)
    for word, rest in with_bases(target):
        if word == "ENV":
            environment |= dict(setting.split("=", 1) for setting in shlex.split(rest))
        elif word == "WORKDIR":
            assert f"{rest}/" == HOME
        elif word == "COPY" and not rest.startswith("--from="):
            *sources, to = rest.split()
            for source in sources:
                _copy(ROOT / source, home / to, into=to.endswith("/"))
    return Image(home, environment)


def _copy(source: Path, target: Path, *, into: bool) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        return
    if into:
        target = target / source.name
    target.parent.mkdir(exist_ok=True)
    shutil.copy(source, target)
