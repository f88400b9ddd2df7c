"""The grammar of Commons' names and URLs, both ways."""

import csv
import gzip
import pickle
import sys
import unicodedata
from contextlib import suppress
from hashlib import md5
from urllib.parse import quote, unquote

import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.commons import names
from pipelines.commons.filing import filed
from pipelines.commons.names import ImageUrl, MalformedUrl
from tests.shared import shared

letters = st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="#<>[]|{}/%?_ \ufffd")
plain_names = st.builds(
    lambda stem, extension: names.normalise(f"{stem}.{extension}"),
    st.text(letters | st.sampled_from("_ %?&;,'()"), min_size=1, max_size=60),
    st.sampled_from(["jpg", "JPG", "jpeg", "png", "svg", "tif", "tiff", "pdf", "djvu", "webm", "ogv", "gif", "webp"]),
).filter(lambda name: not names._objection(name))
"""Names as Commons could hold them."""

sites = st.sampled_from(["commons", "en.wikipedia", "zh-min-nan.wikipedia", "de.wikibooks", "en.wikivoyage"])
images = st.builds(ImageUrl, sites, plain_names)


@given(images)
def test_the_original_url_leads_back_to_the_file(image: ImageUrl) -> None:
    assert names.parse_image_url(names.original_url(image)) == image


@given(images, st.sampled_from(names.STANDARD_WIDTHS))
def test_the_thumbnail_url_leads_back_to_the_file(image: ImageUrl, width: int) -> None:
    assert names.parse_image_url(names.thumbnail_url(image, width)) == image


@given(images, st.sampled_from(["http:", "HTTPS:", ""]), st.sampled_from(["", "?utm_source=x", "?a=b/c", "#frag", "?"]))
def test_every_spelling_of_a_url_names_the_same_file(image: ImageUrl, scheme: str, query: str) -> None:
    canonical = names.original_url(image)
    spelled = canonical.replace("https:", scheme) + query
    assert names.original_url(names.parse_image_url(spelled)) == canonical
    found = filed(pa.array([spelled, canonical]), 200)
    assert (found.names.to_pylist(), found.urls.to_pylist()) == ([image.name] * 2, [canonical] * 2)


@given(images)
def test_raw_utf8_names_the_same_file(image: ImageUrl) -> None:
    head, _, encoded = names.original_url(image).rpartition("/")
    raw = f"{head}/{unquote(encoded)}"
    assert names.parse_image_url(raw) == image, "a raw ? in a name is told from a query by the folders"


@given(images)
def test_the_url_is_plain_ascii_without_query_and_holds_the_published_folders(image: ImageUrl) -> None:
    url = names.original_url(image)
    digest = md5(image.name.encode()).hexdigest()
    assert url.isascii()
    assert "?" not in url
    assert url.endswith(f"/{digest[0]}/{digest[:2]}/{quote(image.name)}")


@given(plain_names, st.sampled_from(["0/00", "f/ff", "7/7a"]))
def test_folders_that_do_not_belong_to_the_name_are_refused(name: str, folders: str) -> None:
    assume(folders not in names.original_path(name))
    with pytest.raises(MalformedUrl, match="do not belong"):
        names.parse_image_url(f"https://upload.wikimedia.org/wikipedia/commons/{folders}/{quote(name)}")


@given(st.text())
def test_any_text_is_either_a_file_or_malformed(text: str) -> None:
    for url in (text, f"https://upload.wikimedia.org/wikipedia/commons/{text}"):
        with suppress(MalformedUrl):
            image = names.parse_image_url(url)
            assert names.parse_image_url(names.original_url(image)) == image


