"""The report on paper: printed by a real Chromium, the pages read back."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.reports.report import REPORT
from tests.browser.site import FIRST, Site

pypdf = pytest.importorskip("pypdf", reason="needs the package pypdf")

PAGE = {"format": "A4", "print_background": False, "margin": dict.fromkeys(("top", "bottom", "left", "right"), "15mm")}
"""As Chromium prints unless it is told otherwise: without backgrounds."""


@pytest.fixture(scope="module")
def page(browser: Any, site: Site) -> Iterator[Any]:
    path = site.release(FIRST) / REPORT
    with browser.new_context(color_scheme="dark") as context:
        opened = context.new_page()
        opened.goto(path.as_uri())
        yield opened


@pytest.fixture(scope="module")
def sheets(page: Any, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Print the report on A4; return the words of each sheet."""
    path = tmp_path_factory.mktemp("paper") / "report.pdf"
    page.pdf(path=path, **PAGE)
    return [squeezed(sheet.extract_text()) for sheet in pypdf.PdfReader(path).pages]


def squeezed(text: str) -> str:
    """Leave spaces out: how a PDF's letters are spaced is its own affair."""
    return re.sub(r"\s+", "", text)


def test_no_plot_is_cut_by_the_end_of_a_sheet(page: Any, sheets: list[str]) -> None:
    plots = page.locator("#plots figure").evaluate_all(
        "figures => figures.map(f => [...f.querySelectorAll('h3, svg text')].map(t => t.textContent))"
    )
    assert len(plots) >= 6
    for title, *words in plots:
        assert words, title
        together = [
            sheet for sheet in sheets if all(squeezed(word) in sheet for word in (title, *words) if word.isascii())
        ]
        assert together, f"{title}: not whole on any sheet"


def test_a_heading_is_followed_by_something_on_its_own_sheet(page: Any, sheets: list[str]) -> None:
    for heading in page.locator("h2").all_text_contents():
        assert not [number for number, sheet in enumerate(sheets, 1) if sheet.endswith(squeezed(heading))], heading


def test_it_takes_few_sheets(sheets: list[str]) -> None:
    assert 2 <= len(sheets) <= 6, [sheet[:60] for sheet in sheets]


def test_on_paper_it_is_black_on_white_whatever_the_screen_is(page: Any) -> None:
    page.emulate_media(media="print")
    colours = page.locator("body").evaluate("body => [getComputedStyle(body).color, getComputedStyle(body).background]")
    assert colours[0] == "rgb(0, 0, 0)"
    assert colours[1].startswith("rgb(255, 255, 255)")
