"""A release and its refresh, made by a deployment as docker/compose.yaml has it: undisturbed, and with parts killed."""

import contextlib
from collections import Counter
from typing import Any

import psutil
import pytest

from tests.cluster.conftest import Refresh
from tests.cluster.deployment import GPU_WORKER, Deployment
from tests.cluster.kills import AIMED, Kills
from tests.cluster.scenario import CONNECTIONS, FIRST, PARTITIONS, PICTURES, RELEASE, Made

API_CONNECTIONS = 2
"""What the demo's origin allows."""

pytestmark = pytest.mark.timeout(1200)


def pictures_asked(requests: list[dict[str, Any]]) -> Counter[str]:
    """Return how often each file was asked for at the media servers."""
    paths = [request["path"] for request in requests if request["path"].startswith("/wikipedia/")]
    return Counter(path.rsplit("/", 1)[-1].split("px-")[-1] for path in paths)


def most_at_once(requests: list[dict[str, Any]], prefix: str) -> int:
    """Return how many requests were in progress at the same time, at most."""
    mine = [request for request in requests if request["path"].startswith(prefix)]
    begun = [(request["t"], 1) for request in mine]
    ended = [(request["t"] + max(0, request["seconds"] - 0.001), -1) for request in mine]  # times are rounded
    most = now = 0
    for _, change in sorted(begun + ended):
        now += change
        most = max(most, now)
    return most


def test_a_release_and_its_refresh_are_byte_for_byte_those_of_the_embedded_default(
    deployment: Deployment, undisturbed: Made, embedded: Refresh
) -> None:
    reference = embedded(undisturbed.second)
    assert undisturbed.first_files() == reference.first_files()
    assert undisturbed.second_files() == reference.second_files()
    assert undisturbed.second != FIRST


def test_kills_lose_nothing(deployment: Deployment, disturbed: Made, embedded: Refresh) -> None:
    reference = embedded(disturbed.second)
    assert disturbed.first_files() == reference.first_files()
    assert disturbed.second_files() == reference.second_files()


def test_each_kill_hit_a_stage_in_the_middle_and_what_was_killed_came_back(
    deployment: Deployment, disturbed: Made, kills: Kills
) -> None:
    assert [killed.kill for killed in kills.killed] == [*AIMED]
    for killed in kills.killed:
        assert killed.kill.finished <= len(killed.kept) < PARTITIONS, killed
        assert deployment.supervisor.starts(killed.service) > 1


def test_a_lost_worker_is_no_affair_of_airflows_and_a_lost_scheduler_is_one_more_attempt(
    deployment: Deployment, disturbed: Made, kills: Kills
) -> None:
    at_last = {stage: attempt for stage, (_, attempt) in deployment.run(RELEASE, disturbed.first_run).items()}
    for killed in kills.killed:
        if killed.service == GPU_WORKER:
            assert at_last[killed.kill.stage] == killed.attempt
        elif killed.service.endswith("-scheduler"):
            assert at_last[killed.kill.stage] == killed.attempt + 1


def test_without_kills_every_picture_is_fetched_once(undisturbed: Made, embedded: Refresh) -> None:
    first, second = map(pictures_asked, undisturbed.requests)
    assert set(first.values()) == {1}
    assert len(first) == PICTURES - 1
    assert (first, second) == tuple(map(pictures_asked, embedded(undisturbed.second).requests))


def test_a_finished_picture_is_never_fetched_again_because_of_kills(disturbed: Made, kills: Kills) -> None:
    """Only what was in a partition that was not finished is, once for each kill."""
    asked, _ = map(pictures_asked, disturbed.requests)
    assert len(asked) == PICTURES - 1
    fetching = [killed for killed in kills.killed if killed.kill.stage == "fetch_images"]
    kept = [{url.rsplit("/", 1)[-1] for urls in killed.kept.values() for url in urls} for killed in fetching]
    assert kept[0] & asked.keys(), "something was finished before the first"
    for name, count in asked.items():
        assert count <= 1 + sum(name not in finished for finished in kept), name


@pytest.mark.parametrize("made", ["undisturbed", "disturbed"])
def test_the_origins_connections_are_used_and_never_exceeded(made: str, request: pytest.FixtureRequest) -> None:
    found: Made = request.getfixturevalue(made)
    for requests in found.requests:
        assert most_at_once(requests, "/wikipedia/") <= CONNECTIONS
        assert most_at_once(requests, "/w/api.php") <= API_CONNECTIONS
    assert most_at_once(found.requests[0], "/wikipedia/") == CONNECTIONS


def test_networks_run_on_the_gpu_worker_alone(undisturbed: Made) -> None:
    assert undisturbed.ran["faces"] == undisturbed.ran["embeddings"] == {GPU_WORKER}
    assert undisturbed.ran["pixels"] - {GPU_WORKER}, "the others are at work, too"


def test_commons_has_one_slot_for_each_kind_of_connection(deployment: Deployment) -> None:
    pools = deployment.api.pools()
    assert (pools["commons_media"], pools["commons_api"]) == (1, 1)


def test_all_of_it_listens_on_loopback_alone(deployment: Deployment) -> None:
    for process in deployment.supervisor.members():
        connections = []
        with contextlib.suppress(psutil.NoSuchProcess):  # one that has ended since
            connections = psutil.Process(process).net_connections("inet")
        for connection in connections:
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip == "127.0.0.1", f"{process} listens on {connection.laddr}"
