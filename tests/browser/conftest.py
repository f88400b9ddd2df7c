"""A real Chromium, and a page of it that is signed in to a real Airflow."""

import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from pipelines.demo.airflow_state import USER, AirflowState
from pipelines.demo.processes import members
from tests.browser.site import Site, running

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
Page = Any

LOOKS = [("light", 1400), ("dark", 420)]
"""What pages are looked at in: colour scheme and width."""


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Give the system's Chromium; closed with the last test here, as its event loop would disturb others."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with running(folder) as site:
        sessions = AirflowState(folder / "state").sessions()
        yield site
    assert members(sessions) == [], "something of Airflow is left running"


@pytest.fixture(scope="package")
def signed_in(browser: Any, site: Site) -> Any:
    """Sign in as a person does; give the cookies that are left of it."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(site.url)
        page.wait_for_url("**/auth/login**")
        page.get_by_label("Username").fill(USER)
        page.get_by_label("Password").fill(site.airflow.password)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{site.url}/")
        return context.storage_state()


@pytest.fixture
def look(request: pytest.FixtureRequest) -> tuple[str, int]:
    return getattr(request, "param", LOOKS[0])


@pytest.fixture
def page(browser: Any, site: Site, signed_in: Any, look: tuple[str, int]) -> Iterator[Page]:
    """Give a page; no test may make it ask another host for anything, or run what a text holds."""
    scheme, width = look
    viewport = {"width": width, "height": 900}
    with browser.new_context(storage_state=signed_in, color_scheme=scheme, viewport=viewport) as context:
        asked: set[str] = set()
        context.on("request", lambda request: asked.add(request.url))
        opened = context.new_page()
        yield opened
        assert opened.evaluate("window.hit") is None
        hosts = {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "blob:"))}
        assert hosts <= {urlsplit(site.url).netloc, ""}, hosts
