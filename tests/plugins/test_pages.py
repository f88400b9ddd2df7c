"""What a data steward reads on the pages."""

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from pipelines.engine.step import release_path
from pipelines.releases.notices import Supersession, Withdrawal, amend
from pipelines.releases.versions import MANIFEST, run_path
from pipelines.storage import lock
from pipelines.storage.store import Store
from tests.plugins.conftest import FAILED, MARKUP, NEW, OLD, RUNNING, WAITING


def read(client: TestClient, address: str) -> str:
    """Return the text of a page, without tags, one space between words."""
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())


def test_the_list_says_how_each_release_is(steward: TestClient) -> None:
    page = read(steward, "/")
    assert page.index(RUNNING) < page.index(FAILED + " ") < page.index(NEW) < page.index(OLD)
    assert f"{RUNNING} running next: describe_files" in page
    assert f"{WAITING} waiting" in page
    assert f"{FAILED} failed" in page
    assert "✗ 1 of 2 failed" in page
    assert f"{NEW} published latest 1,043 +1,003 ✓ all 1 hold 3.0 s" in page
    assert f"{OLD} published 40 –" in page


def test_a_release_of_airflow_links_to_its_run_and_one_of_the_shell_does_not(steward: TestClient) -> None:
    links = re.findall(r'href="([^"]*dag[^"]*)"', steward.get("/").text)
    assert links == [f"../dag_runs?run_id_pattern=manual__{one}" for one in (RUNNING, NEW, OLD)]


def test_a_release_shows_its_numbers(steward: TestClient) -> None:
    page = read(steward, f"/release/{NEW}/")
    assert "WIT rows read 1,000 rows of selected images 50 images considered 1,048 images released 1,043" in page
    assert "face 5 0.5 % released 1,043 99.5 % all 1,048" in page
    assert "All 1 expectations hold." in page
    assert "ab" * 32 in page
    assert f"python -m pipelines verify {steward_place(page)}" in page


def steward_place(page: str) -> str:
    found = re.search(rf"\S+/releases/{NEW}", page)
    assert found is not None
    return found[0]


def test_a_failed_release_says_what_failed_and_what_to_do(steward: TestClient) -> None:
    page = read(steward, f"/release/{FAILED}/")
    assert "No face above the threshold ledger.faces · error: not published · 3 unexpected" in page
    assert "A face was released. Look at it." in page


def test_a_release_with_warnings_says_how_to_publish_it(steward: TestClient) -> None:
    page = read(steward, f"/release/{WAITING}/")
    assert "Waiting: it has warnings, and is published when someone says why it may be." in page
    assert f'publish --store STORE --version {WAITING} --accept "REASON"' in page
    assert "Make a release with this version and the reason in accept : then no other field counts but store" in page


def test_a_release_whose_run_was_killed_is_not_called_running(steward: TestClient, shelf: Store) -> None:
    shelf.remove(lock.PATH)
    assert f"{RUNNING} stopped next: describe_files" in read(steward, "/")
    assert "nobody is at work on it" in read(steward, f"/release/{RUNNING}/")


def test_the_report_with_working_times_is_linked_where_there_is_one(steward: TestClient, shelf: Store) -> None:
    address = f"/making/{NEW}/report.html"
    assert f"../..{address}" not in steward.get(f"/release/{NEW}/").text
    assert steward.get(address).status_code == 404
    shelf.write_text(run_path(NEW, "report.html"), "<h1>Report</h1>")
    assert f'href="../..{address}"' in steward.get(f"/release/{NEW}/").text
    answer = steward.get(address)
    assert (answer.text, answer.headers["content-type"]) == ("<h1>Report</h1>", "text/html; charset=utf-8")


def test_what_the_stages_took_is_shown(steward: TestClient, shelf: Store) -> None:
    page = read(steward, f"/release/{NEW}/")
    assert "pull_rows 2.0 4.0 7 6 3.0" in page
    assert "pull_rows 4.2 MB 0 bytes 1,007 3 0 1 min 01 s –" in page
    old = {"step": "pull_rows", "seconds": 1.0, "worker_seconds": 1.0, "rows": 7}
    shelf.write_json(run_path(NEW, "stages/pull_rows.json"), {"counts": {}, "steps": [old]})
    assert "pull_rows 0 bytes" in read(steward, f"/release/{NEW}/"), "a record that knows nothing of it"


@pytest.mark.parametrize("address", ["/", f"/release/{RUNNING}/"])
def test_the_dashboard_of_dask_is_linked_while_a_run_is_at_work(
    steward: TestClient, shelf: Store, address: str
) -> None:
    assert "Dask’s" not in steward.get(address).text
    with lock.held(shelf, f"manual__{RUNNING}", alone=False, keep=True):
        with lock.watched_at('https://dask.example:8787/status?a=1&b="2"'):
            page = steward.get(address).text
        assert page.count("Dask’s dashboard</a>") == 1
        link = '<a rel="noopener noreferrer" href="https://dask.example:8787/status?a=1&amp;b=&#34;2&#34;"'
        assert link in page
        assert "Dask’s" not in steward.get(address).text, "between two tasks there is nothing to watch"


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "data:text/html,x", "//dask.example/", "https://me:secret@dask.example/", "http://a b/"],
)
def test_what_is_no_address_of_the_web_is_not_linked(steward: TestClient, shelf: Store, address: str) -> None:
    with lock.held(shelf, f"manual__{RUNNING}", alone=False, keep=True), lock.watched_at(address):
        assert "Dask’s" not in steward.get(f"/release/{RUNNING}/").text


