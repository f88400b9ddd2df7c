"""Where the settings of a release come from: the one before, or the one that goes on; and whose work may be lost."""

import time

import pytest

from pipelines.config import ReleaseConfig
from pipelines.errors import ReleaseError, StoreLocked
from pipelines.releases.settings import settings_of_next, settings_to_accept
from pipelines.releases.versions import begin, read_begun
from pipelines.storage import lock
from pipelines.storage.store import Store
from tests.releases.making import begun, published, worked_on
from tests.stages.making import NOWHERE

ALL, SAMPLE = ["all.tsv.gz"], ["sample.tsv.gz"]


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


def test_a_refresh_of_a_release_that_is_not_there_is_refused(store: Store) -> None:
    begun(store, "one", version="2026.01.01")
    with pytest.raises(ReleaseError, match=r"no published release 2026\.01\.01"):
        settings_of_next(store, "refresh", {"base": "2026.01.01"})


def test_a_run_that_was_killed_after_its_last_step_has_the_settings_of_its_release(store: Store) -> None:
    version = published(store, "manual__1")
    settings = settings_of_next(store, "manual__1", {"base": ""}, once=True)
    assert (settings["version"], settings["base"]) == (version, "")


def test_a_form_that_accepts_warnings_stands_for_the_release_as_it_was_begun(store: Store) -> None:
    """Whoever fills in version and reason leaves the rest as the form has it: the sample, the default rules."""
    version = worked_on(store, "scheduled__1", wit_files=ALL, face_threshold=0.2)
    form = {**NOWHERE, "wit_files": SAMPLE, "store": store.url, "version": version, "accept": "seen"}
    assert settings_to_accept(form) == read_begun(store, version).config | {"accept": "seen"}
    assert settings_to_accept(form | {"accept": ""}) == form | {"accept": ""}
    with pytest.raises(ReleaseError, match=r"2020\.01\.01 was never begun"):
        settings_to_accept(form | {"version": "2020.01.01"})


@pytest.mark.parametrize("first", [True, False])
def test_a_refresh_does_not_drop_what_another_run_has_fetched(store: Store, first: bool) -> None:
    if not first:
        published(store, "one", version="2026.01.01", wit_files=SAMPLE)
    given = {**NOWHERE, "store": store.url, "wit_files": SAMPLE} if first else {}
    version = worked_on(store, "manual__1", wit_files=ALL)
    with pytest.raises(
        ReleaseError, match=f"release {version}, which run manual__1 began with other wit_files, is unf"
    ):
        settings_of_next(store, "scheduled__1", given)
    assert settings_of_next(store, "scheduled__1", given | {"wit_files": ALL})["wit_files"] == ALL, "it takes it over"
    published(store, "two", version="2099.01.01", wit_files=SAMPLE)
    assert settings_of_next(store, "scheduled__1", {})["base"] == "2099.01.01", "it was given up"


def test_an_unfinished_release_is_given_up_by_naming_the_one_to_follow(store: Store) -> None:
    published(store, "one", version="2026.01.01", wit_files=SAMPLE)
    worked_on(store, "manual__1", wit_files=ALL)
    assert settings_of_next(store, "manual__2", {"base": "2026.01.01"})["wit_files"] == SAMPLE


def test_a_release_for_which_nothing_was_done_stands_in_nobodys_way(store: Store) -> None:
    published(store, "one", version="2026.01.01", wit_files=SAMPLE)
    begun(store, "manual__1", wit_files=ALL)
    assert settings_of_next(store, "scheduled__1", {})["base"] == "2026.01.01"


def test_a_refresh_waits_for_a_run_that_is_at_work_or_will_be_tried_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(store, "one", version="2026.01.01", wit_files=SAMPLE)
    worked_on(store, "manual__1", wit_files=ALL)
    with (
        lock.held(store, "manual__1", alone=False, keep=True),
        pytest.raises(StoreLocked, match="in use by run manual__1"),
    ):
        settings_of_next(store, "scheduled__1", {})
    now = time.time()
    monkeypatch.setattr(lock.time, "time", lambda: now + lock.EXPIRES + 3600)  # Airflow waits that long, at most
    with pytest.raises(StoreLocked, match=r"run manual__1 .* may be tried again"):
        settings_of_next(store, "scheduled__1", {})
    monkeypatch.setattr(lock.time, "time", lambda: now + lock.RETURNS + 5)
    with pytest.raises(ReleaseError, match="is unfinished"):
        settings_of_next(store, "scheduled__1", {})
