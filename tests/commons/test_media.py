"""Fetching, against real servers: everything that can be had is had, and nothing is asked for that may not be."""

import asyncio
import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from aiohttp import web

from pipelines.commons import names
from pipelines.commons.media import (
    FailureKind,
    Fetched,
    MediaFailure,
    MediaRequest,
    MediaResponse,
    OriginUnavailable,
    UnusableMedia,
    UserAgentRefused,
    fetch_all,
)
from pipelines.commons.politeness import Allowance, Lease, LocalLeases
from pipelines.commons.traffic import THROTTLES
from tests.commons.faults import Faulty
from tests.commons.server import Server, serving, trickle

Result = Fetched[str] | MediaFailure


def jpeg(name: str, size: int = 3000) -> bytes:
    """Bytes that are told from all others."""
    return (b"\xff\xd8\xff" + hashlib.sha512(name.encode()).digest() * (size // 64 + 1))[:size] + b"\xff\xd9"


def request_for(name: str, width: int | None = 1000) -> MediaRequest:
    return MediaRequest(name, names.original_url(name), width, None)


def thumbnail(name: str) -> str:
    return names.thumbnail_path(name, 330)


def checked(response: MediaResponse) -> str:
    if not (response.data.startswith(b"\xff\xd8\xff") and response.data.endswith(b"\xff\xd9")):
        raise UnusableMedia("these bytes are no picture")
    return response.sha256


def fetch(server: Server, requests: list[MediaRequest], connections: int = 2, **changes: object) -> dict[str, Result]:
    leases = LocalLeases(connections)
    results = list(fetch_all(requests, server.origin(connections=connections, **changes), leases, checked))
    assert len(results) == len(requests)
    assert [leases.acquire(0) is not None for _ in range(connections)] == [True] * connections, "a lease leaked"
    return {request.name: result for request, result in results}


def from_files(files: dict[str, bytes]) -> Faulty:
    return Faulty(files, seed=0, elsewhere="http://127.0.0.1:1", stall=0)


async def files_only(request: web.Request, files: dict[str, bytes]) -> web.Response:
    body = files.get(request.raw_path)
    return web.Response(status=404) if body is None else web.Response(body=body, headers={"ETag": '"7"'})


def test_files_come_over_kept_connections_with_the_operator_s_user_agent_and_standard_widths_only() -> None:
    wanted = [f"File {number}, ü (?) & co.jpg".replace(" ", "_") for number in range(60)]
    files = {thumbnail(name): jpeg(name) for name in wanted}
    with serving(lambda request: files_only(request, files)) as server:
        results = fetch(server, [request_for(name) for name in wanted])
    for name in wanted:
        result = results[name]
        assert isinstance(result, Fetched)
        assert result.value == result.response.sha256 == hashlib.sha256(jpeg(name)).hexdigest()
        assert result.response.canonical_url == names.thumbnail_url(name, 330)
        assert result.response.etag == '"7"'
        assert not result.response.is_original
    log = server.log
    assert sorted(log.paths) == sorted(files), "each file is asked for once, encoded as Commons publishes it"
    assert log.most_in_flight <= 2
    assert len({seen.peer for seen in log.requests}) == 2, "connections are kept"
    assert {seen.headers["User-Agent"] for seen in log.requests} == {server.origin().user_agent}
    assert "operator@example.org" in server.origin().user_agent
    assert {seen.headers["Accept-Encoding"] for seen in log.requests} == {"identity"}


def test_a_narrow_file_is_fetched_as_the_original_and_each_falls_back_to_the_other() -> None:
    files = {
        names.original_path("Narrow.jpg"): jpeg("Narrow.jpg"),
        names.original_path("Only_original.jpg"): jpeg("Only_original.jpg"),
        thumbnail("Only_thumbnail.jpg"): jpeg("Only_thumbnail.jpg"),
    }
    asked = [request_for("Narrow.jpg", 330), request_for("Only_original.jpg"), request_for("Only_thumbnail.jpg", 100)]
    with serving(lambda request: files_only(request, files)) as server:
        results = fetch(server, [*asked, request_for("Gone.jpg")])
    originals = {name: r.response.is_original for name, r in results.items() if isinstance(r, Fetched)}
    assert originals == {"Narrow.jpg": True, "Only_original.jpg": True, "Only_thumbnail.jpg": False}
    gone = results["Gone.jpg"]
    assert isinstance(gone, MediaFailure)
    assert gone.kind is FailureKind.MISSING
    assert Counter(server.log.paths)[names.original_path("Gone.jpg")] == 1, "what is permanent is not asked again"


def test_a_width_that_is_not_served_leads_to_the_original_without_a_second_try() -> None:
    async def answer(request: web.Request) -> web.Response:
        if "/thumb/" in request.raw_path:
            return web.Response(status=400, body=b"Use thumbnail sizes listed on https://w.wiki/x")
        return web.Response(body=jpeg("A.jpg"))

    with serving(answer) as server:
        results = fetch(server, [request_for("A.jpg")])
    assert isinstance(results["A.jpg"], Fetched)
    assert len(server.log.requests) == 2


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_faulty_server_loses_no_file_and_every_file_has_its_outcome(seed: int) -> None:
    good = [f"Good_{number}.jpg" for number in range(120)]
    files = {thumbnail(name): jpeg(name) for name in good}
    files |= {names.original_path(name): jpeg("original " + name) for name in good}
    files |= {thumbnail(f"Broken_{n}.pdf"): jpeg(f"Broken_{n}.pdf")[:-2] for n in range(5)}
    files |= {thumbnail(f"Large_{n}.pdf"): jpeg("Large", 600_000) for n in range(5)}
    others = [f"{kind}_{n}.pdf" for kind in ("Broken", "Large", "Missing") for n in range(5)]
    with serving(lambda _: asyncio.sleep(0, web.Response(status=418))) as elsewhere:
        faulty = Faulty(files, seed, elsewhere.url, stall=2.0)
        with serving(faulty) as server:
            limits = {"max_bytes": 300_000, "read_timeout": 0.2, "attempts": 30}
            requests = [request_for(name) for name in good + others] + [request_for(f"Gone_{n}.jpg") for n in range(5)]
            results = fetch(server, requests, connections=8, **limits)
    assert len(faulty.met) == 11, "every fault has struck"
    assert elsewhere.log.requests == [], "no redirect leads to another host"
    for name in good:
        result = results[name]
        assert isinstance(result, Fetched)
        assert result.response.data == jpeg(name), "byte for byte what a clean run gets"
    kinds = {name: r.kind for name, r in results.items() if isinstance(r, MediaFailure)}
    assert kinds == (
        {f"Broken_{n}.pdf": FailureKind.UNUSABLE for n in range(5)}
        | {f"Large_{n}.pdf": FailureKind.TOO_LARGE for n in range(5)}
        | {f"Missing_{n}.pdf": FailureKind.UNSUPPORTED for n in range(5)}
        | {f"Gone_{n}.jpg": FailureKind.MISSING for n in range(5)}
    )
    assert server.log.most_in_flight <= 8 + faulty.met["stall"], "a stalled answer may still sleep on the server"
    most = 2 * limits["attempts"] * len(requests) + faulty.met["throttle"]
    assert len(server.log.requests) < most, "the run has an end, however long the server goes on like that"


def test_retry_after_silences_every_connection() -> None:
    throttled: list[float] = []

    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(0.01)
        if not throttled and "F20" in request.raw_path:
            throttled.append(time.monotonic())
            return web.Response(status=429, headers={"Retry-After": "1"}, body=b"too many requests")
        return web.Response(body=jpeg("x"))

    with serving(answer) as server:
        fetch(server, [request_for(f"F{number}.jpg") for number in range(40)])
    begun = sorted(seen.began for seen in server.log.requests)
    during = [at for at in begun if throttled[0] + 0.05 < at < throttled[0] + 1.0]
    assert during == []
    assert len(begun) == 41, "the throttled file was asked for again, and had"


class Enough(Exception):
    """Ends a run."""


class Hasty(LocalLeases):
    """Notes the pauses that are asked for, and keeps none; ten are enough."""

    def __init__(self, connections: int) -> None:
        super().__init__(connections)
        self.pauses: list[float] = []

    def announce_pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if len(self.pauses) == 10:
            raise Enough


def test_a_picture_that_the_servers_cannot_draw_silences_nobody() -> None:
    """As Wikimedia's Thumbor does: after four failures, 429 without Retry-After, for this one picture."""
    failing = thumbnail("Failing.jpg")

    async def answer(request: web.Request) -> web.Response:
        if request.raw_path != failing:
            return web.Response(body=jpeg(request.raw_path))
        return web.Response(status=500 if server.log.paths.count(failing) <= 4 else 429)

    leases = Hasty(2)
    requests = [request_for(f"F{number}.jpg") for number in range(40)]
    requests.insert(5, request_for("Failing.jpg"))
    with serving(answer) as server:
        results = dict(fetch_all(requests, server.origin(), leases, checked))
    had = {request.name: r.response.is_original for request, r in results.items() if isinstance(r, Fetched)}
    assert had == {request.name: request.name == "Failing.jpg" for request in requests}
    assert server.log.paths.count(failing) == 5
    assert leases.pauses == []
    assert leases.traffic.so_far().get(THROTTLES) is None


def test_a_throttle_of_everyone_pauses_everyone_although_it_does_not_say_for_how_long() -> None:
    """The servers fail before, so that files have failed by themselves when the throttle comes."""
    trouble = 20

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=500 if len(server.log.requests) <= trouble else 429)

    leases = Hasty(2)
    with serving(answer) as server, pytest.raises(Enough):
        list(fetch_all([request_for(f"F{n}.jpg") for n in range(20)], server.origin(), leases, checked))
    assert min(leases.pauses) >= 10
    on_their_way = 2
    assert len(server.log.requests) <= trouble + 1 + len(leases.pauses) + on_their_way


def test_a_refused_user_agent_stops_the_run() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=403, body=b"Please respect our robot policy: set a user agent")

    leases = LocalLeases(2)
    with serving(answer) as server, pytest.raises(UserAgentRefused, match="respect our robot policy"):
        list(fetch_all([request_for(f"F{n}.jpg") for n in range(100)], server.origin(), leases, checked))
    assert len(server.log.requests) <= 2, "nothing is asked after the refusal"
    assert leases.acquire(0) is not None


