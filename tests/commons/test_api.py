"""The Action API client, against a small wiki over HTTP, the demo Commons, and servers in trouble."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from pipelines.commons.api import ApiClient, ApiError, ApiUnavailable
from pipelines.commons.description import Description
from pipelines.commons.politeness import Allowance, LocalLeases
from pipelines.commons.verdict import UserAgentRefused
from pipelines.demo.server import DemoCommons
from tests.commons.server import Answer, Log, Server, serving
from tests.commons.wiki import LittleWiki, catalogue, imageinfo


@contextmanager
def asking(answer: Answer, **changes: Any) -> Iterator[tuple[ApiClient, Server]]:
    with serving(answer) as server, ApiClient(server.origin(**changes), LocalLeases(1)) as api:
        yield api, server


def titles_in(log: Log) -> list[int]:
    return [len(seen.query["titles"].split("|")) for seen in log.requests if "titles" in seen.query]


def test_files_are_described_in_batches_of_fifty_under_the_names_that_were_asked_for() -> None:
    wanted = [f"Ünï_{number}.jpg" for number in range(120)]
    wiki = LittleWiki({f"File:{name.replace('_', ' ')}": imageinfo(name) for name in wanted[:110]})
    with asking(wiki) as (api, server):
        described = api.describe(wanted + wanted[:5])
    assert list(described) == wanted
    assert [described[name].exists for name in wanted] == [True] * 110 + [False] * 10
    assert described["Ünï_7.jpg"].title == "Ünï_7.jpg"
    assert described["Ünï_7.jpg"].author == "Ünï_7.jpg's author"
    assert titles_in(server.log) == [50, 50, 20]
    assert {seen.headers["User-Agent"] for seen in server.log.requests} == {server.origin().user_agent}
    assert server.log.most_in_flight == 1
    assert len({seen.peer for seen in server.log.requests}) == 1


def test_no_url_is_longer_than_servers_and_proxies_take() -> None:
    wanted = [f"Церковь_Святой_Троицы,_вид_с_северо-запада_{number}.jpg" for number in range(50)]
    wiki = LittleWiki({f"File:{name.replace('_', ' ')}": imageinfo(name) for name in wanted})

    async def answer(request: web.Request) -> web.Response:
        return await wiki(request) if len(request.raw_path) <= 4096 else web.Response(status=414)

    with asking(answer) as (api, server):
        assert all(file.sha1 for file in api.describe(wanted).values())
        assert all(file.sha1 for file in api.describe(wanted[:2]).values())
    assert titles_in(server.log) == [50, 2]
    assert ["?" in seen.path for seen in server.log.requests] == [False, True], "posted only where need be"


def test_long_answers_are_followed_to_their_end() -> None:
    wanted = [f"F{number}.jpg" for number in range(50)]
    wiki = LittleWiki({f"File:{name}": imageinfo(name) for name in wanted}, at_once=7)
    with asking(wiki) as (api, server):
        described = api.describe(wanted)
    assert all(described[name].sha1 == imageinfo(name)["sha1"] for name in wanted)
    assert len(server.log.requests) == 8


def test_a_moved_file_is_found_under_its_new_name() -> None:
    wiki = LittleWiki({"File:New name.jpg": imageinfo("x")}, moved={"File:Old name.jpg": "File:New name.jpg"})
    with asking(wiki) as (api, _):
        described = api.describe(["Old_name.jpg", "New_name.jpg"])
    assert [file.title for file in described.values()] == ["New_name.jpg", "New_name.jpg"]
    assert all(file.exists for file in described.values())


@pytest.mark.parametrize("bad", [[0], [49], [10, 11, 33], list(range(50))])
def test_a_poisoned_batch_is_split_until_the_bad_title_is_alone(bad: list[int]) -> None:
    wanted = [f"F{number}.jpg" for number in range(50)]
    wiki = LittleWiki(
        {f"File:{name}": imageinfo(name) for name in wanted}, poison={f"File:F{number}.jpg" for number in bad}
    )
    with asking(wiki) as (api, server):
        described = api.describe(wanted)
    for number, name in enumerate(wanted):
        assert described[name].exists
        assert (described[name].sha1 is None) == (number in bad)
        assert ("urlparamnormal" in (described[name].problem or "")) == (number in bad)
    assert len(server.log.requests) <= len(bad) * 14 + 2


def test_names_that_no_file_can_have_are_not_asked_for() -> None:
    with asking(LittleWiki({"File:A.jpg": imageinfo("A.jpg")})) as (api, server):
        described = api.describe(["A.jpg", "A|File:B.jpg", "", "<b>.jpg", "a" * 300, "A#b.jpg"])
    assert [name for name, file in described.items() if file.exists] == ["A.jpg"]
    assert titles_in(server.log) == [1]


def test_no_names_no_request() -> None:
    with asking(LittleWiki()) as (api, server):
        assert api.describe([]) == {}
    assert server.log.requests == []


def troubles() -> list[web.Response]:
    lag = {"error": {"code": "maxlag", "info": "Waiting for db1: 7 seconds lagged", "lag": 7}}
    busy = {"error": {"code": "ratelimited", "info": "You've exceeded your rate limit"}}
    return [
        web.json_response(lag, headers={"Retry-After": "0"}),
        web.json_response(busy, headers={"Retry-After": "0"}),
        web.Response(status=429, headers={"Retry-After": "0"}, body=b"too many requests"),
        web.Response(status=503, body=b"<html>overloaded</html>"),
        web.Response(status=500, body=b""),
        web.Response(body=b"<!DOCTYPE html><html>a proxy speaks"),
        web.Response(body=b"[]"),
        web.Response(body=b'{"query": {"pages": ['),
    ]


def test_what_may_pass_is_waited_for() -> None:
    wiki, left = LittleWiki({"File:A.jpg": imageinfo("A.jpg")}), troubles()

    async def answer(request: web.Request) -> web.Response:
        return left.pop(0) if left else await wiki(request)

    with asking(answer) as (api, server):
        assert api.describe(["A.jpg"])["A.jpg"].exists
    assert len(server.log.requests) == 9


def test_a_lost_connection_is_made_again() -> None:
    wiki, lost = LittleWiki({"File:A.jpg": imageinfo("A.jpg")}), []

    async def answer(request: web.Request) -> web.Response:
        if not lost and request.transport is not None:
            lost.append(request)
            request.transport.abort()
        return await wiki(request)

    with asking(answer) as (api, server):
        assert api.describe(["A.jpg"])["A.jpg"].exists
    assert len(server.log.requests) == 2


def test_a_server_that_keeps_failing_ends_the_run_with_advice() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=503, body=b"maintenance")

    with asking(answer, attempts=3) as (api, server), pytest.raises(ApiUnavailable, match=r"503: maintenance.*again"):
        api.describe(["A.jpg"])
    assert len(server.log.requests) == 3


async def refused(code: str) -> web.Response:
    return web.json_response({"error": {"code": code, "info": "Caught exception of a type"}})


@pytest.mark.parametrize("exception", ["DBQueryTimeoutError", "DBConnectionError", "DBQueryError", "ReadOnlyError"])
def test_trouble_with_the_database_is_waited_out_and_makes_no_file_missing(exception: str) -> None:
    """MediaWiki's codes for exceptions that it does not catch, see errorMessagesFromException in its ApiMain.php."""
    wanted = [f"F{number}.jpg" for number in range(50)]
    wiki, left = LittleWiki({f"File:{name}": imageinfo(name) for name in wanted}), [1, 2, 3]

    async def answer(request: web.Request) -> web.Response:
        return await refused(f"internal_api_error_{exception}") if left and left.pop() else await wiki(request)

    with asking(answer) as (api, server):
        assert all(file.sha1 for file in api.describe(wanted).values())
    assert titles_in(server.log) == [50] * 4, "asked again, whole"
    left[:] = range(1, 99)
    with asking(answer, attempts=3) as (api, _), pytest.raises(ApiUnavailable, match=exception):
        api.describe(wanted)


