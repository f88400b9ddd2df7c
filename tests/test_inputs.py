"""Files behind a login or a signature: read with secrets of the environment, which nothing tells."""

import asyncio
import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from pipelines.errors import InputError, InputUnreachable, SettingError, WitReleaseError
from pipelines.inputs import identity, is_gzipped, open_input
from tests.commons.server import serving
from tests.private_server import LOGIN, QUERY, VARIABLES, named, private_server


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with private_server({"/a.tsv.gz": gzip.compress(b"x" * 1000), "/trouble": b""}) as url:
        yield url


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


def test_a_file_is_read_with_the_secrets_of_the_environment(server: str) -> None:
    path = named(f"{server}/a.tsv.gz")
    with open_input(path) as file:
        assert gzip.decompress(file.read()) == b"x" * 1000
    assert identity(path)["bytes"] == len(gzip.compress(b"x" * 1000))


def test_a_web_server_is_told_the_user_agent(tmp_path: Path) -> None:
    with serving(lambda _: asyncio.sleep(0, web.Response(body=b"x"))) as server:
        path = f"{server.url}/a.tsv.gz"
        with open_input(path, "Institute/1 (me@institute.example)") as file:
            assert file.read() == b"x"
        identity(path, "Institute/1 (me@institute.example)")
    assert {seen.headers["User-Agent"] for seen in server.log.requests} == {"Institute/1 (me@institute.example)"}
    (tmp_path / "a.tsv").write_bytes(b"y")
    with open_input(str(tmp_path / "a.tsv"), "Institute/1 (me@institute.example)") as file:
        assert file.read() == b"y"


def test_a_url_with_a_query_is_known_to_be_gzipped_by_its_path(server: str) -> None:
    assert is_gzipped(named(f"{server}/a.tsv.gz"))
    assert not is_gzipped(f"{server}/a.tsv?as=.gz")
    assert is_gzipped("what?.tsv.gz")


@pytest.mark.parametrize(
    ("path", "variables", "kind", "said"),
    [
        ("/a.tsv.gz", {"WIT_SECRET_LOGIN": "reader:Planted-and-wrong"}, InputError, "401"),
        ("/a.tsv.gz", {"WIT_SECRET_QUERY": "X-Amz-Signature=Planted-and-old"}, InputError, "403"),
        ("/no.tsv.gz", {}, InputError, r"no\.tsv\.gz"),
        ("/trouble", {}, InputUnreachable, "503"),
        ("/a.tsv.gz", {"WIT_SECRET_QUERY": ""}, SettingError, "WIT_SECRET_QUERY"),
    ],
)
def test_what_goes_wrong_is_told_without_secrets(
    server: str,
    path: str,
    variables: dict[str, str],
    kind: type[WitReleaseError],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for read in (identity, lambda file: open_input(file).__enter__()):
        with pytest.raises(kind, match=said) as failed:
            read(named(server + path))
        assert "Planted" not in str(failed.value)
        assert failed.value.__context__ is failed.value.__cause__ is None  # they would name the real URL


def test_a_server_that_is_not_there_is_told_without_secrets() -> None:
    with pytest.raises(WitReleaseError, match=r"127\.0\.0\.1:9") as failed:
        identity(named("http://127.0.0.1:9/a.tsv"))
    assert not any(secret in str(failed.value) for secret in (LOGIN, QUERY))


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "HOME"])
def test_no_other_variable_is_ever_sent(server: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "Planted-elsewhere")
    with pytest.raises(SettingError, match=name), open_input(f"{server}/a.tsv.gz?${{{name}}}"):
        pass
