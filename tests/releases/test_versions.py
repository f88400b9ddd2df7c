"""Releases in a store: which one a run goes on with, and which one the next follows."""

from pathlib import Path

import pytest

from pipelines.config import ReleaseConfig
from pipelines.errors import ReleaseError
from pipelines.releases.versions import begin, settings_of_next
from pipelines.storage.store import Store
from tests.stages.making import NOWHERE


def begun(store: Store, run: str, **settings: object) -> str:
    return begin(ReleaseConfig.parse({**NOWHERE, "store": store.url, **settings}), run).version


def published(store: Store, run: str, **settings: object) -> str:
    """Begin a release and leave it as if it had been published."""
    version = begun(store, run, **settings)
    store.write_json(f"releases/{version}/manifest.json", {})
    store.write_json(f"runs/{version}/stages/publish.json", {})
    return version


def test_the_first_release_follows_none_and_the_next_one_the_newest(store: Store) -> None:
    settings = ReleaseConfig.parse({**NOWHERE, "store": store.url, "version": "2026.01.01"})
    assert begin(settings, "one").base == ""
    store.write_json("releases/2026.01.01/manifest.json", {})
    published(store, "two", version="2026.02.01")
    following = settings.model_copy(update={"version": "2026.03.01"})
    assert begin(following, "three").base == "2026.02.01"
    published(store, "hotfix", version="2026.02.15")
    assert begin(following, "three").base == "2026.02.01", "a run that goes on keeps its base"


def test_a_base_can_be_named_but_must_be_there(store: Store) -> None:
    published(store, "one", version="2026.01.01")
    published(store, "two", version="2026.02.01")
    this = ReleaseConfig.parse({**NOWHERE, "store": store.url, "version": "2026.03.01", "base": "2026.01.01"})
    assert begin(this, "three").base == "2026.01.01"
    with pytest.raises(ReleaseError, match=r"base: .* 2025\.12\.01"):
        begin(this.model_copy(update={"base": "2025.12.01"}), "four")


def test_a_refresh_has_the_settings_of_its_base_but_for_what_is_given(store: Store) -> None:
    published(store, "one", version="2026.01.01", face_threshold=0.2, jpeg_quality=80, accept="it was the first")
    settings = settings_of_next(store, "refresh", {"jpeg_quality": 95})
    assert (settings["face_threshold"], settings["jpeg_quality"]) == (0.2, 95)
    assert (settings["base"], settings["version"], settings["accept"]) == ("2026.01.01", "", "")


def test_a_refresh_that_goes_on_keeps_the_settings_that_it_began_with(store: Store) -> None:
    published(store, "one", version="2026.01.01", face_threshold=0.2)
    version = begin(ReleaseConfig.parse(settings_of_next(store, "refresh", {})), "refresh").version
    published(store, "another", version="2026.02.01", face_threshold=0.3)
    settings = settings_of_next(store, "refresh", {"accept": "seen"})
    assert (settings["face_threshold"], settings["base"]) == (0.2, "2026.01.01")
    assert (settings["version"], settings["accept"]) == (version, "seen")


def test_a_refresh_without_a_release_before_is_a_full_one(store: Store) -> None:
    assert settings_of_next(store, "refresh", {"origin": "demo"}) == {"origin": "demo"}


def test_a_refresh_of_a_release_that_is_not_there_is_refused(store: Store, tmp_path: Path) -> None:
    begun(store, "one", version="2026.01.01")
    with pytest.raises(ReleaseError, match=r"no published release 2026\.01\.01"):
        settings_of_next(store, "refresh", {"base": "2026.01.01"})


def test_a_run_that_was_killed_after_its_last_step_is_told_that_all_is_done(store: Store) -> None:
    """Its name tells it from every other run, so the release is its own, with or without a version in its settings."""
    version = published(store, "manual__1")
    config = ReleaseConfig.parse({**NOWHERE, "store": store.url})
    assert begin(config, "manual__1", once=True).version == version
    assert begin(config.model_copy(update={"version": version}), "manual__1").version == version
    settings = settings_of_next(store, "manual__1", {"base": ""}, once=True)
    assert (settings["version"], settings["base"]) == (version, "")


def test_a_release_of_another_run_is_refused(store: Store) -> None:
    version = published(store, "manual__1")
    with pytest.raises(ReleaseError, match="never rewritten"):
        begun(store, "manual__2", version=version)


def test_the_same_command_makes_the_next_release_when_the_last_one_is_finished(store: Store) -> None:
    assert published(store, "cli-1234") != begun(store, "cli-1234")