def test_a_file_that_breaks_mediawiki_is_described_as_far_as_it_goes() -> None:
    wiki = LittleWiki({f"File:{name}": imageinfo(name) for name in ("A.jpg", "B.jpg")})

    async def answer(request: web.Request) -> web.Response:
        if "prop" in request.query and "B.jpg" in request.query["titles"]:
            return await refused("internal_api_error_TypeError")
        return await wiki(request)

    with asking(answer) as (api, _):
        described = api.describe(["A.jpg", "B.jpg"])
    assert described["A.jpg"].sha1
    assert (described["B.jpg"].exists, described["B.jpg"].sha1) == (True, None)
    assert "TypeError" in (described["B.jpg"].problem or "")


def test_only_an_error_about_its_title_says_that_a_file_is_missing() -> None:
    with asking(lambda _: refused("invalidtitle")) as (api, _):
        assert api.describe(["A.jpg"])["A.jpg"].exists is False
    broken = asking(lambda _: refused("internal_api_error_MWException"))
    with broken as (api, _), pytest.raises(ApiUnavailable, match=r"File:A.jpg.*MWException"):
        api.describe(["A.jpg"])


class Instant(LocalLeases):
    """Leases on which every pause that is announced is over at once, and counted."""

    silence = 0.0

    def announce_pause(self, seconds: float) -> None:
        self.silence += seconds


