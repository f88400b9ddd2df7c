"""fetch_images over HTTP: the same pictures from a faulty server as from a good one, and each file's outcome."""

import asyncio
import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from distributed import Client

from pipelines.commons.media import FailureKind
from pipelines.engine.run import Summary, run_step
from pipelines.engine.step import Context
from pipelines.stages.fetch_images import FETCH, OUTCOME_OF
from pipelines.tables import FETCHED, Outcome
from tests.commons.faults import Faulty, huge_png
from tests.commons.server import Answer, Server, serving
from tests.stages.fetching import Originals, finished, pictures, ready, times_asked
from tests.world import drawn

HOSTILE = ['A"onload="alert(1).jpg', "%2e%2e%2f.jpg", "$(reboot).jpg", "'; DROP TABLE page; --.jpg", "&lt;script>.jpg"]
GOOD = pictures(40) | {name.replace(" ", "_"): drawn(1000 + at) for at, name in enumerate(HOSTILE) if ">" not in name}
BAD = {
    "Huge.png": huge_png(),
    "Cut.jpg": GOOD["Picture_0000.jpg"][:-200],
    "Text.jpg": b"This is no picture.",
}
OUTCOMES = {
    **dict.fromkeys(GOOD, FETCHED),
    **dict.fromkeys(BAD, Outcome.UNDECODABLE),
    "Gone.jpg": Outcome.MISSING,
    "Deleted.jpg": Outcome.MISSING,
    "Film.webm": Outcome.UNSUPPORTED_TYPE,
    "Paper.pdf": Outcome.UNSUPPORTED_TYPE,
    "Failing.jpg": Outcome.FETCH_FAILED,
}
SAID: dict[str, dict[str, Any]] = {
    **{name: {} for name in OUTCOMES},
    "Huge.png": {"mime": "image/png"},
    "Deleted.jpg": {"exists": False},
    "Film.webm": {"mime": "video/webm"},
    "Paper.pdf": {"mime": None},
}
"""What Commons says of the files, where it is not what it says of a narrow JPEG."""

PARTITIONS, ENOUGH = 2, 15  # runs after which nothing may be pending but what the server never gives


def prepared(folder: Path, server: Server) -> Context:
    urls = {"media_url": server.url, "api_url": f"{server.url}/w/api.php"}
    return ready(folder, SAID, {"origin": "demo", "connections": 4, "partitions": PARTITIONS, **urls})


def but_one_fails(others: Answer) -> Answer:
    """Answer as another server does, but never give one of the files."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if "Failing.jpg" in request.raw_path:
            return web.Response(status=500, body=b"<html><script>alert(1)</script>Out of order</html>")
        return await others(request)

    return answer


@pytest.fixture(scope="module")
def clean(client: Client, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Give the rows of a run against a server without faults, but for the file that it never gives."""
    folder = tmp_path_factory.mktemp("clean")
    with serving(but_one_fails(Originals(GOOD | BAD, delay=0))) as server:
        run_step(client, prepared(folder, server), FETCH)
    return finished(folder)


def test_every_file_has_its_outcome_and_nothing_is_written_but_the_table(
    client: Client, tmp_path: Path, clean: dict[str, dict[str, Any]]
) -> None:
    with serving(but_one_fails(Originals(GOOD | BAD, delay=0))) as server:
        summary = run_step(client, prepared(tmp_path, server), FETCH)
        asked = times_asked(server.log.paths)
    rows = finished(tmp_path)
    assert {name: row["status"] for name, row in rows.items()} == OUTCOMES
    assert summary.counts == Counter(OUTCOMES.values())
    assert finished(tmp_path) == clean
    assert "Deleted.jpg" not in asked
    assert "Film.webm" not in asked
    assert rows["Failing.jpg"]["detail"] == "500: Out of order"
    tables = ("images", "descriptions", "pixels")
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {f"work/{table}/part-{n:05d}.parquet" for table in tables for n in range(PARTITIONS)}


def test_whatever_is_wrong_with_a_file_has_its_outcome() -> None:
    assert OUTCOME_OF.keys() == set(FailureKind)


def test_what_is_pending_is_tried_again_by_the_next_run_and_nothing_else(client: Client, tmp_path: Path) -> None:
    with serving(but_one_fails(Originals(GOOD | BAD, delay=0))) as server:
        context = prepared(tmp_path, server)
        assert run_step(client, context, FETCH).pending == 1
        first = len(server.log.requests)
        assert run_step(client, context, FETCH).pending == 1
        assert {path.rsplit("/", 1)[-1].removeprefix("330px-") for path in server.log.paths[first:]} == {"Failing.jpg"}


@pytest.mark.timeout(120)
def test_a_faulty_server_costs_no_picture_and_changes_none(
    client: Client, tmp_path: Path, clean: dict[str, dict[str, Any]]
) -> None:
    """More than half of all answers are faults, so some files take more than one run; none gets a wrong outcome."""
    runs: list[Summary] = []
    with serving(lambda _: asyncio.sleep(0, web.Response(status=418))) as elsewhere:
        faulty = Faulty(Originals(GOOD | BAD).files, seed=1, elsewhere=elsewhere.url, stall=0.2)
        with serving(but_one_fails(faulty)) as server:
            context = prepared(tmp_path, server)
            while not runs or (runs[-1].pending > 1 and len(runs) < ENOUGH):
                runs.append(run_step(client, context, FETCH))
                assert {row["status"] for row in finished(tmp_path).values()} <= set(OUTCOMES.values())
    assert len(faulty.met) == 11, "every fault has struck"
    rows = finished(tmp_path)
    assert {name: rows[name] for name in GOOD} == {name: clean[name] for name in GOOD}, "byte for byte"
    assert {name: row["status"] for name, row in rows.items()} == OUTCOMES
    assert elsewhere.log.requests == [], "no redirect leads to another host"


@pytest.mark.parametrize("target", ["/static/image.jpg", "/wikipedia/commons/4/4f/Another_name.jpg", "/%2e%2e/x"])
def test_a_redirect_on_the_servers_own_host_may_lead_anywhere_there(
    target: str, client: Client, tmp_path: Path
) -> None:
    body = drawn(7)

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.raw_path == target:
            return web.Response(body=body)
        return web.Response(status=302, headers={"Location": target})

    with serving(answer) as server:
        urls = {"media_url": server.url, "api_url": f"{server.url}/w/api.php"}
        run_step(client, ready(tmp_path, {"Moved.jpg": {}}, {"origin": "demo", "partitions": 1, **urls}), FETCH)
    (row,) = finished(tmp_path).values()
    assert (row["status"], row["width"]) == (FETCHED, 64)
    assert row["fetched_sha256"] == hashlib.sha256(body).hexdigest()