def test_a_release_that_is_being_made_has_a_page(steward: TestClient) -> None:
    assert "Not validated yet; the next stage is describe_files" in read(steward, f"/release/{RUNNING}/")


def test_settings_name_no_credentials(steward: TestClient, shelf: Store) -> None:
    page = read(steward, f"/release/{FAILED}/")
    assert "wit_files https://host/wit.tsv.gz" in page
    assert "secret" not in page


def test_two_releases_are_compared(steward: TestClient) -> None:
    page = read(steward, f"/compare?before={OLD}&after={NEW}")
    assert "face 2 5 +3" in page
    assert "released 40 1,043 +1,003" in page
    assert "missing 0 0 ±0" in page
    assert "CC BY 4.0 40 1,000 +960" in page
    assert "face_threshold 0.1 0.2" in page
    assert "wit_files" not in page


def test_a_superseded_release_says_so_and_what_was_withdrawn(steward: TestClient, shelf: Store) -> None:
    reason, url = f"asked for {MARKUP}", "https://upload.wikimedia.org/wikipedia/commons/a/ab/Somebody.jpg"
    gone = Withdrawal("image_pixels/part-00007.csv.gz", 1_000_000, "cd" * 32, "2026-02-02", "Somebody.jpg", reason)
    mark = Supersession("Somebody.jpg", (url,), "2026-02-02", reason, NEW)
    amend(shelf, OLD, lambda notice: replace(notice, superseded=(mark,), withdrawn=(gone,)))
    amend(shelf, NEW, lambda notice: replace(notice, superseded=(replace(mark, by=""),)))
    page = read(steward, "/")
    assert f"{OLD} published superseded by {NEW} 1 file withdrawn" in page
    assert f"{NEW} published latest superseded 1,043" in page
    page = read(steward, f"/release/{OLD}/")
    assert f"Superseded by release {NEW} File:Somebody.jpg was taken down on 2026-02-02: {reason} {url}" in page
    assert "part-00007.csv.gz withdrawn on 2026-02-02 1.0 MB" in page
    assert f'href="../{NEW}/"' in steward.get(f"/release/{OLD}/").text
    assert "<script" not in steward.get(f"/release/{OLD}/").text
    assert "no release without what was taken down is published yet" in read(steward, f"/release/{NEW}/")
    answer = steward.get(f"/files/{OLD}/{gone.path}")
    assert answer.status_code == 410
    assert "Withdrawn on 2026-02-02" in answer.json()["detail"]


def test_the_links_between_the_pages_lead_somewhere(steward: TestClient) -> None:
    for address in ("/", f"/release/{NEW}/", f"/compare?before={OLD}&after={NEW}"):
        links = re.findall(r'(?:href|action)="([^"]*)"', steward.get(address).text)
        for link in links:
            if "dag_runs" not in link and link != "compare":
                assert steward.get(unescape(link), follow_redirects=False).status_code == 200, (address, link)
                steward.base_url = steward.base_url.copy_with(path="/")


@pytest.mark.parametrize("address", [f"/release/{NEW}/", f"/release/{FAILED}/", f"/compare?before={OLD}&after={NEW}"])
def test_markup_is_shown_as_text(steward: TestClient, address: str) -> None:
    page = steward.get(address).text
    assert "<script" not in page
    assert "&lt;script&gt;alert(&#39;x&#39;)" in page


def test_a_release_without_name_or_number_is_not_there(steward: TestClient) -> None:
    for version in ("2027.01.01", "x", "%2e%2e", "2026.01.01%2f..%2f2026.01.01"):
        assert steward.get(f"/release/{version}/").status_code == 404, version


def test_a_store_that_cannot_be_read_is_said(steward: TestClient, shelf: Store) -> None:
    store = Path(shelf.url)
    (store / release_path(OLD, MANIFEST)).write_text("{")
    answer = steward.get(f"/release/{OLD}/")
    assert answer.status_code == 503
    assert "is not valid JSON" in answer.text


def test_an_empty_store_says_what_to_do(steward: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WIT_RELEASE_STORE", str(tmp_path / "nothing"))
    assert "There is no release yet" in read(steward, "/")


def test_the_store_is_that_of_the_form(
    steward: TestClient, shelf: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    defaults = tmp_path / "defaults.json"
    defaults.write_text(json.dumps({"store": shelf.url}))
    monkeypatch.delenv("WIT_RELEASE_STORE")
    monkeypatch.setenv("WIT_RELEASE_DEFAULTS", str(defaults))
    assert NEW in read(steward, "/")
