"""Who gets in, and what no path leads to."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from pipelines.releases.versions import run_path
from pipelines.storage.store import Store
from tests.plugins.conftest import NEW, OLD

SECRET = "nobody may read this"


@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/compare",
        f"/compare?before={OLD}&after={NEW}",
        "/static/style.css",
        f"/release/{NEW}/",
        f"/files/{NEW}/README.md",
        f"/files/{NEW}/../../secret",
        f"/making/{NEW}/report.html",
        "/openapi.json",
        "/docs",
        "/anything",
    ],
)
def test_a_stranger_gets_nothing(stranger: TestClient, address: str) -> None:
    for method in ("GET", "HEAD", "POST"):
        assert stranger.request(method, address).status_code == 401, method


def test_a_forged_token_opens_nothing(stranger: TestClient) -> None:
    from airflow.api_fastapi.app import create_auth_manager

    create_auth_manager()
    assert stranger.get("/", headers={"Authorization": "Bearer forged"}).status_code in (401, 403)
    stranger.cookies.set("_token", "forged")
    assert stranger.get("/").status_code in (401, 403)


def test_browsers_are_told_to_run_nothing_and_to_load_nothing_from_elsewhere(steward: TestClient) -> None:
    for address in ("/", f"/files/{NEW}/quality/index.html", "/not/there"):
        headers = steward.get(address).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'self'" in policy
        assert "script-src" not in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_the_report_of_the_making_is_no_way_out_of_the_store(steward: TestClient, shelf: Store, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    Path(shelf.locate(run_path(NEW, "report.html"))).symlink_to(secret)
    for version in (NEW, "..", "%2e%2e", "../../secret", "0"):
        answer = steward.get(f"/making/{version}/report.html")
        assert answer.status_code == 404, version
        assert SECRET not in answer.text


def test_files_are_sent_as_what_they_are(steward: TestClient, shelf: Store) -> None:
    docs = steward.get(f"/files/{NEW}/quality/index.html")
    assert (docs.text, docs.headers["content-type"]) == ("<h1>Data Docs</h1>", "text/html; charset=utf-8")
    card = steward.get(f"/files/{NEW}/README.md")
    assert card.headers["content-type"] == "text/plain; charset=utf-8"
    shard = next(path for path in shelf.files(f"releases/{NEW}/captions"))
    sent = steward.get(f"/files/{NEW}/captions/{shard.rpartition('/')[2]}")
    assert len(sent.content) == 3_000_000 == int(sent.headers["content-length"])
    assert sent.headers["content-disposition"].startswith("attachment")
    assert "<" not in sent.headers["content-disposition"]


@pytest.fixture
def traps(shelf: Store, tmp_path: Path) -> Store:
    """Give a store with secrets around it, and links to them inside of it."""
    (tmp_path / "secret").write_text(SECRET)
    store = Path(shelf.url)
    for place in ("secret", "releases/secret", f"runs/{NEW}/secret"):
        (store / place).write_text(SECRET)
    release = store / "releases" / NEW
    (release / "link").symlink_to(tmp_path / "secret")
    (release / "folder").symlink_to(tmp_path)
    (release / "loop").symlink_to(release / "loop")
    (release / "inside").symlink_to(store / f"runs/{NEW}/secret")
    (store / "releases" / "2026.09.09").symlink_to(tmp_path)
    return shelf


@pytest.mark.parametrize("up", ["../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "%252e%252e%252f", "....//", "./../"])
@pytest.mark.parametrize("depth", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("target", ["secret", "etc/passwd"])
def test_no_path_leads_up(steward: TestClient, traps: Store, up: str, depth: int, target: str) -> None:
    for start in (f"/files/{NEW}/", f"/files/{NEW}/quality/", "/files/", "/static/"):
        answer = raw(steward, start + up * depth + target)
        assert answer.status_code == 404
        assert SECRET not in answer.text


def raw(client: TestClient, path: str) -> Any:
    """Send a path as it is: clients tidy up dots by themselves."""
    request = client.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.encode())
    return client.send(request)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "file:///etc/passwd",
        "link",
        "folder/secret",
        "loop",
        "inside",
        "quality",
        "quality/",
        "",
        "README.md%00",
        "README.md%0ax",
        "a" * 5000,
        "x/" * 2000,
    ],
)
def test_absolute_paths_links_and_folders_are_no_files(steward: TestClient, traps: Store, path: str) -> None:
    answer = raw(steward, f"/files/{NEW}/{path}")
    assert answer.status_code == 404
    assert SECRET not in answer.text


def test_a_release_that_is_a_link_has_no_files(steward: TestClient, traps: Store) -> None:
    assert steward.get("/files/2026.09.09/secret").status_code == 404


def test_links_are_not_listed(steward: TestClient, traps: Store) -> None:
    page = steward.get(f"/release/{NEW}/").text
    assert "README.md</a>" in page
    assert ">link</a>" not in page
    assert ">secret</a>" not in page


PARTS = st.sampled_from(["..", ".", "", "/", "\\", "secret", "link", "folder", "README.md"])


@given(path=st.lists(PARTS).map("/".join))
def test_whatever_is_asked_for_only_plain_files_of_the_release_are_found(
    tmp_path_factory: pytest.TempPathFactory, path: str
) -> None:
    from release_pages.places import release_file

    root = tmp_path_factory.getbasetemp() / "places"
    release = root / "store" / "releases" / NEW
    if not release.exists():
        release.mkdir(parents=True)
        (root / "secret").write_text(SECRET)
        (root / "store" / "secret").write_text(SECRET)
        (release / "README.md").write_text("card")
        (release / "link").symlink_to(root / "secret")
        (release / "folder").symlink_to(root)
    found = release_file(Store(str(root / "store")), NEW, path)
    assert found == (f"releases/{NEW}/README.md" if path == "README.md" else None)
