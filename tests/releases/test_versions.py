"""Releases in a store: which one a run goes on with, which one the next follows, and what is refused at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.config import ReleaseConfig
from pipelines.errors import ReleaseError
from pipelines.releases.versions import begin, check_writable, context_of, read_begun, versions
from pipelines.storage.store import Store
from tests.releases.making import begun, published, worked_on
from tests.stages.making import NOWHERE


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


def test_a_run_that_was_killed_after_its_last_step_is_told_that_all_is_done(store: Store) -> None:
    """Its name tells it from every other run, so the release is its own, with or without a version in its settings."""
    version = published(store, "manual__1")
    config = ReleaseConfig.parse({**NOWHERE, "store": store.url})
    assert begin(config, "manual__1", once=True).version == version
    assert begin(config.model_copy(update={"version": version}), "manual__1").version == version


def test_a_release_of_another_run_is_refused(store: Store) -> None:
    version = published(store, "manual__1")
    with pytest.raises(ReleaseError, match="never rewritten"):
        begun(store, "manual__2", version=version)


def test_the_same_command_makes_the_next_release_when_the_last_one_is_finished(store: Store) -> None:
    assert published(store, "cli-1234") != begun(store, "cli-1234")


def test_a_release_is_not_made_from_other_inputs_than_it_was_begun_with(store: Store) -> None:
    """Their pictures would take the place of those that were fetched for days."""
    version = worked_on(store, "manual__1", wit_files=["all.tsv.gz"], max_rows=0)
    with pytest.raises(ReleaseError, match=f"release {version} was begun with other wit_files, max_rows: leave"):
        begun(store, "manual__2", version=version, wit_files=["sample.tsv.gz"], max_rows=1000)
    assert read_begun(store, version).config["wit_files"] == ["all.tsv.gz"]
    begun(store, "manual__2", version=version, wit_files=["all.tsv.gz"], face_threshold=0.2)
    assert read_begun(store, version).config["face_threshold"] == 0.2, "what depends on a rule is made again"


def test_a_wrong_file_is_put_right_under_the_same_name(store: Store) -> None:
    version = begun(store, "cli-1", wit_files=["al.tsv.gz"])
    assert begun(store, "cli-2", version=version, wit_files=["all.tsv.gz"]) == version


def test_a_run_whose_release_was_given_up_makes_no_other_from_the_middle(store: Store) -> None:
    config = ReleaseConfig.parse({**NOWHERE, "store": store.url})
    with pytest.raises(ReleaseError, match="run manual__1 has no release any more"):
        begin(config, "manual__1", once=True, anew=False)
    version = begin(config, "manual__1", once=True).version
    assert begin(config, "manual__1", once=True, anew=False).version == version


REAL = {"origin": "wikimedia", "operator_contact": "someone@example.org"}


@pytest.mark.parametrize(("here", "there"), [({}, REAL), (REAL, {}), ({}, {"origin": "mirror"})])
def test_releases_of_the_demo_and_real_ones_keep_apart(
    store: Store, here: dict[str, object], there: dict[str, object]
) -> None:
    before = published(store, "one", **there)
    with pytest.raises(ReleaseError, match=rf"has origin .*, and .* holds release {before} of origin"):
        begun(store, "two", **here)
    assert versions(store) == [before]


def test_a_release_from_before_a_policy_became_stricter_can_still_be_read(store: Store) -> None:
    files = ["https://analytics.wikimedia.org/published/wit.tsv.gz"]  # without the operator's contact
    assert context_of(store, begun(store, "one", wit_files=files)).config.wit_files == files


def test_tasks_that_look_at_the_same_time_whether_a_store_can_be_written_do_not_disturb_each_other(
    store: Store,
) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: check_writable(store), range(400)))
    assert store.files("") == []
