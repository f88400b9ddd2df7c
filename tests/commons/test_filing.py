"""filing: what is found of many URLs at a time is what `names` says of each."""

from hashlib import md5

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.commons import names
from pipelines.commons.filing import file_pages, filed, sites
from pipelines.commons.names import MalformedUrl


def url(name: str, start: str = "https://upload.wikimedia.org/wikipedia/commons/") -> str:
    digest = md5(name.encode()).hexdigest()
    return f"{start}{digest[0]}/{digest[:2]}/{name}"


PLAIN = ["A.jpg", "Plain_name-1.JPEG", "0.png", "X" * 251 + ".jpg"]
ODD = [
    "lower.jpg",
    "Two__blanks.jpg",
    "Ends_.jpg_",
    "Église.jpg",
    "What?.jpg",
    "A,b(c).jpg",
    "X" * 252 + ".jpg",
    "A%20b.jpg",
]
URLS = [
    *(url(name) for name in PLAIN + ODD),
    *(url(name).replace("https", "http") for name in PLAIN + ODD),
    *(url(name, "https://upload.wikimedia.org/wikipedia/en/") for name in PLAIN),
    url("Eglise.jpg").replace("Eglise", "Kirche"),  # the folders belong to another name
    url("A.jpg") + "?utm_source=wit",
    url("A.jpg") + "\n",
    f"see {url('A.jpg')}",
    "HTTPS" + url("A.jpg").removeprefix("https"),
    "https://upload.wikimedia.org/wikipedia/commons/thumb/a/a9/Example.jpg/330px-Example.jpg",
    "https://example.org/picture.jpg",
    "",
]
texts = st.sampled_from(URLS) | st.text(st.characters(codec="utf-8"), max_size=30).map(url) | st.text(max_size=20)


@given(st.lists(texts, max_size=8) | st.just(URLS), st.sampled_from([1, 3, 200, 12_345]))
def test_many_urls_are_filed_as_each_of_them(urls: list[str], partitions: int) -> None:
    urls = [url for url in urls if not any("\ud800" <= letter <= "\udfff" for letter in url)]
    found = filed(pa.array(urls, pa.string()), partitions)
    where = sites(found.urls, found.names).to_pylist()
    pages = file_pages(found.urls, found.names).to_pylist()
    assert len(found.partitions) == len(urls)
    for row, spelled in enumerate(urls):
        is_now = (found.urls[row].as_py(), found.names[row].as_py(), where[row], pages[row], found.partitions[row])
        try:
            image = names.parse_image_url(spelled)
        except MalformedUrl:
            assert is_now == (spelled, None, None, None, names.partition_of(spelled, partitions))
        else:
            page = names.file_page_url(image)
            partition = names.partition_of(image.name, partitions)
            assert is_now == (names.original_url(image), image.name, image.site, page, partition)


@pytest.mark.parametrize("urls", [URLS[:3], URLS])
def test_a_slice_of_an_array_is_filed_as_its_own_rows(urls: list[str]) -> None:
    whole = pa.array(["https://example.org/", *urls, url("Z.jpg")])
    part = filed(whole.slice(1, len(urls)), 200)
    assert part.urls == filed(pa.array(urls), 200).urls
