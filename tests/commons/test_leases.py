"""Leases over a real Dask cluster: never more than allowed over all workers, none lost with a worker or scheduler."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import dask
import pytest
from aiohttp import web
from distributed import Client, LocalCluster, Scheduler, get_client

from pipelines.commons import names
from pipelines.commons.leases import DaskLeases
from pipelines.commons.machine import FOLDER
from pipelines.commons.media import Fetched, MediaRequest, fetch_all
from pipelines.commons.origin import Origin
from pipelines.commons.politeness import Lease, leased
from pipelines.errors import SettingError
from tests.commons.cluster import QUICK, cluster, eventually, free_leases
from tests.commons.server import serving


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        dask.config.set(QUICK),
        LocalCluster(
            n_workers=4, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None, silence_logs=50
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def another_cluster() -> Iterator[Client]:
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0", silence_logs=False
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def fetch_some(origin: Origin, names_: list[str]) -> int:
    """On a worker: fetch, and return how many files came."""
    leases = DaskLeases(get_client(), "media", origin)
    requests = [MediaRequest(name, names.original_url(name), 1000) for name in names_]
    results = fetch_all(requests, origin, leases, lambda response: len(response.data))
    return sum(isinstance(result, Fetched) for _, result in results)


async def slowly(_: web.Request) -> web.Response:
    await asyncio.sleep(0.02)
    return web.Response(body=b"\xff\xd8" + bytes(3000))


def shares(tasks: int, files: int) -> list[list[str]]:
    return [[f"T{task}_F{file}.jpg" for file in range(files)] for task in range(tasks)]


def test_four_workers_share_two_connections(client: Client) -> None:
    with serving(slowly) as server:
        origin = server.origin(connections=2)
        futures = client.map(fetch_some, [origin] * 8, shares(8, 25), pure=False)
        assert client.gather(futures) == [25] * 8
        assert server.log.most_in_flight == 2, "never more, and both are used"
        assert free_leases(client, origin) == 2
    assert len({seen.path for seen in server.log.requests}) == len(server.log.requests) == 200


def test_two_clusters_on_one_machine_share_two_connections() -> None:
    """Each run of the embedded default has a cluster of its own."""
    with serving(slowly) as server, another_cluster() as mine, another_cluster() as yours:
        origin = server.origin(profile="mirror", connections=2)
        clients = (mine, yours, mine, yours)
        futures = [at.submit(fetch_some, origin, names_) for at, names_ in zip(clients, shares(4, 50), strict=True)]
        assert [future.result() for future in futures] == [50] * 4
        assert server.log.most_in_flight == 2, "never more, and both are used"


def test_who_waits_for_a_run_on_another_cluster_says_so(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pipelines.commons.leases")
    with serving(slowly) as server, another_cluster() as other:
        origin = server.origin(profile="mirror", connections=1)
        with leased(DaskLeases(client, "media", origin)):
            assert DaskLeases(other, "media", origin).acquire(0.2) is None
            with leased(DaskLeases(other, "api", origin)):
                pass
        assert "waiting for a run that uses the connections" in caplog.text
        assert free_leases(other, origin) == 1


def acquired(leases: DaskLeases) -> Lease:
    while (lease := leases.acquire(0.2)) is None:
        pass
    return lease


def test_runs_with_other_limits_wait_for_each_other(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pipelines.commons.leases")
    with serving(slowly) as server, ThreadPoolExecutor(1) as pool:
        one, two = (DaskLeases(client, "media", server.origin(connections=number)) for number in (1, 2))
        held = acquired(two)
        waiting = pool.submit(acquired, one)
        time.sleep(1)
        assert not waiting.done()
        held.release()
        waiting.result(10).release()
        acquired(two).release()
    assert "waiting for a run that uses the connections" in caplog.text


def count_late(*, late: bool, dask_scheduler: Scheduler) -> None:
    """On the scheduler: let the number of leases that are held be old news when it is told, or told at once again."""
    count = dask_scheduler.extensions["semaphores"].get_value

    async def counting(name: str) -> int:
        counted = count(name)
        await asyncio.sleep(0.1)
        return int(counted)

    dask_scheduler.handlers["semaphore_value"] = counting if late else count


def test_runs_with_other_limits_never_meet(client: Client) -> None:
    """However often each is between two partitions, and whatever the others believe then."""
    used: list[int] = []
    met: list[list[int]] = []

    def use(connections: int) -> None:
        leases = DaskLeases(client, "media", server.origin(connections=connections))
        for _ in range(4):
            with leased(leases):
                used.append(connections)
                met.append([*used])
                time.sleep(0.4)
                used.remove(connections)
            time.sleep(0.2)

    with serving(slowly) as server, ThreadPoolExecutor(3) as pool:
        client.run_on_scheduler(count_late, late=True)
        list(pool.map(use, (1, 2, 4), timeout=60))
        client.run_on_scheduler(count_late, late=False)
    assert sorted(met) == [[1]] * 4 + [[2]] * 4 + [[4]] * 4


def test_a_lease_that_its_machine_refuses_is_given_back(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(slowly) as server:
        origin = server.origin(profile="mirror", connections=2)
        with monkeypatch.context() as patch:
            patch.setenv(FOLDER, str(tmp_path / "missing" / "folder"))
            for _ in range(3):
                with pytest.raises(SettingError, match="missing/folder"):
                    DaskLeases(client, "media", origin).acquire(1)
        assert free_leases(client, origin) == 2


def test_a_pause_that_one_worker_is_told_binds_all(client: Client) -> None:
    throttled: list[float] = []

    async def answer(request: web.Request) -> web.Response:
        if not throttled and "F10" in request.path:
            throttled.append(time.monotonic())
            return web.Response(status=429, headers={"Retry-After": "3"}, body=b"slow down")
        return await slowly(request)

    with serving(answer) as server:
        origin = server.origin(connections=4)
        assert sum(client.gather(client.map(fetch_some, [origin] * 4, shares(4, 25), pure=False))) == 100
        begun = [seen.began - throttled[0] for seen in server.log.requests]
    assert [at for at in begun if 1.0 < at < 2.9] == [], "a moment for the news to spread, then silence"
    assert [at for at in begun if at >= 2.9], "and then it goes on"


def test_a_killed_worker_s_lease_comes_back_and_the_others_go_on(client: Client) -> None:
    with serving(slowly) as server:
        origin = server.origin(connections=1)
        processes = client.run(os.getpid)
        victim, *others = processes
        doomed = client.submit(fetch_some, origin, shares(1, 5000)[0], workers=[victim], pure=False)
        assert eventually(lambda: len(server.log.requests) > 5), "the doomed worker has the only lease"
        waiting = client.map(fetch_some, [origin] * 2, shares(2, 5), workers=others, pure=False)
        time.sleep(1)
        assert not any(future.done() for future in waiting)
        doomed.release()
        os.kill(processes[victim], signal.SIGKILL)
        assert client.gather(waiting) == [5, 5]
        assert server.log.most_in_flight == 1, "at no time were there two connections"
        assert eventually(lambda: free_leases(client, origin) == 1)


def test_a_caller_that_gives_up_waiting_leaks_nothing(client: Client) -> None:
    with serving(slowly) as server:
        origin = server.origin(connections=1)
        leases = DaskLeases(client, "media", origin)
        with leased(leases):
            assert leases.acquire(0.2) is None
            assert leases.acquire(0.0) is None
        assert free_leases(client, origin) == 1


def test_each_task_gets_its_part_of_the_connections(client: Client) -> None:
    client.wait_for_workers(4, timeout=60)  # the one that was killed before may still be on its way back
    with serving(slowly) as server:
        for connections, per_task in ((1, 1), (2, 1), (4, 1), (6, 2), (16, 4)):
            assert DaskLeases(client, "media", server.origin(connections=connections)).per_task == per_task


def test_a_lease_ends_when_its_scheduler_is_gone(tmp_path: Path) -> None:
    with (
        cluster(tmp_path) as alone,
        serving(slowly) as server,
        dask.config.set(QUICK),
        Client(scheduler_file=str(alone.contact), timeout="20s", set_as_default=False) as client,
    ):
        lease = DaskLeases(client, "media", server.origin()).acquire(5)
        assert lease is not None
        time.sleep(4)
        assert lease.valid(), "it is renewed for as long as it is held"
        alone.scheduler.kill()
        assert eventually(lambda: not lease.valid(), within=10), "nobody knows whose it is now"


def fail_to_tell_metadata(*, fail: bool, dask_scheduler: Scheduler) -> None:
    """On the scheduler: answer every question about its metadata with an error, or as usual again."""

    def failing(**_: object) -> None:
        raise OSError("out of file descriptors")

    dask_scheduler.handlers["get_metadata"] = failing if fail else dask_scheduler.get_metadata


def test_a_call_that_the_scheduler_fails_leaves_no_worker_with_leases_that_end_as_they_begin(client: Client) -> None:
    with serving(slowly) as server:
        leases = DaskLeases(client, "media", server.origin())
        assert eventually(lambda: not leases._watch._looking), "nobody asks, so the looking stops"
        client.run_on_scheduler(fail_to_tell_metadata, fail=True)
        with pytest.raises(OSError, match="file descriptors"):
            leases.acquire(5)
        client.run_on_scheduler(fail_to_tell_metadata, fail=False)
        time.sleep(2)  # longer than a scheduler that says nothing is trusted
        with leased(leases) as lease:
            assert lease.valid()
