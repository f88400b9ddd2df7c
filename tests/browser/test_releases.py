"""What a data steward sees in her browser: the Releases pages, the report and the Data Docs of a real release."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.pipeline import STAGES
from pipelines.tables import Outcome
from tests.browser.conftest import LOOKS, Page
from tests.browser.site import ALIKE, FACE, FIRST, HOSTILE, QUOTED, Site

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the package axe-playwright-python")

pytestmark = pytest.mark.timeout(600)  # the first test starts Airflow and makes a release

PLACES = {
    "list": "wit-releases/",
    "release": f"wit-releases/release/{FIRST}/",
    "comparison": f"wit-releases/compare?before={FIRST}&after={FIRST}",
    "report": f"wit-releases/files/{FIRST}/report.html",
    "Data Docs": f"wit-releases/files/{FIRST}/quality/index.html",
    "suite": f"wit-releases/files/{FIRST}/quality/pixels.html",
    "expectations": f"wit-releases/files/{FIRST}/quality/pixels-suite.html",
}


def table(page: Page, selector: str) -> dict[str, str]:
    """Return the first and the second column of a table."""
    rows = [row.split("\t") for row in page.locator(f"{selector} tbody").inner_text().splitlines()]
    return {row[0]: row[1] for row in rows}


def ledger(site: Site) -> Counter[str]:
    paths = sorted((site.release(FIRST) / "ledger").iterdir())
    return Counter(outcome for path in paths for outcome in pq.read_table(path).column("outcome").to_pylist())


def findings(page: Page) -> list[str]:
    """Return what axe-core calls serious or critical."""
    violations = axe.Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:200]}"
        for one in violations
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def test_from_the_navigation_to_the_verdict(page: Page, site: Site) -> None:
    page.goto(site.url)
    page.get_by_role("link", name="Releases", exact=True).click()
    frame = page.frame_locator("iframe")
    row = frame.locator("tr", has_text=FIRST)
    assert "published" in row.inner_text()
    frame.get_by_role("link", name=FIRST).click()
    verdict = frame.locator("#verdict")
    verdict.get_by_text("expectations hold").wait_for()
    assert "Compared with no earlier release" in verdict.inner_text()
    frame.get_by_role("link", name="Report", exact=True).click()
    frame.locator("#plots").wait_for()


def test_the_numbers_are_the_ledgers(page: Page, site: Site) -> None:
    counted = ledger(site)
    assert counted[Outcome.FACE] == counted[Outcome.DELETION_CANDIDATE] == 1
    page.goto(f"{site.url}/{PLACES['release']}")
    shown = table(page, "#outcomes")
    assert {outcome: int(shown[outcome]) for outcome in Outcome} == {outcome: counted[outcome] for outcome in Outcome}
    assert shown["all"] == str(counted.total())
    page.goto(f"{site.url}/{PLACES['report']}")
    funnel = table(page, "#funnel")
    assert funnel["images considered"] == str(counted.total())
    assert funnel["… no large face: released"] == str(counted[Outcome.RELEASED])


def test_the_report_has_its_plots_and_pictures(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/{PLACES['report']}")
    plots = page.locator("#plots svg")
    assert plots.count() >= 6
    for plot in plots.all():
        box = plot.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) > 50
    check_pictures(page, ledger(site)[Outcome.RELEASED])
    alike = page.locator("#alike figcaption b").all_inner_texts()
    assert sorted(alike) == sorted(name.replace("_", " ") for name in ALIKE)
    assert FACE.removesuffix(".png") not in page.content()


def test_the_report_of_the_making_shows_what_each_stage_took(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/{PLACES['release']}")
    page.get_by_role("link", name="The report with these times").click()
    page.wait_for_url(f"**/making/{FIRST}/report.html")
    plot = page.get_by_role("img", name="Seconds of each stage in its last run, and rows per second")
    box = plot.bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) > 50
    told = str(plot.get_attribute("aria-label"))
    assert {stage for stage in STAGES if stage in told} == set(STAGES) - {"publish"}  # which writes it
    check_pictures(page, ledger(site)[Outcome.RELEASED])


def check_pictures(page: Page, released: int) -> None:
    pictures = page.locator("#pictures img")
    assert pictures.count() == released
    widths = pictures.evaluate_all("all => Promise.all(all.map(one => one.decode().then(() => one.naturalWidth)))")
    assert set(widths) == {300}


def test_the_report_opens_from_a_disk(page: Page, site: Site) -> None:
    report = site.release(FIRST) / "report.html"
    assert report.stat().st_size < 5_000_000
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    check_pictures(page, ledger(site)[Outcome.RELEASED])
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
    assert findings(page) == []


@pytest.mark.parametrize("look", [("dark", 718)], indirect=True)
def test_the_report_reads_well_on_paper(page: Page, site: Site) -> None:
    """718 pixels are the width between the margins of an A4 page."""
    page.goto((site.release(FIRST) / "report.html").as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert not page.locator("details").first.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert findings(page) == []


def test_data_docs_have_their_style(page: Page, site: Site) -> None:
    for place in ("Data Docs", "suite"):
        page.goto(f"{site.url}/{PLACES[place]}")
        cell = page.locator("td").first
        assert cell.evaluate("one => getComputedStyle(one).borderTopStyle") == "solid", place
        assert "sans-serif" in page.evaluate("getComputedStyle(document.body).fontFamily"), place
    page.get_by_role("link", name="Home").click()
    page.wait_for_url("**/quality/index.html")


@pytest.mark.parametrize("look", LOOKS, ids=str, indirect=True)
@pytest.mark.parametrize("place", PLACES)
def test_every_page_can_be_read_by_everyone(page: Page, site: Site, place: str) -> None:
    page.goto(f"{site.url}/{PLACES[place]}")
    assert findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the window"


@pytest.fixture
def hostile_file(site: Site) -> Iterator[str]:
    name = HOSTILE.replace("/", "") + ".tsv.gz"
    path = site.release(FIRST) / "captions" / name
    path.write_bytes(b"")
    yield name
    path.unlink()


def test_captions_licences_and_file_names_are_text_whatever_they_hold(
    page: Page, site: Site, hostile_file: str
) -> None:
    page.goto(f"{site.url}/{PLACES['report']}")
    assert HOSTILE in page.locator("#pictures .caption").first.text_content()
    assert any(HOSTILE in text for text in page.locator("#pictures .quiet").all_text_contents())
    assert QUOTED.replace("_", " ") in page.locator("#pictures b").all_inner_texts()
    page.goto(f"{site.url}/{PLACES['release']}")
    assert HOSTILE in page.locator("#licences").inner_text()
    page.get_by_text("captions/").click()
    assert page.get_by_role("link", name=hostile_file).is_visible()
    page.goto(f"{site.url}/{PLACES['comparison']}")
    assert HOSTILE in page.locator("#licences").inner_text()
    assert page.locator("img, script").count() == 0


@pytest.mark.parametrize("place", PLACES)
def test_a_stranger_sees_nothing(browser: Any, site: Site, place: str) -> None:
    with browser.new_context() as context:
        answer = context.new_page().goto(f"{site.url}/{PLACES[place]}")
        assert answer.status == 401
