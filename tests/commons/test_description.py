"""Descriptions read out of real answers of Commons."""

import json
from typing import Any

import pytest

from pipelines.commons.description import Description, describe, described, pages_of
from tests.shared import shared


def recorded(name: str) -> Any:
    return json.loads(shared(f"commons-api/{name}").read_text())


def page_with(name: str) -> dict[str, Any]:
    return {"title": "File:A.jpg", "ns": 6, "imageinfo": [recorded(name)]}


def test_a_whole_recorded_page() -> None:
    file = describe(recorded("image_data_example.json"))
    assert file.exists
    assert file.title == "20120925_PlozevetBretagne_LoneTree_DSC07971_PtrQs.jpg"
    assert (file.author, file.author_url) == ("PtrQs", "https://commons.wikimedia.org/wiki/User:PtrQs")
    assert file.credit == "Own work"
    assert file.licence == "CC BY-SA 4.0"
    assert file.licence_url == "https://creativecommons.org/licenses/by-sa/4.0"
    assert file.attribution_required is True
    assert file.width is not None
    assert file.width > 0


@pytest.mark.parametrize(
    ("name", "author", "link"),
    [
        ("image_info_artist_string.json", "Artist Name", None),
        ("image_info_artist_div.json", "Jona Lendering", None),
        ("image_info_artist_link.json", "link text", "https://test.com/linkspot"),
        (
            "image_info_artist_partial_link.json",
            "Jeff & Brian from Eastbourne",
            "https://www.flickr.com/people/16707908@N07",
        ),
        (
            "image_info_artist_internal_link.json",
            "NotaRealUser",
            "https://commons.wikimedia.org/w/index.php?title=User:NotaRealUser&action=edit&redlink=1",
        ),
    ],
)
def test_recorded_authors(name: str, author: str, link: str | None) -> None:
    file = describe(page_with(name))
    assert (file.author, file.author_url) == (author, link)


def test_a_licence_without_url() -> None:
    file = describe(page_with("image_info_missing_license_url.json"))
    assert file.licence_url is None
    assert file.licence


def test_a_recorded_answer_in_several_parts_and_in_the_old_format() -> None:
    answers = [recorded(f"wmc_pretty{number}.json") for number in (1, 2, 3)]
    titles = [page["title"] for page in answers[0]["query"]["pages"].values()]
    files = described(titles, answers)
    assert len(files) == len(titles) > 5
    assert all(file.exists for file in files.values())
    volcano = files["File:Minchinmavida Volcano.jpg"]
    assert volcano.title == "Minchinmavida_Volcano.jpg"
    assert volcano.author == "The original uploader was Elvezio at Italian Wikipedia."
    assert volcano.attribution_required is False
    assert "File:2002-04-02 Hauptstraße, Heidelberg IMG 0404.jpg" in files


def test_the_parts_may_come_in_any_order() -> None:
    answers = [recorded(f"wmc_pretty{number}.json") for number in (1, 2, 3)]
    titles = [page["title"] for page in answers[0]["query"]["pages"].values()]
    assert described(titles, answers) == described(titles, answers[::-1])


@pytest.mark.parametrize(
    "page",
    [
        {},
        {"title": "File:A.jpg", "missing": True},
        {"title": "File:A.jpg", "missing": "", "imageinfo": [{"sha1": "x"}]},
        {"title": "File:A.jpg", "invalid": True, "invalidreason": "…"},
        {"title": "File:A.jpg", "imagerepository": ""},
        {"title": "File:A.jpg", "imageinfo": [{"filemissing": True}]},
    ],
)
def test_what_is_no_file_does_not_exist(page: dict[str, Any]) -> None:
    assert describe(page) == Description(exists=False)


def test_redirects_in_a_circle_end() -> None:
    query = {"redirects": [{"from": "File:A", "to": "File:B"}, {"from": "File:B", "to": "File:A"}], "pages": []}
    assert pages_of(["File:A"], [{"query": query}]) == {"File:A": {}}


def test_fields_of_the_wrong_type_are_left_out() -> None:
    info = {
        "sha1": ["x"],
        "size": "12",
        "width": None,
        "height": True,
        "mime": 7,
        "extmetadata": {"Artist": {"value": 1.2}, "Credit": "text", "AttributionRequired": {"value": True}},
    }
    file = describe({"title": "File:A.jpg", "imageinfo": [info]})
    assert (file.sha1, file.bytes, file.width, file.height, file.mime, file.credit) == (None,) * 6
    assert (file.author, file.attribution_required) == ("1.2", True)
