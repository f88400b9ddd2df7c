"""Nothing that a server sends leads out of Commons' paths, to another host, or into a page as markup."""

import asyncio
import json
import subprocess
import sys

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from pipelines.commons import names
from pipelines.commons.api import ApiClient
from pipelines.commons.deletion import CandidateCategories, deletion_candidates
from pipelines.commons.description import describe, page_name
from pipelines.commons.plan import MediaRequest, choices
from pipelines.commons.politeness import LocalLeases
from tests.commons.faults import Faulty
from tests.commons.server import serving

HOSTILE = [
    "../../../../etc/passwd",
    "..",
    ".",
    "a/../../b.jpg",
    "..\\..\\windows.jpg",
    "C:\\x.jpg",
    "x\0.jpg",
    "<script>alert(1)</script>.jpg",
    '"><img src=x onerror=alert(1)>.jpg',
    "%2e%2e%2f.jpg",
    "//evil.example/x.jpg",
    "http://evil.example/x.jpg",
    "a\r\nHost: evil.example",
    "\u202egpj.exe",
    "ﾠ",
    "A" * 5000,
    "'; DROP TABLE page; --.jpg",
    "$(reboot).jpg",
    "",
]


def stays_in_place(name: str) -> bool:
    """Say whether a name's paths are single names in the two folders that its md5 gives."""
    for choice in choices(MediaRequest(name, ""), 330):
        parts = choice.path.removeprefix("/wikipedia/commons/").removeprefix("thumb/").split("/")
        if len(parts) != (3 if choice.is_original else 4) or ".." in parts or "." in parts:
            return False
        if not choice.path.isascii() or any(c in choice.path for c in "\\<>\"' \r\n\0?#@"):
            return False
    return True


@pytest.mark.parametrize("title", HOSTILE)
def test_a_hostile_title_is_no_name_or_a_harmless_one(title: str) -> None:
    name = page_name({"title": f"File:{title}"})
    assert name is None or stays_in_place(name)


@given(st.one_of(st.text(), st.sampled_from(HOSTILE)))
def test_whatever_a_title_holds_its_paths_stay_in_place(title: str) -> None:
    name = page_name({"title": f"File:{title}"})
    if name is not None:
        assert stays_in_place(name)
        assert names.file_page_url(name).startswith("https://commons.wikimedia.org/wiki/File:")
        assert not any(c in names.file_page_url(name) for c in "<>\"' ")


def test_a_hostile_wiki_is_read_without_harm() -> None:
    evil = "<script>alert(1)</script><a href='javascript:alert(1)'>x</a><img src=//evil.example onerror=alert(1)>me"

    async def answer(request: web.Request) -> web.Response:
        query = {**request.query, **{k: str(v) for k, v in (await request.post()).items()}}
        if "list" in query:
            return web.json_response({"query": {query["list"]: [{"title": f"File:{title}"} for title in HOSTILE]}})
        titles = query["titles"].split("|")
        said = {key: {"value": evil} for key in ("Artist", "Credit", "LicenseShortName", "UsageTerms")}
        said["LicenseUrl"] = {"value": "javascript:alert(1)"}
        info = {"sha1": evil, "mime": evil, "timestamp": evil, "width": 10**30, "size": -1, "extmetadata": said}
        moves = [{"from": title, "to": f"File:{HOSTILE[0]}"} for title in titles]
        pages = [{"title": f"File:{HOSTILE[0]}", "imageinfo": [info]}]
        return web.Response(text=json.dumps({"query": {"redirects": moves, "pages": pages}}))

    with serving(answer) as server, ApiClient(server.origin(), LocalLeases(1)) as api:
        file = api.describe(["A.jpg"])["A.jpg"]
        found = deletion_candidates(api, CandidateCategories())
    assert (file.title, file.width, file.bytes) == (None, None, None)
    assert (file.author, file.credit, file.licence, file.licence_url) == ("xme", "xme", "xme", None)
    assert all("<" not in str(getattr(file, field)) for field in file.__slots__)
    assert all(stays_in_place(name) for name in found)


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20)),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
        max_leaves=10,
    )
)
def test_extended_metadata_of_any_shape_is_read(value: object) -> None:
    info = {"sha1": value, "width": value, "extmetadata": {"Artist": value, "Credit": {"value": value}}}
    file = describe({"title": "File:A.jpg", "imageinfo": [info]})
    assert file.exists


MEASURE = """
import sys
from dataclasses import replace
from pipelines.commons.media import Fetched, MediaRequest, UnusableMedia, fetch_all
from pipelines.commons.origin import origin
from pipelines.commons.politeness import LocalLeases
from tests.commons.server import peak_memory
url, files = sys.argv[1], int(sys.argv[2])
servers = {"media_url": url, "api_url": url + "/w/api.php"}
made = origin("demo", operator_name="t", operator_contact="", operator_url="", **servers)
made = replace(made, backoff=0.01, backoff_limit=0.02, read_timeout=0.3, max_bytes=4 << 20, attempts=40)
def check(response):
    if not response.data.startswith(b"good"):
        raise UnusableMedia("noise")
requests = [MediaRequest(f"F{number}.jpg", "", 1000) for number in range(files)]
before = peak_memory()
results = list(fetch_all(requests, made, LocalLeases(4), check))
print(sum(isinstance(result, Fetched) for _, result in results), peak_memory() - before)
"""


def test_memory_stays_bounded_whatever_the_server_sends() -> None:
    files = {names.thumbnail_path(f"F{number}.jpg", 330): b"good" + bytes(20_000) for number in range(200)}
    faulty = Faulty(files, seed=3, elsewhere="http://127.0.0.1:1", stall=2.0)
    with serving(faulty) as server:
        command = [sys.executable, "-c", MEASURE, server.url, "200"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    fetched, memory = map(int, done.stdout.split())
    assert fetched == 200
    assert {"gzip bomb", "endless body", "huge picture"} <= faulty.met.keys()
    assert memory < 100e6, "four answers of at most 4 MB, and what they were made of"


def test_the_content_of_an_error_page_is_never_taken_for_a_file() -> None:
    page = b"<!DOCTYPE html><html><script>alert(1)</script>Please wait</html>"

    async def answer(_: web.Request) -> web.Response:
        await asyncio.sleep(0)
        return web.Response(body=page, content_type="image/jpeg")

    from pipelines.commons.media import FailureKind, MediaFailure, fetch_all

    with serving(answer) as server:
        requests = [MediaRequest("A.jpg", "", 1000)]
        results = list(fetch_all(requests, server.origin(attempts=2), LocalLeases(1), lambda response: response.data))
    failure = results[0][1]
    assert isinstance(failure, MediaFailure)
    assert failure.kind is FailureKind.TEMPORARY
    assert "<" not in failure.detail
