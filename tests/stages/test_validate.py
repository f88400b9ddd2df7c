"""validate: a sound release gets its verdict and its Data Docs; a damaged one is refused by name, and can be mended."""

import gzip
from collections.abc import Callable

import pytest
from distributed import Client

from pipelines.engine.step import release_path
from pipelines.errors import ReleaseError, ValidationFailed
from pipelines.pipeline import run_stage
from pipelines.quality.verdict import EXAMPLES, read_verdict
from pipelines.releases import shards
from pipelines.storage.store import Store
from pipelines.tables import Outcome
from tests.quality.small_release import VERSION, SmallRelease


@pytest.fixture
def release(store: Store) -> SmallRelease:
    return SmallRelease(store).write().note_receipts()


def validate(release: SmallRelease, client: Client) -> dict[str, int]:
    return run_stage("validate", release.context, client)


def test_a_sound_release_passes(release: SmallRelease, client: Client) -> None:
    counts = validate(release, client)
    assert counts["warnings"] == 0
    verdict = read_verdict(release.store, VERSION)
    assert verdict.success
    assert len(verdict.expectations) == counts["expectations"] > 40
    assert verdict.outcomes == {Outcome.RELEASED: 10, Outcome.FACE: 1, Outcome.DELETION_CANDIDATE: 1}
    assert release.store.exists(release_path(VERSION, "quality/index.html"))


def test_a_second_validation_measures_nothing_again_and_says_the_same(release: SmallRelease, client: Client) -> None:
    first = validate(release, client)
    verdict = read_verdict(release.store, VERSION)
    second = validate(release, client)
    assert (first["measurements_fresh"], second["measurements_fresh"]) == (first["measurements_rows"], 0)
    assert read_verdict(release.store, VERSION) == verdict


def damage_a_shard(release: SmallRelease) -> None:
    path = shards.image_shard("part-00000")
    lines = gzip.decompress(release.read(path)).splitlines(keepends=True)
    release.overwrite(path, gzip.compress(b"".join(reversed(lines))))


def damage_an_embedding(release: SmallRelease) -> None:
    path = shards.embedding_shard("part-00001")
    text = gzip.decompress(release.read(path))
    release.overwrite(path, gzip.compress(text.replace(b",", b",nan,", 1)))


def damage_the_ledger(release: SmallRelease) -> None:
    path = shards.ledger_shard("part-00001")
    release.overwrite(path, release.read(path)[:-100])


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (damage_a_shard, {"pixels.sorted", "files.checksum"}),
        (damage_an_embedding, {"embeddings.dimensions", "embeddings.finite", "files.checksum"}),
        (damage_the_ledger, {"files.readable", "files.checksum", "files.size"}),
    ],
)
def test_damage_after_a_validation_is_found_by_name_and_a_mended_release_passes(
    release: SmallRelease, client: Client, damage: Callable[[SmallRelease], None], named: set[str]
) -> None:
    validate(release, client)
    before = {path: release.read(path) for path in release.receipts}
    damage(release)
    with pytest.raises(ValidationFailed) as refused:
        validate(release, client)
    failed = {failure.split(":")[0] for failure in refused.value.failures}
    assert named <= failed <= named | {"files.size"}
    verdict = read_verdict(release.store, VERSION)
    assert {one.name for one in verdict.errors} == failed
    assert not release.store.exists(f"runs/{VERSION}/stages/validate.json")
    assert all(name in release.page("index.html") for name in failed)
    for path, data in before.items():
        release.overwrite(path, data)
    validate(release, client)
    assert read_verdict(release.store, VERSION).success


def test_the_error_says_what_where_and_how_many(release: SmallRelease, client: Client) -> None:
    damage_an_embedding(release)
    with pytest.raises(ValidationFailed) as refused:
        validate(release, client)
    text = str(refused.value)
    url = release.shown[1][0].url
    assert f"release {VERSION} is not published: " in text
    assert f"embeddings.finite: All values are finite: 1 unexpected, e.g. partition=part-00001, image_url={url}" in text
    assert "embedding_not_finite=1" in text
    assert text.endswith(f"/releases/{VERSION}/quality/index.html")


def test_a_warning_does_not_stop_a_release(store: Store, client: Client) -> None:
    release = SmallRelease(store)
    release.captions[0][0]["language"] = "klingon"
    counts = validate(release.write().note_receipts(), client)
    assert counts["warnings"] == 1
    verdict = read_verdict(store, VERSION)
    assert verdict.success
    (warning,) = verdict.warnings
    assert (warning.name, warning.unexpected) == ("rows.language_known", 1)
    assert warning.examples == ({"partition": "part-00000", "language": "klingon"},)


def test_no_more_than_twenty_examples_are_kept(store: Store, client: Client) -> None:
    release = SmallRelease(store)
    for number, caption in enumerate([*release.captions[0]] * 5):
        release.captions[0].append(caption | {"language": f"xx-{number}"})
    release.captions[0].sort(key=lambda row: row["image_url"])
    validate(release.write().note_receipts(), client)
    (warning,) = read_verdict(store, VERSION).warnings
    assert warning.unexpected is not None
    assert warning.unexpected > EXAMPLES == len(warning.examples)


def test_thresholds_come_from_the_settings(store: Store, client: Client) -> None:
    release = SmallRelease(store)
    release.settings["face_threshold"] = 0.01  # the pictures have 2 %
    release.write().note_receipts()
    with pytest.raises(ValidationFailed, match=r"ledger\.face_threshold: .*: 10 unexpected"):
        validate(release, client)
    release.settings["face_threshold"] = 0.02
    assert validate(release, client)["warnings"] == 0


def test_a_release_that_was_not_validated_has_no_verdict(store: Store) -> None:
    with pytest.raises(ReleaseError, match=r"release 2026\.11\.23 was not validated; run the stage validate first"):
        read_verdict(store, VERSION)