def test_a_dead_server_ends_the_run_and_says_what_to_do() -> None:
    with serving(from_files({})) as server:
        origin = server.origin(give_up_after=0.3, attempts=1000)
    with pytest.raises(OriginUnavailable, match="start the run again"):
        list(fetch_all([request_for("A.jpg")], origin, LocalLeases(2), checked))


def test_downloading_goes_on_while_files_are_worked_on() -> None:
    wanted = [f"F{number}.jpg" for number in range(6)]
    arrived = threading.Semaphore(0)
    files = {thumbnail(name): jpeg(name) for name in wanted}

    async def answer(request: web.Request) -> web.Response:
        arrived.release()
        return await files_only(request, files)

    def slow(_: MediaResponse) -> bool:
        """Return only when the server has been asked for all: impossible if the connection waited for this."""
        all_asked = all(arrived.acquire(timeout=10) for _ in wanted)
        arrived.release(len(wanted))
        return all_asked

    with serving(answer) as server:
        requests = [request_for(name) for name in wanted]
        results = list(fetch_all(requests, server.origin(connections=1), LocalLeases(1), slow))
    assert [result.value for _, result in results if isinstance(result, Fetched)] == [True] * 6


def test_what_process_raises_ends_the_run_and_leaks_nothing() -> None:
    def broken(_: MediaResponse) -> None:
        raise ZeroDivisionError("a bug")

    wanted = [f"F{number}.jpg" for number in range(30)]
    files = {thumbnail(name): jpeg(name) for name in wanted}
    leases = LocalLeases(2)
    before = threading.active_count()
    with serving(lambda request: files_only(request, files)) as server:
        with pytest.raises(ZeroDivisionError, match="a bug"):
            list(fetch_all([request_for(name) for name in wanted], server.origin(), leases, broken))
        assert threading.active_count() <= before + 1
    assert leases.acquire(0) is not None
    assert leases.acquire(0) is not None