@pytest.mark.parametrize(("lags", "described"), [(40, True), (999, False)])
def test_a_lag_of_the_database_is_waited_out_for_as_long_as_the_origin_allows(lags: int, described: bool) -> None:
    wiki, left = LittleWiki({"File:A.jpg": imageinfo("A.jpg")}), [*range(lags)]

    async def answer(request: web.Request) -> web.Response:
        if not left:
            return await wiki(request)
        left.pop()
        lag = {"error": {"code": "maxlag", "info": "Waiting for db1: 7 seconds lagged", "lag": 7}}
        return web.json_response(lag, headers={"Retry-After": "5"})

    leases = Instant(1)
    with serving(answer) as server, ApiClient(server.origin(attempts=3, give_up_after=900.0), leases) as api:
        if described:
            assert api.describe(["A.jpg"])["A.jpg"].exists
        else:
            with pytest.raises(ApiUnavailable, match=r"900 s of silence.*maxlag"):
                api.describe(["A.jpg"])
    assert leases.silence == min(5.0 * lags, 900.0)


def test_a_refused_user_agent_stops_the_run() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=403, body=b"Please set a user-agent")

    with asking(answer) as (api, server), pytest.raises(UserAgentRefused, match="Please set a user-agent"):
        api.describe(["A.jpg"])
    assert len(server.log.requests) == 1


def test_an_error_about_the_request_itself_is_not_split_or_repeated() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"error": {"code": "badvalue", "info": "Unrecognized value"}})

    with asking(answer) as (api, server), pytest.raises(ApiError, match="badvalue: Unrecognized value"):
        api.describe([f"F{number}.jpg" for number in range(50)])
    assert len(server.log.requests) == 1


def test_an_answer_that_continues_in_a_circle_is_an_error() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"continue": {"iistart": "x", "continue": "||"}, "query": {"pages": []}})

    with asking(answer) as (api, _), pytest.raises(ApiError, match="circle"):
        api.describe(["A.jpg"])


def test_a_redirect_to_another_host_is_not_followed() -> None:
    async def away(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": elsewhere.url})

    with serving(LittleWiki()) as elsewhere, asking(away) as (api, _), pytest.raises(ApiError, match="302"):
        api.describe(["A.jpg"])
    assert elsewhere.log.requests == []


def test_one_request_at_a_time_with_the_distance_that_the_origin_wants() -> None:
    wanted = [f"F{number}.jpg" for number in range(300)]
    wiki = LittleWiki()
    with serving(wiki) as server:
        leases = LocalLeases(1, Allowance(requests_per_second=20))
        with ApiClient(server.origin(), leases) as api:
            api.describe(wanted[:150])
            assert leases.acquire(0) is None, "the lease is held as long as the client is open"
        with ApiClient(server.origin(), leases) as api:
            api.describe(wanted[150:])
        assert leases.acquire(0) is not None
    began = [seen.began for seen in server.log.requests]
    assert len(began) == 6
    assert began[-1] - began[0] >= 5 / 20 * 0.9


def test_ten_thousand_titles_of_the_demo_commons(tmp_path: Path) -> None:
    size = {"width": 640, "height": 480, "size": 1000, "mime": "image/jpeg", "sha1": "ab" * 20}
    there = [f"File number {number} ✓.jpg" for number in range(9_000)]
    poisonous = {77, 4_000, 4_001, 8_999}
    folder = catalogue(
        tmp_path / "wiki",
        described={f"File:{name}": size for name in there},
        redirects={f"File:Old {number}.jpg": f"File:{there[number]}" for number in range(500)},
        missing=[f"File:Gone {number}.jpg" for number in range(500)],
        poisonous=["File:" + there[number] for number in poisonous],
    )
    asked = [name.replace(" ", "_") for name in there]
    asked += [f"Old_{number}.jpg" for number in range(500)] + [f"Gone_{number}.jpg" for number in range(500)]
    with DemoCommons(folder, described_at_once=20) as demo, serving(LittleWiki()) as any_server:
        origin = any_server.origin(api_url=f"{demo.url}/w/api.php", media_url=demo.url)
        with ApiClient(origin, LocalLeases(1)) as api:
            described = api.describe(asked)
    assert list(described) == asked
    assert sum(file.exists for file in described.values()) == 9_500
    assert described["Old_3.jpg"].title == "File_number_3_✓.jpg"
    assert described["Gone_3.jpg"] == Description(exists=False)
    for number, name in enumerate(there):
        of_file = described[name.replace(" ", "_")]
        assert of_file.sha1 == (None if number in poisonous else "ab" * 20)
        assert ("urlparamnormal" in (of_file.problem or "")) == (number in poisonous)
