"""Data Docs: readable without internet and scripts, the same every time, and nothing in them is taken for markup."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipelines.engine.step import release_path
from pipelines.errors import ValidationFailed
from pipelines.quality.suites import SUITES
from pipelines.releases import shards
from pipelines.storage.store import Store
from tests.quality.small_release import VERSION, SmallRelease

MARKUP = '<img src=x onerror="alert(1)">$gone</td>'
"""What must not be taken for markup, nor for a placeholder of a template."""


class Page(HTMLParser):
    """The tags, links and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: set[str] = set()
        self.handlers: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links |= {value for name, value in attrs if name in ("href", "src", "srcset", "data", "action") and value}
        self.handlers |= {name for name, _ in attrs if name.startswith("on")}

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the pages of a release with something wrong in it, as text with markup in it says."""
    return make(tmp_path_factory.mktemp("store"))


def make(folder: Path) -> dict[str, str]:
    release = SmallRelease(Store(str(folder)))
    release.captions[0][0]["language"] = MARKUP
    release.shown[0][0].page = MARKUP
    release.write()
    release.overwrite(f"{shards.CAPTIONS_FOLDER}/{MARKUP.replace('/', '')}.gz", b"")
    release.overwrite(shards.image_shard("part-00001"), b"")
    with pytest.raises(ValidationFailed):
        release.validate()
    prefix = release_path(VERSION, "quality/")
    return {
        path.removeprefix(prefix): release.page(path.removeprefix(prefix)) for path in release.store.files(prefix[:-1])
    }


def test_there_is_a_start_page_and_two_pages_for_each_suite(pages: dict[str, str]) -> None:
    expected = {"index.html"} | {f"{suite}.html" for suite in SUITES} | {f"{suite}-suite.html" for suite in SUITES}
    assert set(pages) == expected


def test_pages_load_nothing_and_link_only_to_each_other(pages: dict[str, str]) -> None:
    for name, text in pages.items():
        page = Page(text)
        assert not {"script", "link", "img", "iframe", "object", "video"} & page.tags, name
        assert {link for link in page.links if not link.startswith("#")} <= set(pages), name
        assert not re.search(r"url\(|@import", text), name


def test_values_are_text_whatever_they_hold(pages: dict[str, str]) -> None:
    assert MARKUP in Page(pages["rows.html"]).text
    assert MARKUP in Page(pages["index.html"]).text
    for name, text in pages.items():
        assert not {handler for handler in Page(text).handlers if handler != "onclick"}, name
        assert "<img" not in text, name


def test_every_expectation_is_on_the_start_page_with_its_note(pages: dict[str, str]) -> None:
    text = Page(pages["index.html"]).text
    assert "files.readable" in text
    assert "A truncated or damaged file stops a reader halfway." in text
    assert text.index("files.rows") < text.index("rows.language_known") < text.index("files.readable")  # worst first


def test_suite_pages_hold_the_notes(pages: dict[str, str]) -> None:
    assert "A NaN or infinity spreads" in Page(pages["embeddings-suite.html"]).text


def test_the_same_release_gives_the_same_pages(pages: dict[str, str], tmp_path: Path) -> None:
    assert make(tmp_path) == pages