class Losing(LocalLeases):
    """Has one lease, which is its own, and loses it at a moment of the test's choosing."""

    lost = False

    def acquire(self, timeout: float) -> Lease | None:
        return self if super().acquire(timeout) else None

    def valid(self) -> bool:
        return not self.lost

    def release(self) -> None:
        pass


@pytest.mark.timeout(20)
def test_a_run_ends_whose_lease_is_lost_with_its_last_answer() -> None:
    leases = Losing(1)
    taken = threading.Event()

    async def answer(request: web.Request) -> web.Response:
        if "Gone.pdf" not in request.raw_path:
            return web.Response(body=jpeg("A.jpg"))
        while not taken.is_set():
            await asyncio.sleep(0.01)
        leases.lost = True
        return web.Response(status=404)

    with serving(answer) as server:
        requests = [request_for("A.jpg"), request_for("Gone.pdf")]
        names_in_order = []
        for request, _ in fetch_all(requests, server.origin(), leases, checked):
            names_in_order.append(request.name)
            taken.set()
    assert names_in_order == ["A.jpg", "Gone.pdf"]


def test_a_caller_who_stops_early_leaves_nothing_behind() -> None:
    wanted = [f"F{number}.jpg" for number in range(500)]
    files = {thumbnail(name): jpeg(name) for name in wanted}
    leases = LocalLeases(2)
    with serving(lambda request: files_only(request, files)) as server:
        run = fetch_all([request_for(name) for name in wanted], server.origin(), leases, checked)
        assert isinstance(run, Iterator)
        next(run)
        run.close()  # type: ignore[attr-defined]
        assert leases.acquire(0) is not None
        assert leases.acquire(0) is not None
        assert len(server.log.requests) < 200, "no more is fetched ahead than the caller can take"


