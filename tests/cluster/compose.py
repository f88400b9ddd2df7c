"""docker/compose.yaml without containers: its services as processes of this machine.

Commands, variables, health checks and restart policies are read from the file, so the two cannot drift. What containers
give each service of its own is replaced: host names and ports by free ports of loopback, folders by folders here.
"""

import re
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster.image import Image
from tests.cluster.supervisor import Service
from tests.docker.files import BASE, DOCKER, HOME, VARIABLE, services

LISTENS = {
    "postgres": (5432,),
    "object-store": (7070,),
    "airflow-api-server": (8080,),
    "airflow-scheduler": (8974,),
    "dask-scheduler": (8786, 8787),
    "dask-worker": (8789,),
    "dask-gpu-worker": (8789,),
}
"""The ports of each service, as the others and its health check name them."""

SERVICES = services(BASE) | services(DOCKER / "compose.gpu.yaml")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Compose:
    """The services of a deployment in a folder.

    Args:
        folder: for what containers would keep.
        variables: the .env file.
        images: an unpacked image for each target of the Dockerfile.
        here: further variables of every process.

    """

    folder: Path
    variables: Mapping[str, str]
    images: Mapping[str, Image]
    here: Mapping[str, str]
    _ports: dict[tuple[str, int], int] = field(default_factory=dict)

    def port(self, service: str, port: int) -> int:
        """Return the free port that stands for a service's own; workers of one kind each have their own."""
        return self._ports.setdefault((service, port), free_port())

    def environment(self, kind: str, name: str = "") -> dict[str, str]:
        """Return the variables of a service."""
        return {
            variable: self._here(value, kind, name or kind)
            for variable, value in SERVICES[kind].get("environment", {}).items()
        }

    def replicas(self, kind: str) -> int:
        return int(self._interpolated(str(SERVICES[kind]["deploy"].get("replicas", 1))))

    def service(self, kind: str, number: int | None = None, *extra: str) -> Service:
        """Return a service as a process.

        Args:
            kind: its name in the compose file.
            number: of a service with several replicas.
            extra: further words of its command.

        """
        about: dict[str, Any] = SERVICES[kind]
        name = kind if number is None else f"{kind}-{number}"
        image = self._image(kind)
        environment = {
            variable: self._folders(value, kind, name).replace("$PATH", self.here["PATH"])
            for variable, value in {**self.here, **image.environment}.items()
        }
        environment |= self.environment(kind, name)
        (self.folder / name / "scratch").mkdir(parents=True, exist_ok=True)
        return Service(
            name=name,
            command=_found([*(self._here(word, kind, name) for word in about["command"]), *extra], environment),
            environment=environment,
            folder=image.home,
            log=self.folder / f"{name}.log",
            healthy=_found(self._health(about, kind, name), environment),
            restarts=about.get("restart") == "unless-stopped",
        )

    def _health(self, about: dict[str, Any], kind: str, name: str) -> list[str]:
        if "healthcheck" not in about:
            return []
        first, *words = about["healthcheck"]["test"]
        assert first == "CMD"
        return [self._here(re.sub(r"\b127\.0\.0\.1:", f"{kind}:", word), kind, name) for word in words]

    def _here(self, text: str, kind: str, name: str) -> str:
        """Return a text of the compose file with the addresses and folders of this machine."""
        text = self._interpolated(str(text))
        for service, ports in LISTENS.items():
            for port in ports:
                whose = name if service == kind else service
                text = re.sub(rf"\b{service}:{port}\b", lambda _, at=(whose, port): f"127.0.0.1:{self.port(*at)}", text)
        for port in LISTENS.get(kind, ()):
            if text == str(port):
                text = str(self.port(name, port))
            elif text == f":{port}":
                text = f"127.0.0.1:{self.port(name, port)}"
        return self._folders("127.0.0.1" if text == "0.0.0.0" else text, kind, name)

    def _interpolated(self, text: str) -> str:
        return VARIABLE.sub(lambda found: self.variables[found["name"]], text)

    def _folders(self, text: str, kind: str, name: str) -> str:
        folders = {"/scratch": self.folder / name / "scratch", "/cache": self.folder / "cache", "/opt/venv": sys.prefix}
        if "build" in SERVICES[kind]:
            folders[HOME.rstrip("/")] = self._image(kind).home
        for theirs, ours in folders.items():
            if re.match(rf"{theirs}(/|$)", text):
                return f"{ours}{text.removeprefix(theirs)}"
        return text

    def _image(self, kind: str) -> Image:
        return self.images[SERVICES[kind]["build"]["target"]]


def _found(command: list[str], environment: Mapping[str, str]) -> list[str]:
    """Return a command whose program is looked for on the service's own PATH."""
    if not command:
        return []
    program = shutil.which(command[0], path=environment["PATH"])
    assert program is not None, f"{command[0]} is not on the PATH of the image"
    return [program, *command[1:]]
