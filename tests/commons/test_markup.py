"""What anyone may write on Commons, reduced to what is safe to show."""

from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.commons.markup import LONGEST, safe_link, to_text, to_text_and_link


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("plain", "plain"),
        ("a<br>b<p>c</p>d", "a b c d"),
        ("&lt;b&gt; &amp; &eacute;", "<b> & é"),
        ("<style>.x{}</style>A<script>alert(1)</script>B", "AB"),
        ("<span style='display: none'>hidden <span>deeper</span></span>shown", "shown"),
        ("<div style='display:none'>hidden</div>shown", "shown"),
        ("unclosed <b>bold", "unclosed bold"),
        ("<!-- comment -->x<![CDATA[y]]>", "x"),
        ("  many \n\t blanks\u00a0 ", "many blanks"),
        ("zero\u200bwidth\u202eright to left", "zero width right to left"),
        ("علی\u200cرضا", "علی\u200cرضا"),
        ("क्\u200dष", "क्\u200dष"),
        ("\u200d\u200c a\u200d \u200c b\u200c", "a\u200d b"),
        ("&zwnj; &zwj;", ""),
        ("", ""),
        ("<img src=x onerror=alert(1)>", ""),
    ],
)
def test_html_becomes_a_line_of_text(html: str, text: str) -> None:
    assert to_text(html) == text


@given(st.text())
def test_any_text_becomes_one_printable_line(html: str) -> None:
    text = to_text(html)
    assert "\n" not in text
    assert len(text) <= LONGEST
    assert text == " ".join(text.split())
    text.encode()


def test_an_essay_is_cut() -> None:
    assert len(to_text("<p>word</p>" * 100_000)) == LONGEST


def test_deep_nesting_is_no_problem() -> None:
    assert to_text("<div>" * 30_000 + "x") in ("x", "")


@pytest.mark.parametrize(
    "href",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\nscript:alert(1)",
        " javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "file:///etc/passwd",
        "/wiki/User:X",
        "https://",
        "https:///path",
        "https://user:pw@host/",
        'https://host/"onclick="alert(1)',
        "https://host/'x",
        "https://host/<b>",
        "https://host/a b",
        "https://host/\u202egnp.exe",
        "https://[bad",
        "https://host:port/",
        "https://host/" + "a" * 3000,
        "",
    ],
)
def test_what_is_no_plain_web_link_is_dropped(href: str) -> None:
    assert safe_link(href) is None


@pytest.mark.parametrize(
    ("href", "link"),
    [
        ("https://a.example/b?c=d#e", "https://a.example/b?c=d#e"),
        ("//commons.wikimedia.org/wiki/User:X", "https://commons.wikimedia.org/wiki/User:X"),
        ("http://a.example", "http://a.example"),
        (" https://a.example/é ", "https://a.example/é"),
    ],
)
def test_web_links_are_kept(href: str, link: str) -> None:
    assert safe_link(href) == link


class Links(HTMLParser):
    """Collects what a browser would see in a page of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, list[tuple[str, str | None]]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, attrs))


@given(st.text(st.sampled_from("htps:/.a\"'<>& \n\\javscript@[]#?")))
def test_no_link_can_leave_its_attribute(href: str) -> None:
    link = safe_link(href)
    if link is not None:
        assert urlsplit(link).scheme in ("http", "https")
        parser = Links()
        parser.feed(f'<a href="{link}">')
        assert [(tag, [name for name, _ in attrs]) for tag, attrs in parser.seen] == [("a", ["href"])]


def test_the_first_safe_link_is_taken() -> None:
    html = '<a href="javascript:x">A</a> <a href="https://b.example/">B</a> <a href="https://c.example/">C</a>'
    assert to_text_and_link(html) == ("A B C", "https://b.example/")