def test_nothing_to_fetch_asks_for_no_lease() -> None:
    with serving(from_files({})) as server:
        assert list(fetch_all([], server.origin(), LocalLeases(1), checked)) == []
    assert server.log.requests == []


def test_a_redirect_within_the_host_is_followed_and_one_that_leads_away_is_not() -> None:
    async def answer(request: web.Request) -> web.Response:
        path = request.raw_path
        if "Moved" in path:
            return web.Response(status=301, headers={"Location": names.original_path("Target.jpg")})
        if "Loop" in path:
            return web.Response(status=302, headers={"Location": path})
        if "Target" in path:
            return web.Response(body=jpeg("t"))
        evil = elsewhere.url.removeprefix("http:")
        return web.Response(status=302, headers={"Location": {"Away": evil, "File": "file:///etc/passwd"}[path[-8:-4]]})

    with serving(lambda _: asyncio.sleep(0, web.Response(body=jpeg("evil")))) as elsewhere, serving(answer) as server:
        wanted = [MediaRequest(name, "…", 10) for name in ("Moved.jpg", "Loop.jpg", "Away.jpg", "File.jpg")]
        results = fetch(server, wanted, attempts=2)
    assert isinstance(results["Moved.jpg"], Fetched)
    for name in ("Loop.jpg", "Away.jpg", "File.jpg"):
        result = results[name]
        assert isinstance(result, MediaFailure)
        assert (result.kind, "redirect" in result.detail) == (FailureKind.TEMPORARY, True)
    assert elsewhere.log.requests == []


def test_content_coding_that_was_not_asked_for_is_undone_within_the_cap() -> None:
    import gzip

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(jpeg("A.jpg")), headers={"Content-Encoding": "gzip"})

    with serving(answer) as server:
        results = fetch(server, [request_for("A.jpg")])
    result = results["A.jpg"]
    assert isinstance(result, Fetched)
    assert result.response.data == jpeg("A.jpg")


def test_the_bandwidth_is_kept_to_while_a_large_file_streams() -> None:
    bits = 16_000_000
    leases = LocalLeases(2, Allowance(bits_per_second=bits / 2))
    files = {thumbnail(f"F{n}.jpg"): jpeg(f"F{n}", 1_500_000) for n in range(4)}
    with serving(lambda request: trickle(request, server.log, files[request.raw_path])) as server:
        requests = [request_for(f"F{n}.jpg") for n in range(4)]
        results = list(fetch_all(requests, server.origin(bits_per_second=bits), leases, checked))
    assert all(isinstance(result, Fetched) for _, result in results)
    buffers = 2 * (600 << 10)  # what both ends' sockets and the client may hold unread
    assert server.log.most_bytes_in(1.0) * 8 <= bits * 1.0 + buffers * 8
