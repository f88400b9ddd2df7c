"""What holds for every DAG, and for the one that makes a release."""

from itertools import pairwise
from typing import Any

import pytest

from pipelines.demo.airflow import POOLS
from pipelines.engine.step import Needs
from pipelines.pipeline import STAGES
from tests.dags.conftest import Found

KNOWN_OWNERS = {"wit-release"}


def all_tasks(found: Found) -> list[Any]:
    return [(dag, name, task) for dag, about in found["dags"].items() for name, task in about["tasks"].items()]


def test_every_file_in_dags_can_be_read(found: Found) -> None:
    assert found["errors"] == {}
    assert "wit_release" in found["dags"]


def test_reading_the_dags_imports_nothing_heavy(found: Found) -> None:
    assert found["heavy"] == []
    vision = {"pipelines.vision", "pipelines.vision.weights_errors"}
    commons = {"pipelines.commons", *(f"pipelines.commons.{name}" for name in ("origin", "politeness", "traffic"))}
    light = {"pipelines.config", "pipelines.errors", "pipelines.places", *vision, *commons}
    assert set(found["library"]) <= light | {"pipelines.stages"}


def test_every_dag_says_what_it_is_for_and_why_it_behaves_so(found: Found) -> None:
    for name, dag in found["dags"].items():
        assert dag["tags"], name
        assert dag["description"], name
        assert len(dag["doc"].split()) >= 150, name
        assert "Why" in dag["doc"], name


def test_no_dag_makes_up_for_missed_runs_or_makes_two_releases_at_once(found: Found) -> None:
    for name, dag in found["dags"].items():
        assert not dag["catchup"], name
        assert dag["max_active_runs"] == 1 or name == "wit_takedown", name


def test_a_takedown_is_not_kept_waiting_by_another_that_waits_for_its_release(found: Found) -> None:
    assert found["dags"]["wit_takedown"]["max_active_runs"] > 10


def test_every_task_has_an_owner_documentation_and_retries_that_back_off(found: Found) -> None:
    for dag, name, task in all_tasks(found):
        assert task["owner"] in KNOWN_OWNERS, (dag, name)
        assert task["doc"], (dag, name)
        assert task["retries"] >= 2, (dag, name)
        assert task["backoff"] >= 2, (dag, name)


def test_every_pool_is_made_at_the_start(found: Found) -> None:
    used = {task["pool"] for _, _, task in all_tasks(found)}
    assert used - {"default_pool"} == set(POOLS)


def test_the_tasks_are_the_stages_in_their_order(release_dag: Found) -> None:
    assert set(release_dag["tasks"]) == set(STAGES)
    after = {name: set(task["after"]) for name, task in release_dag["tasks"].items()}
    assert after["pull_rows"] == set()
    assert after["detect_faces"] == after["find_deletion_candidates"] == {"fetch_images"}
    assert after["decide"] == {"detect_faces", "find_deletion_candidates"}
    chain = ("pull_rows", "describe_files", "fetch_images"), STAGES[STAGES.index("decide") :]
    for before, name in (pair for part in chain for pair in pairwise(part)):
        assert after[name] == {before}


@pytest.mark.parametrize(
    ("stage", "pool"),
    [
        ("fetch_images", Needs.COMMONS_MEDIA),
        ("describe_files", Needs.COMMONS_API),
        ("find_deletion_candidates", Needs.COMMONS_API),
        ("publish", Needs.COMMONS_API),
    ],
)
def test_what_connects_to_commons_waits_for_its_turn(release_dag: Found, stage: str, pool: Needs) -> None:
    assert release_dag["tasks"][stage]["pool"] == pool


def test_a_stage_that_needs_commons_has_the_pool_of_that_name(release_dag: Found) -> None:
    from importlib import import_module

    for stage in STAGES:
        needs = {step.needs for step in import_module(f"pipelines.stages.{stage}").STEPS}
        for need in needs & {Needs.COMMONS_API, Needs.COMMONS_MEDIA}:
            assert release_dag["tasks"][stage]["pool"] == need, stage


def test_the_release_is_an_asset_that_publish_updates(release_dag: Found) -> None:
    outlets = {name: task["outlets"] for name, task in release_dag["tasks"].items() if task["outlets"]}
    assert outlets == {"publish": ["wit_release"]}


def test_the_last_tasks_have_buttons_to_the_pages_of_the_release(release_dag: Found) -> None:
    buttons = {name: task["links"] for name, task in release_dag["tasks"].items() if task["links"]}
    assert buttons == {"validate": ["Release", "Data Docs"], "publish": ["Release", "Report"]}


def test_the_documentation_names_every_stage(release_dag: Found) -> None:
    for stage in STAGES:
        assert f"`{stage}`" in release_dag["doc"]
