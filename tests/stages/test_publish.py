"""publish: nothing goes out that was not found good, that Commons is about to delete, or that belongs elsewhere."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from distributed import Client

from pipelines.config import ReleaseConfig
from pipelines.engine.step import Context, release_path
from pipelines.errors import ReleaseError, ValidationFailed
from pipelines.pipeline import STAGES, run_one, run_stage
from pipelines.releases.reader import open_release
from pipelines.releases.settings import settings_to_accept
from pipelines.stages.publish import refuse_incomplete
from pipelines.storage.store import Store
from pipelines.tables import PIXELS, PURGED, Outcome
from tests.published import VERSION, commons, make
from tests.reports.making import facts
from tests.shared import shared
from tests.stages.making import url_of
from tests.world import World, downloads

pytestmark = pytest.mark.timeout(600)

SHARD = "image_pixels/part-00000.csv.gz"
JOINED = "parquet/part-00001.parquet"


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, object]]:
    with commons() as settings:
        yield settings


@pytest.fixture(scope="module")
def finished(client: Client, served: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the store of a release on which only publish is to be run."""
    store = tmp_path_factory.mktemp("finished") / "store"
    make(client, store, served, until="validate")
    return store


@pytest.fixture
def ready(finished: Path, served: dict[str, object], tmp_path: Path) -> Context:
    """Give a copy of it."""
    store = Path(shutil.copytree(finished, tmp_path / "store"))
    config = ReleaseConfig.parse({**served, "store": str(store)})
    return Context(config, VERSION, Store(str(store)), observation=VERSION)


def folder(context: Context) -> Path:
    return Path(context.store.locate(f"releases/{context.version}"))


def content(context: Context) -> dict[str, str]:
    """Return the checksum of every file of a release."""
    paths = sorted(path for path in folder(context).rglob("*") if path.is_file())
    return {str(path.relative_to(folder(context))): sha256(path.read_bytes()).hexdigest() for path in paths}


def is_out(context: Context) -> bool:
    return (folder(context) / "manifest.json").exists()


def work_pixels(context: Context) -> list[dict[str, Any]]:
    files = [path for path in context.store.files(f"work/{PIXELS.name}") if path.endswith(".parquet")]
    rows: list[dict[str, Any]] = []
    for path in files:
        with context.store.open(path) as file:
            rows += pq.read_table(file).to_pylist()
    return rows


def test_a_release_has_the_same_bytes_in_every_store_and_from_every_port(
    client: Client, ready: Context, published: Context
) -> None:
    run_stage("publish", ready, client)
    assert ready.config.media_url != published.config.media_url
    assert content(ready) == content(published)
    assert ready.store.read_json("releases/latest.json") == {"version": VERSION}


def test_the_last_look_asks_the_api_even_where_dumps_were_read_before(client: Client, ready: Context) -> None:
    """The dumps are not there: reading them once more would fail."""
    config = ready.config.model_copy(update={"deletion_dumps": "/nowhere/commonswiki-20261101-"})
    run_stage("publish", replace(ready, config=config), client)
    assert is_out(ready)
    manifest = json.loads((folder(ready) / "manifest.json").read_text())
    assert manifest["settings"]["deletion_dumps"] == "commonswiki-20261101-"


def test_what_was_not_validated_is_refused(client: Client, ready: Context) -> None:
    ready.store.remove(f"runs/{VERSION}/verdict.json")
    with pytest.raises(ReleaseError, match="was not validated"):
        run_stage("publish", ready, client)
    assert not is_out(ready)


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)


def test_a_file_that_was_damaged_after_its_validation_is_put_right(
    client: Client, ready: Context, published: Context
) -> None:
    """What the stage wrote is still there under its other name."""
    damage(folder(ready) / SHARD)
    run_stage("publish", ready, client)
    assert content(ready) == content(published)


@pytest.mark.parametrize("path", [SHARD, JOINED])
def test_damage_that_cannot_be_put_right_is_found(client: Client, ready: Context, path: str) -> None:
    damage(folder(ready) / path)
    damage(Path(ready.store.locate(f"work/files/{path}")))
    with pytest.raises(ValidationFailed, match=path):
        run_stage("publish", ready, client)
    assert not is_out(ready)
    with pytest.raises(ReleaseError, match="failed its validation"):
        run_stage("publish", ready, client)


def test_an_image_nominated_at_the_last_moment_is_left_out(client: Client, ready: Context, tmp_path: Path) -> None:
    released = {row["image_url"] for row in open_release(str(folder(ready)), published=False).ledger(["released"])}
    later = shutil.copytree(shared("commons"), tmp_path / "commons")
    later.joinpath("catalogue.json").chmod(0o644)
    nominate(later / "catalogue.json", "Tower.jpg")
    with commons(later) as settings:
        config = ReleaseConfig.parse({**settings, "store": ready.store.url})
        counts = run_stage("publish", replace(ready, config=config), client)
    assert counts["last_looks"] == 2
    release = open_release(str(folder(ready)))
    (late,) = released - {image.url for image in release.images()}
    assert late.endswith("/Tower.jpg")
    assert not [url for url, _ in release.embeddings() if url == late]
    assert not [row for row in release.captions() if row["image_url"] == late]
    (entry,) = [row for row in release.ledger() if row["image_url"] == late]
    assert entry["outcome"] == "deletion_candidate"
    assert counts["deletion_candidate"] == release.manifest["counts"]["outcomes"]["deletion_candidate"] == 4


