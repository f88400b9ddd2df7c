"""Deletion candidates from the API and from SQL dumps: the same answer from both, but for templates."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.commons.api import ApiClient
from pipelines.commons.deletion import CandidateCategories, deletion_candidates, is_dated, unknown_pages
from pipelines.commons.dumps import Dumps, deletion_candidates_from_dumps
from pipelines.commons.politeness import LocalLeases
from pipelines.commons.sqldump import DumpError, read_rows
from pipelines.demo.server import DemoCommons
from tests.commons.server import serving
from tests.commons.wiki import LittleWiki, catalogue, write_dump
from tests.shared import shared

HUGE = [f"File:Huge {number}.jpg" for number in range(3_000)]


def small_wiki() -> LittleWiki:
    return LittleWiki(
        categories={
            "Copyright violations": ["File:Copy's violation.jpg", "File:Both.jpg", "Category:Deletion requests"],
            "Duplicate": HUGE,
            "Deletion requests": [
                "Category:Deletion requests November 2026",
                "Category:Deletion requests/archive",
                "Category:Something else 2026",
                "File:Undated.jpg",
            ],
            "Deletion requests November 2026": [
                "File:Both.jpg",
                "File:Requested (?).jpg",
                "Category:Deletion requests",
                "Category:Deletion requests 5 November 2026",
            ],
            "Deletion requests 5 November 2026": [
                "File:Deep.jpg",
                "Category:Deletion requests November 2026",
            ],
            "Deletion requests/archive": ["File:Archived.jpg"],
            "Something else 2026": ["File:Unrelated.jpg"],
            "Media missing permission": ["Category:Media missing permission as of 5 November 2026"],
            "Media missing permission as of 5 November 2026": [
                "File:Ünïcode \\ back.jpg",
                "Category:Media missing permission",
            ],
            "Licensed": ["File:Fine.jpg"],
        },
        templates={"Delete": ["File:Transcluded.jpg", "File:Both.jpg"], "Keep": ["File:Fine.jpg"]},
    )


IN_CATEGORIES = {
    "Copy's_violation.jpg": "in Category:Copyright violations",
    "Both.jpg": "in Category:Copyright violations",
    "Requested_(?).jpg": "in Category:Deletion requests November 2026",
    "Deep.jpg": "in Category:Deletion requests 5 November 2026",
    "Ünïcode_\\_back.jpg": "in Category:Media missing permission as of 5 November 2026",
} | {title.removeprefix("File:").replace(" ", "_"): "in Category:Duplicate" for title in HUGE}
EXPECTED = {**IN_CATEGORIES, "Transcluded.jpg": "transcludes Template:Delete"}


def from_api(wiki: LittleWiki, settings: CandidateCategories) -> dict[str, str]:
    with serving(wiki) as server, ApiClient(server.origin(), LocalLeases(1)) as api:
        return deletion_candidates(api, settings)


def from_dumps(wiki: LittleWiki, folder: Path, settings: CandidateCategories) -> dict[str, str]:
    return deletion_candidates_from_dumps(Dumps(**wiki.dump(folder)), settings)


def test_the_api_path_follows_dated_subcategories_circles_huge_categories_and_transclusions() -> None:
    assert from_api(small_wiki(), CandidateCategories()) == EXPECTED


def test_the_dumps_give_the_same_answer(tmp_path: Path) -> None:
    assert from_dumps(small_wiki(), tmp_path, CandidateCategories()) == IN_CATEGORIES


@pytest.mark.parametrize(
    "settings",
    [
        CandidateCategories(categories=(), templates=()),
        CandidateCategories(dated_categories=(), templates=()),
        CandidateCategories(("licensed",), ("media missing permission",), ()),
        CandidateCategories((), (), ()),
    ],
)
def test_both_paths_follow_the_settings(tmp_path: Path, settings: CandidateCategories) -> None:
    assert from_dumps(small_wiki(), tmp_path, settings) == from_api(small_wiki(), settings)


def test_a_page_that_is_not_there_is_known_by_its_setting_unless_it_lists_something_or_is_empty() -> None:
    wiki = LittleWiki(
        categories={"Files": ["File:A.jpg"], "Dates": ["Category:Dates 2026"]},
        templates={"Used": ["File:A.jpg"]},
        pages={"Category:Empty", "Template:Unused"},
    )
    settings = CandidateCategories(("files", "Empty", "Fils"), ("dates", "deletion_Request"), ("Used", "Unused", "Usd"))
    with serving(wiki) as server, ApiClient(server.origin(), LocalLeases(1)) as api:
        assert unknown_pages(api, settings) == {
            "Category:Fils": "deletion_categories",
            "Category:Deletion Request": "deletion_dated_categories",
            "Template:Usd": "deletion_templates",
        }
    assert len([seen for seen in server.log.requests if "titles" in seen.query]) == 1


def test_the_demo_commons_gives_the_same_answer(tmp_path: Path) -> None:
    wiki = small_wiki()
    members = {name: [title.removeprefix("Category:") for title in titles] for name, titles in wiki.categories.items()}
    folder = catalogue(tmp_path / "wiki", categories=members, templates=wiki.templates)
    with DemoCommons(folder) as demo, serving(wiki) as any_server:
        origin = any_server.origin(api_url=f"{demo.url}/w/api.php")
        with ApiClient(origin, LocalLeases(1)) as api:
            assert deletion_candidates(api, CandidateCategories()) == EXPECTED


def test_the_sample_catalogue() -> None:
    with DemoCommons(shared("commons")) as demo, serving(LittleWiki()) as any_server:
        origin = any_server.origin(api_url=f"{demo.url}/w/api.php")
        with ApiClient(origin, LocalLeases(1)) as api:
            found = deletion_candidates(api, CandidateCategories())
    assert found == {
        "Jokie.gif": "in Category:Copyright violations",
        "Cincinnati_Bell_logo.png": "in Category:Deletion requests November 2026",
        "Album_en_blanco_y_negro.webp": "in Category:Media missing permission as of 5 November 2026",
    }


@pytest.mark.parametrize(
    ("name", "dated"),
    [
        ("Deletion requests November 2026", True),
        ("Deletion_requests_5_November_2026", True),
        ("Deletion requests", False),
        ("Deletion requests/archive", False),
        ("Deletion requests by 20261", False),
        ("Old Deletion requests 2026", False),
        ("Deletion requests2026", False),
    ],
)
def test_what_a_dated_subcategory_is(name: str, dated: bool) -> None:
    assert is_dated(name, "Deletion requests") is dated


MEASURE = """
import sys
from pipelines.commons.deletion import CandidateCategories
from pipelines.commons.dumps import Dumps, deletion_candidates_from_dumps
from tests.commons.server import peak_memory
before = peak_memory()
found = deletion_candidates_from_dumps(Dumps(*sys.argv[1:]), CandidateCategories())
print(len(found), peak_memory() - before)
"""


def test_a_large_dump_streams_in_bounded_memory(tmp_path: Path) -> None:
    rows = int(os.environ.get("WIT_TEST_DUMP_ROWS", "100000"))
    paths = small_wiki().dump(tmp_path, padding=rows)
    done = subprocess.run([sys.executable, "-c", MEASURE, *paths.values()], capture_output=True, text=True, check=True)
    found, memory = map(int, done.stdout.split())
    print(f"{rows} rows of categorylinks: {memory / 1e6:.0f} MB on top")
    assert found == len(IN_CATEGORIES)
    assert memory < 40e6, "whatever the number of rows"


def test_columns_are_found_by_name_and_values_are_unescaped(tmp_path: Path) -> None:
    rows = [(1, b'it\'s \\ (a), "b"\n\0;', None, -1.5), (2, b"", b"NULL", 3), (3, "ü".encode(), b"x,y),(z", 10**12)]
    path = write_dump(tmp_path / "t.sql.gz", "t", ("a", "b", "c", "d"), rows)
    assert list(read_rows(path, "t", ("d", "b", "a"))) == [
        (b"-1.5", b'it\'s \\ (a), "b"\n\0;', b"1"),
        (b"3", b"", b"2"),
        (b"1000000000000", "ü".encode(), b"3"),
    ]
    assert [c for (c,) in read_rows(path, "t", ("c",))] == [None, b"NULL", b"x,y),(z"]


def test_a_dump_that_cannot_be_read_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DumpError, match=r"none\.sql\.gz is not there.*dumps\.wikimedia\.org"):
        list(read_rows(str(tmp_path / "none.sql.gz"), "page", ("page_id",)))
    path = write_dump(tmp_path / "page.sql.gz", "page", ("page_id", "x"), ((n, b"y") for n in range(1000)))
    with pytest.raises(DumpError, match="has no column page_title; it has page_id, x"):
        list(read_rows(path, "page", ("page_id", "page_title")))
    with pytest.raises(DumpError, match="expected table linktarget"):
        list(read_rows(path, "linktarget", ("lt_id",)))
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DumpError, match="cut short"):
        list(read_rows(path, "page", ("page_id",)))
    Path(path).write_bytes(b"no gzip at all")
    with pytest.raises(DumpError, match="damaged"):
        list(read_rows(path, "page", ("page_id",)))
    Path(path).write_bytes(
        gzip.compress(b"CREATE TABLE `page` (\n  `page_id` int\n) X;\nINSERT INTO `page` VALUES (1,2);\n")
    )
    with pytest.raises(DumpError, match=r"line 4: no row of 1 columns"):
        list(read_rows(path, "page", ("page_id",)))
