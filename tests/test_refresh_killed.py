"""A refresh that is killed again and again, with all its processes: nothing is lost, doubled or half published.

SIGKILL comes at random moments, by a seed, each time followed by the same command: on a disk, and on an S3 server that
fails every twentieth request. ``WIT_KILLS`` says how many times, 30 to believe it; without it the tests are skipped.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest

from pipelines.releases.shards import read_pixels
from pipelines.storage.lock import PATH, held
from pipelines.storage.store import Store
from tests.faulty_s3 import faulty_s3
from tests.running import options, run, run_and_kill
from tests.world import World

KILLS = int(os.environ.get("WIT_KILLS", "0"))
SEED = int(os.environ.get("WIT_KILLS_SEED", "7"))
BEFORE, AFTER = "2026.01.01", "2026.02.01"

pytestmark = [
    pytest.mark.timeout(3000 + 300 * KILLS),  # it waits for nothing but its own processes
    pytest.mark.skipif(not KILLS, reason="takes many minutes: set WIT_KILLS to the number of kills"),
]


@dataclass(frozen=True)
class Scene:
    """A store with a release in it, the command that makes the next one, and what that is when nothing disturbs it."""

    before: Path
    arguments: tuple[str, ...]
    undisturbed: Mapping[str, str]
    seconds: float


def content(store: Store, version: str = AFTER) -> Mapping[str, str]:
    return {path: store.sha256(path) for path in store.files(f"releases/{version}")}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("killed")
    world = World()
    names = world.upload(24)
    world.nominated = {names[20]}
    shared = {"partitions": 2, "workers": 1}
    with world.served(folder / "first") as settings:
        made = run("run", *options({**settings, **shared, "version": BEFORE, "store": folder / "before"}), timeout=1500)
        assert made.returncode == 0, made.stderr[-3000:]
    world.upload(3)
    world.upload_again(names[0])
    world.upload_again(names[1], face=True)
    world.move(names[2])
    world.deleted.add(names[3])
    world.nominated = {names[4]}
    world.files[names[5]].licence = "CC0"
    world.files[names[6]].caption += 1
    with world.served(folder / "second") as settings:
        shutil.copytree(folder / "before", folder / "undisturbed")
        arguments = ("run", *options({**settings, **shared, "version": AFTER}))
        started = time.monotonic()
        made = run(*arguments, "--store", folder / "undisturbed", timeout=1500)
        assert made.returncode == 0, made.stderr[-3000:]
        seconds = time.monotonic() - started
        yield Scene(folder / "before", arguments, content(Store(str(folder / "undisturbed"))), seconds)


def look(store: Store, scene: Scene) -> None:
    """See that what is in the store is whole, whenever one looks."""
    pointer = store.read_json("releases/latest.json")
    published = store.exists(f"releases/{AFTER}/manifest.json")
    assert pointer["version"] == BEFORE or published
    if published:
        assert content(store) == scene.undisturbed
    sums = (store.read_text(f"releases/{BEFORE}/SHA256SUMS") or "").splitlines()
    assert sums
    for line in sums:
        digest, path = line.split("  ", 1)
        assert store.sha256(f"releases/{BEFORE}/{path}") == digest, f"{path} of the release before was touched"


def no_image_is_lost_or_doubled(store: Store) -> None:
    ledger: list[str] = []
    released: list[str] = []
    for path in store.files(f"releases/{AFTER}/ledger"):
        with store.open(path) as file:
            rows = pq.read_table(file, columns=["image_url", "outcome"]).to_pylist()
        ledger += [row["image_url"] for row in rows]
        released += [row["image_url"] for row in rows if row["outcome"] == "released"]
    pictures: list[str] = []
    for path in store.files(f"releases/{AFTER}/image_pixels"):
        with store.open(path) as file:
            pictures += [row.url for row in read_pixels(file)]
    assert len(ledger) == len(set(ledger)) == 27
    assert sorted(pictures) == sorted(released)


def kill_again_and_again(store: Store, scene: Scene) -> None:
    """Kill so many times; a run that comes to its end begins anew from the release before."""
    random = Random(SEED)
    arguments = (*scene.arguments, "--store", store.url)
    held_by_the_killed = 0
    for number in range(KILLS):
        moment = time.monotonic() + random.uniform(0.05, 1.0) * scene.seconds
        killed = run_and_kill(_at(moment), *arguments, timeout=1500)
        print(f"kill {number}: {'killed' if killed else 'had ended'}", flush=True)
        look(store, scene)
        owner = json.loads(store.read_text(PATH) or '{"run": ""}')
        if killed and owner["run"]:
            held_by_the_killed += 1
        if not killed:
            start_anew(store)
    last = run(*arguments, timeout=1500)
    assert last.returncode == 0, last.stderr[-3000:]
    assert held_by_the_killed
    look(store, scene)
    assert content(store) == scene.undisturbed
    no_image_is_lost_or_doubled(store)
    assert json.loads(store.read_text(PATH) or "")["run"] == ""
    with held(store, "somebody else", alone=True):
        pass


def _at(moment: float) -> Callable[[], bool]:
    return lambda: time.monotonic() >= moment


def start_anew(store: Store) -> None:
    for path in [*store.files(f"releases/{AFTER}"), *store.files(f"runs/{AFTER}")]:
        store.remove(path)
    store.write_json("releases/latest.json", {"version": BEFORE})


def test_on_a_disk(scene: Scene, tmp_path: Path) -> None:
    shutil.copytree(scene.before, tmp_path / "store")
    kill_again_and_again(Store(str(tmp_path / "store")), scene)
    assert [path.name for path in (tmp_path / "store/.tmp").glob("*")] == []


def test_on_an_s3_server_that_fails_every_twentieth_request(scene: Scene) -> None:
    with faulty_s3(seed=SEED) as (bucket, proxy):
        store = Store(f"{bucket}/killed")
        for path in sorted(path for path in scene.before.rglob("*") if path.is_file()):
            name = str(path.relative_to(scene.before))
            if not name.startswith((".", "lock.json")):
                with store.write(name) as written:
                    written.file.write(path.read_bytes())
        kill_again_and_again(store, scene)
        assert sum(proxy.met.values()) > 10
