"""Great Expectations' Data Docs as part of a release: readable without internet, without scripts, the same every time.

Great Expectations builds pages that load styles and scripts from six hosts, hold the moment at which they were made,
and print values as they are, markup included. So values are escaped before the pages are built, and the pages get one
style of our own instead of the links. The start page is ours: theirs is drawn by a script.
"""

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.engine.step import release_path
from pipelines.quality.data_docs_style import STYLE
from pipelines.quality.verdict import Judgement, Verdict
from pipelines.storage.store import Store

QUALITY = "quality"
INDEX = f"{QUALITY}/index.html"

_UNWANTED = re.compile(
    r"<script\b.*?</script>|<link\b[^>]*>|<img\b[^>]*>|<footer\b.*?</footer>|<style\b.*?</style>", re.DOTALL
)
_LINKS = (
    (re.compile(r'href="(?:\.\./)+index\.html"'), 'href="index.html"'),
    (re.compile(r'href="(?:\.\./)+expectations/([^"/]+)\.html"'), r'href="\1-suite.html"'),
)
_PASSING = ((re.compile(r"-collapse-body-[0-9a-f-]{36}"), "-collapse-body"),)  # a random number


_FOR_ALL_READERS = (
    (re.compile(r"<html>"), '<html lang="en">'),
    (re.compile(r'<a href="index\.html">\s*</a>'), ""),  # round the logo, which is gone
    (re.compile(r"<title></title>"), ""),
    (re.compile(r"<h4>(.*?)</h4>", re.DOTALL), r"<h1>\1</h1>"),
    (re.compile(r'<div class="container-fluid pt-4'), '<div role="main" class="container-fluid pt-4'),
    (re.compile(r'<nav id="navigation"'), '<nav id="navigation" aria-label="Contents"'),
)
"""What screen readers need to find their way."""


def clean_results(folder: Path) -> None:
    """Escape every value in the validation results in a folder, and drop the moments at which they were made."""
    for path in folder.rglob("*.json"):
        results = json.loads(path.read_text(encoding="utf-8"))
        for result in results["results"]:
            result["result"] = escaped(result["result"])
            result["exception_info"] = escaped(result["exception_info"])
        path.write_text(json.dumps(results), encoding="utf-8")


def escaped(value: Any) -> Any:
    """Return text, or lists and dicts of text, so that Great Expectations' templates show it as it is."""
    if isinstance(value, str):
        return html.escape(value).replace("$", "&#36;")  # a dollar begins a placeholder in their templates
    if isinstance(value, list):
        return [escaped(one) for one in value]
    return {key: escaped(_one_text(key, one)) for key, one in value.items()} if isinstance(value, dict) else value


def _one_text(key: str, value: Any) -> Any:
    """Put something between the values of two columns that are compared: they would be printed without."""
    return ", ".join(map(str, value)) if key == "value" and isinstance(value, list) else value


def write_data_docs(store: Store, verdict: Verdict, site: Path) -> None:
    """Put a site that Great Expectations built into the release, with a start page.

    Args:
        store: of the release.
        verdict: for the start page.
        site: folder of the site.

    """
    for page in sorted(site.glob("validations/*/**/*.html")):
        suite = page.relative_to(site).parts[1]
        _write(store, verdict.version, f"{suite}.html", offline(page.read_text(encoding="utf-8")))
    for page in sorted(site.glob("expectations/*.html")):
        _write(store, verdict.version, f"{page.stem}-suite.html", offline(page.read_text(encoding="utf-8")))
    _write(store, verdict.version, "index.html", _index(verdict))


def _write(store: Store, version: str, name: str, page: str) -> None:
    store.write_text(release_path(version, f"{QUALITY}/{name}"), page)


def offline(page: str) -> str:
    """Return a page of Data Docs without scripts, pictures and links to other hosts, with our style."""
    page = _UNWANTED.sub("", page)
    for pattern, replacement in (*_LINKS, *_PASSING, *_FOR_ALL_READERS):
        page = pattern.sub(replacement, page)
    return page.replace("</head>", f"<style>{STYLE}</style>\n</head>", 1)


def _index(verdict: Verdict) -> str:
    state = "passed" if verdict.success else "failed"
    counts = (
        f"{len(verdict.expectations)} expectations, of which fail: errors {len(verdict.errors)}, "
        f"warnings {len(verdict.warnings)}"
    )
    suites = list(dict.fromkeys(one.suite for one in verdict.expectations))
    links = " · ".join(f'<a href="{suite}.html">{suite}</a>' for suite in suites)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="UTF-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1.0">\n'
        f"<title>Quality of release {verdict.version}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>Quality of release {verdict.version}</h1>\n"
        f'<p class="verdict {state}">The release {state}: {counts}. {html.escape(verdict.comparison)}</p>\n'
        f"<p>What was measured, suite by suite, as Great Expectations shows it: {links}.</p>\n"
        f"{''.join(_rows(verdict))}</main>\n</body>\n</html>\n"
    )


def _rows(verdict: Verdict) -> Iterator[str]:
    worst_first = sorted(verdict.expectations, key=lambda one: (one.success, one.severity != "critical"))
    yield '<table>\n<thead><tr><th scope="col">Expectation</th><th scope="col">Result</th></tr></thead>\n<tbody>\n'
    for one in worst_first:
        yield (
            f"<tr><td><strong>{html.escape(one.name)}</strong><br>{html.escape(one.description)}"
            f'<br><small>{html.escape(one.notes)}</small></td><td class="{_state(one)}">{_result(one)}</td></tr>\n'
        )
    yield "</tbody>\n</table>\n"


def _state(one: Judgement) -> str:
    return "passed" if one.success else "failed" if one.severity == "critical" else "warned"


def _result(one: Judgement) -> str:
    word = {"passed": "holds", "failed": "error", "warned": "warning"}[_state(one)]
    if one.success:
        return word
    what = f"unexpected rows: {one.unexpected}" if one.unexpected is not None else f"observed {one.observed}"
    examples = "".join(
        f"<li>{html.escape(', '.join(f'{key}: {value}' for key, value in example.items()))}</li>"
        for example in one.examples
    )
    return f"{word}; {html.escape(what)}" + (f"<ul>{examples}</ul>" if examples else "")
