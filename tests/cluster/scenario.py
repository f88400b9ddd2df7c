"""A release and the refresh that follows it, made in one store from a small Commons of its own that changes in between.

The same two releases are made by a deployment, by a deployment of which parts are killed, and by the embedded default.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.parquet as pq

from pipelines.releases.versions import latest
from pipelines.storage.store import Store
from pipelines.tables import KEY
from tests.cluster.deployment import Deployment
from tests.running import options, run
from tests.world import World

RELEASE, REFRESH = "wit_release", "wit_refresh"
FIRST = "2026.01.01"
PICTURES, PARTITIONS, CONNECTIONS = 64, 4, 2
LATE = 0.15
"""Seconds that the media servers take to answer: a fetch takes long enough to be interrupted."""

Settings = dict[str, object]


def begun() -> World:
    """The Commons that the first release is made from."""
    world = World()
    names = world.upload(PICTURES)
    world.nominated = {names[60]}
    world.deleted = {names[61]}
    return world


def go_on(world: World) -> None:
    """Let the world go on, to what the refresh finds."""
    names = list(world.files)
    world.upload(3)
    for name in names[:3]:
        world.upload_again(name)
    world.move(names[3])
    world.deleted.add(names[4])
    world.nominated = {names[5]}
    world.files[names[6]].licence = "CC0"
    world.files[names[7]].caption += 1


def request_log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]


def files(store: Store, version: str) -> dict[str, str]:
    """Return the checksum of each file of a release."""
    folder = f"releases/{version}/"
    return {path.removeprefix(folder): store.sha256(path) for path in store.files(folder.rstrip("/"))}


def saved(store: Store, table: str) -> dict[str, list[str]]:
    """Return the images of each partition of a table that is finished, by partition."""
    made = {}
    for path in store.files(f"work/{table}"):
        if ".saved/" not in path:
            with store.open(path) as file:
                made[path] = pq.read_table(file, columns=[KEY], partitioning=None).column(KEY).to_pylist()
    return made


@dataclass(frozen=True)
class Made:
    """Two releases, what the servers of Commons were asked for each of them, and which Dask workers ran which step."""

    store: Store
    second: str
    requests: tuple[list[dict[str, Any]], list[dict[str, Any]]]
    ran: Mapping[str, set[str]] = field(default_factory=dict)
    first_run: str = ""

    def first_files(self) -> dict[str, str]:
        return files(self.store, FIRST)

    def second_files(self) -> dict[str, str]:
        return files(self.store, self.second)


@dataclass
class Scenario:
    """One pair of releases that is being made.

    Args:
        folder: of its Commons.
        store: where it goes.

    """

    folder: Path
    store: Store

    @contextmanager
    def commons(self, world: World, before: Settings | None = None) -> Iterator[Settings]:
        """Serve a state of the world, at the same address as before; give the settings of a release from it."""
        port = urlsplit(str(before["media_url"])).port if before else 0
        (self.folder / "requests.jsonl").unlink(missing_ok=True)
        with world.served(self.folder, port=port or 0, media_delay=LATE) as settings:
            more = {"version": FIRST, "partitions": PARTITIONS, "connections": CONNECTIONS}
            yield {**settings, **more, "store": self.store.url}

    def deploy(self, deployment: Deployment, meanwhile: Callable[[str], None] = lambda run: None) -> Made:
        """Make both as a person does who triggers the DAGs.

        Args:
            deployment: that makes them.
            meanwhile: called with the id of the first run, once it is triggered.

        """
        world = begun()
        deployment.ran()
        with self.commons(world) as settings:
            first = deployment.api.trigger(RELEASE, settings)
            meanwhile(first)
            deployment.until_success(RELEASE, first)
        asked = request_log(self.folder)
        go_on(world)
        with self.commons(world, settings):
            second = deployment.api.trigger(REFRESH, {"store": self.store.url})
            deployment.until_success(REFRESH, second)
        version = latest(self.store)
        assert version is not None
        return Made(self.store, version, (asked, request_log(self.folder)), deployment.ran(), first)

    def embedded(self) -> Callable[[str], Made]:
        """Make the first on this machine alone, by the command line; return how to make the second of some name."""
        world = begun()
        with self.commons(world) as settings:
            _run(settings)
        asked = request_log(self.folder)
        go_on(world)

        def refresh(version: str) -> Made:
            with self.commons(world, settings):
                _run({**settings, "version": version})
            return Made(self.store, version, (asked, request_log(self.folder)))

        return refresh


def _run(settings: Mapping[str, object]) -> None:
    done = run("run", *options({**settings, "workers": 1}))
    assert done.returncode == 0, done.stderr[-4000:]
