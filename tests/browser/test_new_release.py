"""A new release is triggered from the form with a reason for its warnings, arrives, and is compared."""

from urllib.parse import unquote

import pytest

from tests.browser.conftest import Page
from tests.browser.site import DAG, FIRST, HOSTILE, Site

pytestmark = pytest.mark.timeout(600)

SECOND = "2026.01.02"


@pytest.fixture(scope="module")
def triggered() -> dict[str, str]:
    """Keep the run that the first test triggers."""
    return {}


def trigger(page: Page, site: Site, *fields: tuple[str, str, str]) -> str:
    """Fill in fields of the form, by their sections, and press Trigger; return the run."""
    page.goto(f"{site.url}/dags/{DAG}")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    form.locator("[name=element_version]").fill(SECOND)
    for section, name, value in fields:
        field = form.locator(f"[name=element_{name}]")
        if not field.is_visible():
            form.get_by_role("button", name=section).click()
        field.fill(value)
        field.press("Tab")
    form.get_by_role("button", name="Trigger").click()
    page.wait_for_url("**/runs/**")
    return unquote(page.url.partition("/runs/")[2].partition("?")[0])


def test_a_release_with_another_threshold_waits_with_its_warnings_and_is_published_as_it_was_made(
    page: Page, site: Site, triggered: dict[str, str]
) -> None:
    may_be_published = "Whether it may be published"
    waiting = trigger(
        page,
        site,
        ("Rules for pictures", "face_threshold", "0.9"),
        (may_be_published, "drift_fewest_images", "5"),
        (may_be_published, "drift_outcomes", "0.01"),
    )
    assert site.ended(waiting) == "failed"
    page.goto(f"{site.url}/wit-releases/release/{SECOND}/")
    assert "Make a release with this version and the reason in accept" in page.locator("#verdict").inner_text()
    triggered["run"] = trigger(page, site, (may_be_published, "accept", f"Faces are wanted {HOSTILE}"))
    assert site.ended(triggered["run"]) == "success"
    page.goto(f"{site.url}/wit-releases/")
    row = page.locator("tr", has_text=SECOND).inner_text()
    assert "published latest" in row
    assert "+1" in row  # the face is in it, although the second form had the usual threshold


def test_its_run_is_found_from_within_the_frame_that_airflow_shows_the_pages_in(
    page: Page, site: Site, triggered: dict[str, str]
) -> None:
    """Airflow's frame lets no link out of it, so the run is shown inside."""
    page.goto(site.url)
    page.get_by_role("link", name="Releases", exact=True).click()
    frame = page.frame_locator("iframe")
    frame.locator("tr", has_text=SECOND).get_by_role("link", name="DAG run").click()
    frame.get_by_role("link", name=triggered["run"]).first.wait_for()


def test_its_page_says_what_was_accepted_and_why(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/wit-releases/release/{SECOND}/")
    verdict = page.locator("#verdict")
    assert f"Published in spite of warnings, because: Faces are wanted {HOSTILE}" in verdict.inner_text()
    assert f"Compared with release {FIRST}, which it follows." in verdict.inner_text()
    verdict.locator("summary").click()
    told = "before 0.05, drift_of share of outcome face, now 0, outcome_share_moved 0.05"
    assert told in verdict.locator("li").all_inner_texts()


def test_the_two_releases_are_compared(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/wit-releases/")
    page.locator("[name=before]").select_option(FIRST)
    page.locator("[name=after]").select_option(SECOND)
    page.get_by_role("button", name="Compare").click()
    page.locator("#outcomes tr.changed").first.wait_for()
    changed = page.locator("#outcomes tr.changed").all_inner_texts()
    assert changed == ["face\t1\t0\t-1", "released\t18\t19\t+1"]
    assert "face_threshold\t0.1\t0.9" in page.locator("#settings tbody").inner_text()


def test_the_tasks_lead_to_the_pages_of_the_release(page: Page, site: Site, triggered: dict[str, str]) -> None:
    for task, button, place in (("validate", "Data Docs", "quality/index.html"), ("publish", "Report", "report.html")):
        page.goto(f"{site.url}/dags/{DAG}/runs/{triggered['run']}/tasks/{task}/details")
        link = page.get_by_role("link", name=button, exact=True)
        link.wait_for()
        assert link.get_attribute("href") == f"{site.url}/wit-releases/files/{SECOND}/{place}"
        page.goto(str(link.get_attribute("href")))
        assert SECOND in page.locator("h1").inner_text()