def nominate(catalogue: Path, name: str) -> None:
    """Put a file into a category of deletion candidates."""
    content = json.loads(catalogue.read_text("utf-8"))
    content["categories"]["Copyright violations"].append(f"File:{name}")
    catalogue.write_text(json.dumps(content), "utf-8")


def test_a_picture_that_is_wanted_back_at_the_last_moment_is_left_to_the_next_release(
    client: Client, tmp_path: Path
) -> None:
    """The task holds the one connection to the API, and fetches nothing beside a task that holds the media servers'."""
    world, store = World(), tmp_path / "store"
    name, *_ = world.upload(8)
    rules = {"partitions": 1, "max_fetch_failed_share": 0.2}
    world.nominated = {name}
    with world.served(tmp_path / "nominated") as settings:
        make(client, store, {**settings, **rules, "version": "2026.01.01"})
        second = make(client, store, {**settings, **rules, "version": "2026.02.01"}, until="validate")
    world.nominated = set()
    with world.served(tmp_path / "kept") as settings:
        run_stage("publish", replace(second, config=second.config.model_copy(update=settings)), client)
        assert downloads(tmp_path / "kept") == []
        third = make(client, store, {**settings, **rules, "version": "2026.03.01"})
        assert [path.rsplit("/", 1)[-1] for path in downloads(tmp_path / "kept")] == [name]
    outcomes = {
        context.version: row["outcome"]
        for context in (second, third)
        for row in open_release(str(folder(context))).ledger()
        if row["image_url"] == url_of(name)
    }
    assert outcomes == {"2026.02.01": "fetch_failed", "2026.03.01": "released"}


FORM = {**ReleaseConfig.model_construct().model_dump(), "version": VERSION, "accept": "seen"}
"""A form in which a version and a reason are given, and all else is as it came: the sample of WIT, from Wikimedia."""


def test_accepting_publishes_the_release_as_it_was_made(
    client: Client, ready: Context, published: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", client.scheduler.address)
    settings = settings_to_accept(FORM | {"store": ready.store.url})
    made = {name: run_one(name, settings, "manual__2")["counts"] for name in STAGES}
    assert {name: sum(n for what, n in counts.items() if what.endswith("_fresh")) for name, counts in made.items()} == (
        dict.fromkeys(STAGES, 0)
    )
    assert content(ready) == content(published)
    with pytest.raises(ReleaseError, match="published and never rewritten"):
        run_one("pull_rows", settings, "manual__3")


def test_pixels_of_dropped_pictures_are_gone_from_the_whole_store(client: Client, ready: Context) -> None:
    ledger = {row["image_url"]: row for row in open_release(str(folder(ready)), published=False).ledger()}
    before = {row["image_url"]: row for row in work_pixels(ready)}
    dropped = {url for url, row in ledger.items() if row["outcome"] == Outcome.DELETION_CANDIDATE}
    assert len(dropped) == 3
    run_stage("publish", ready, client)
    after = {row["image_url"]: row for row in work_pixels(ready)}
    for url, row in after.items():
        if url in dropped:
            assert row["image"] is None
            assert row["status"] == PURGED
            assert row["sha256"] == before[url]["sha256"]  # what was measured stays
        else:
            assert row == before[url]
    everything = b"".join(ready_file(ready, path) for path in ready.store.files(""))
    for url in dropped:
        assert before[url]["image"] not in everything
    released = next(row for url, row in before.items() if ledger[url]["outcome"] == Outcome.RELEASED)
    assert released["image"] in everything


def ready_file(context: Context, path: str) -> bytes:
    with context.store.open(path) as file:
        return file.read()


class Stopped(Exception):
    """The run ends here."""


@pytest.mark.parametrize("path", ["SHA256SUMS", "manifest.json", "releases/latest.json", "work/pixels/"])
def test_stopped_at_any_file_and_run_again_it_gives_the_same_release(
    client: Client, ready: Context, published: Context, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Store.write

    def stop_at(store: Store, written: str) -> Any:
        if path in written:
            raise Stopped(written)
        return write(store, written)

    monkeypatch.setattr(Store, "write", stop_at)
    with pytest.raises(Stopped):
        run_stage("publish", ready, client)
    monkeypatch.undo()
    assert is_out(ready) == (path in ("releases/latest.json", "work/pixels/"))
    run_stage("publish", ready, client)
    assert content(ready) == content(published)
    assert ready.store.read_json("releases/latest.json") == {"version": VERSION}
    assert Counter(row["status"] for row in work_pixels(ready))[PURGED] == 3


def test_too_many_missing_downloads_are_refused() -> None:
    outcomes = dict.fromkeys(Outcome, 0) | {Outcome.RELEASED: 980, Outcome.FETCH_FAILED: 20}
    with pytest.raises(ReleaseError, match="20 of 1000 images could not be fetched"):
        refuse_incomplete(facts(outcomes=outcomes))
    refuse_incomplete(facts({"max_fetch_failed_share": 0.02}, outcomes=outcomes))
    refuse_incomplete(facts(outcomes=dict.fromkeys(Outcome, 0)))


def publish_nothing(store: Store, version: str) -> None:
    """Write what a published release leaves."""
    begun = {"version": version, "run": "other", "config": {}, "started": "2025-01-01T00:00:00+00:00"}
    store.write_json(f"runs/{version}/begun.json", begun)
    store.write_json(release_path(version, "manifest.json"), {})


def test_latest_names_the_newest_release_whichever_is_published_last(client: Client, ready: Context) -> None:
    publish_nothing(ready.store, "2026.02.01")
    run_stage("publish", ready, client)
    assert ready.store.read_json("releases/latest.json") == {"version": "2026.02.01"}