@given(st.text(max_size=40))
def test_normalising_twice_changes_nothing(name: str) -> None:
    once = names.normalise(name)
    assert names.normalise(once) == once


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("foo bar.jpg", "Foo_bar.jpg"),
        ("__a   b_.jpg ", "A_b_.jpg"),
        ("école.jpg", "École.jpg"),
        ("e\u0301cole.jpg", "École.jpg"),
        ("ßtraße.jpg", "ßtraße.jpg"),
        ("\u10d0.jpg", "\u10d0.jpg"),
        ("a\u00a0b\u3000c.jpg", "A_b_c.jpg"),
        ("\u200eabc.jpg", "Abc.jpg"),
    ],
)
def test_names_are_filed_as_mediawiki_files_them(name: str, normal: str) -> None:
    assert names.normalise(name) == unicodedata.normalize("NFC", normal)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "not a file on upload"),
        ("not a url", "not a file on upload"),
        ("ftp://upload.wikimedia.org/wikipedia/commons/2/29/Tower.jpg", "not a file on upload"),
        ("https://upload.wikimedia.org.evil.example/wikipedia/commons/2/29/Tower.jpg", "not a file on upload"),
        ("https://evil@upload.wikimedia.org/wikipedia/commons/2/29/Tower.jpg", "not a file on upload"),
        ("https://upload.wikimedia.org/wikipedia/commons/archive/2/29/2009!Tower.jpg", "not a file on upload"),
        ("https://upload.wikimedia.org/wikipedia/commons/2/29/", "not a file on upload"),
        ("https://upload.wikimedia.org/wikipedia/commons/2/29/?x=1", "empty"),
        ("https://upload.wikimedia.org/wikipedia/commons/2/29/Tower.jpg/x", "may not hold '/'"),
        ("https://upload.wikimedia.org/wikipedia/commons/2/29/..%2F..%2Fetc%2Fpasswd", "may not hold '/'"),
        ("https://upload.wikimedia.org/wikipedia/commons/2/29/..", "empty"),
        ("https://upload.wikimedia.org/wikipedia/commons/2/29/Tower%00.jpg", r"may not hold '\\x00'"),
        ("https://upload.wikimedia.org/wikipedia/commons/2/29/%3Cscript%3E.jpg", "may not hold '<'"),
        ("https://upload.wikimedia.org/wikipedia/commons/2/29/a%7Cb.jpg", r"may not hold '\|'"),
        ("https://upload.wikimedia.org/wikipedia/commons/2/29/Caf%E9.jpg", "not valid UTF-8"),
        ("https://upload.wikimedia.org/wikipedia/commons/2/29/" + "a" * 256, "longer than 255 bytes"),
        ("https://upload.wikimedia.org/wikipedia/commons/thumb/2/29/Tower.jpg", "no file name"),
    ],
)
def test_a_malformed_url_is_named_with_its_reason(url: str, reason: str) -> None:
    with pytest.raises(MalformedUrl, match=reason) as caught:
        names.parse_image_url(url)
    assert caught.value.url == url
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    ("name", "width", "thumbnail"),
    [
        ("Tower.jpg", 330, "330px-Tower.jpg"),
        ("MGS_logo.JPG", 330, "330px-MGS_logo.JPG"),
        ("Television.svg", 330, "330px-Television.svg.png"),
        ("Hafnia_alvei.tif", 330, "lossy-page1-330px-Hafnia_alvei.tif.jpg"),
        ("0729.tiff", 500, "lossy-page1-500px-0729.tiff.jpg"),
        ("Album_en_blanco_y_negro.webp", 330, "330px-Album_en_blanco_y_negro.webp.png"),
        ("A.pdf", 330, "page1-330px-A.pdf.jpg"),
        ("A.djvu", 330, "page1-330px-A.djvu.jpg"),
        ("A.webm", 330, "330px--A.webm.jpg"),
        ("A.ogv", 330, "330px--A.ogv.jpg"),
        ("A" * 157 + ".jpg", 330, "330px-thumbnail.jpg"),
        ("A" * 156 + ".jpg", 330, f"330px-{'A' * 156}.jpg"),
        ("Ä" * 80 + ".svg", 330, "330px-thumbnail.svg.png"),
        ("A" * 160 + ".tif", 330, "lossy-page1-330px-thumbnail.tif.jpg"),
        ("A" * 170, 330, "330px-thumbnail"),
    ],
)
def test_thumbnails_are_called_as_wikimedia_calls_them(name: str, width: int, thumbnail: str) -> None:
    assert names.thumbnail_name(name, width) == thumbnail


def test_real_thumbnails_have_these_names() -> None:
    originals = [path.name for path in shared("commons/originals").iterdir()]
    made = {names.thumbnail_name(name, width) for name in originals for width in (40, 300, 337, 394, 400, 450)}
    real = {
        path.name for path in shared("commons/thumbnails").iterdir() if path.name[0].isdigit() or "page" in path.name
    }
    unusual = {"300px-Interieur.jpg", "300px-Interieur.png", "lossy-page1-300px-Hafnia_alvei.tif.png"}
    assert real - unusual <= made


def test_file_pages() -> None:
    assert names.file_page_url("Tower.jpg") == "https://commons.wikimedia.org/wiki/File:Tower.jpg"
    assert names.file_page_url(ImageUrl("en.wikipedia", "Ä?.jpg")) == "https://en.wikipedia.org/wiki/File:%C3%84%3F.jpg"
    assert names.file_page_url(ImageUrl("meta.wikipedia", "A.jpg")) == "https://meta.wikimedia.org/wiki/File:A.jpg"


def test_every_wit_row_that_we_have_is_understood() -> None:
    csv.field_size_limit(sys.maxsize)
    urls = []
    with gzip.open(shared("wit/commons_sample.tsv.gz"), "rt", encoding="utf-8", newline="") as file:
        urls += [row["image_url"] for row in csv.DictReader(file, delimiter="\t")]
    for path in sorted(shared("wit").glob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            urls += [row["image_url"] for row in csv.DictReader(file, delimiter="\t")]
    parsed = [names.parse_image_url(url) for url in urls if url]
    assert len(parsed) > 30
    assert {image.site for image in parsed} == {"commons", "en.wikipedia"}
    for url, image in zip(filter(None, urls), parsed, strict=True):
        assert unquote(names.original_url(image)) == unquote(url.replace("http:", "https:").partition("?")[0])


@given(st.lists(plain_names, min_size=1, max_size=30), st.integers(1, 1000))
def test_a_partition_is_md5_of_the_name_modulo_their_number(some: list[str], partitions: int) -> None:
    for name in some:
        assert names.partition_of(name, partitions) == int(md5(name.encode()).hexdigest(), 16) % partitions


def test_titles_are_file_names_with_a_namespace() -> None:
    assert names.file_name("File:tower bridge.jpg") == "Tower_bridge.jpg"
    assert names.file_name("Image: a.jpg") == "A.jpg"
    with pytest.raises(MalformedUrl, match="empty"):
        names.file_name("File:")
