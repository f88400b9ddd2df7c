"""The demo Commons answers over HTTP as the real one does, wherever a client can tell."""

import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from pipelines.commons.names import STANDARD_WIDTHS, ImageUrl, original_url, thumbnail_url
from pipelines.demo.server import CannotListen, DemoCommons
from pipelines.errors import InputError
from tests.shared import shared

MOVED = "Tower_of_old.jpg"


@pytest.fixture(scope="module")
def commons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoCommons]:
    """The shared originals, with a moved, an unavailable, a poisonous, a damaged and 120 merely described files."""
    folder = tmp_path_factory.mktemp("commons")
    originals = folder / "originals"
    originals.mkdir()
    for path in shared("commons/originals").iterdir():
        (originals / path.name).write_bytes(path.read_bytes())
    (originals / "Damaged.jpg").write_bytes((originals / "Carrie.jpg").read_bytes()[:50_000])
    (originals / "Deleted.jpg").write_bytes(b"gone, but not yet wiped")
    (originals / "Paper.pdf").write_bytes(b"%PDF-1.4\n")
    about = json.loads(shared("commons/catalogue.json").read_text())
    described = {
        f"File:Described {n:03}.jpg": {"width": 800, "height": 600, "size": 9, "sha1": f"{n:040x}"} for n in range(120)
    }
    about |= {
        "missing": ["File:Deleted.jpg"],
        "redirects": {f"File:{MOVED}": "File:Tower.jpg"},
        "unavailable": ["File:The_Poppet.jpg"],
        "unnormalisable": ["File:Television.svg"],
        "described": described,
        "templates": {"Delete": ["File:Rostockstein.jpg", "File:Carrie.jpg"]},
        "timestamps": {"File:Carrie.jpg": "2012-09-25T16:23:02Z"},
    }
    about["categories"]["Large"] = list(described)
    (folder / "catalogue.json").write_text(json.dumps(about))
    with DemoCommons(folder, request_log=folder / "requests.jsonl") as server:
        yield server


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers["User-Agent"] = "tests/0 (tests@example.org)"
        yield session


class TestMedia:
    @pytest.mark.parametrize(
        ("name", "size", "form"),
        [
            ("0729.tiff", (330, 210), "JPEG"),
            ("Album_en_blanco_y_negro.webp", (330, 222), "PNG"),
            ("Cincinnati_Bell_logo.png", (330, 71), "PNG"),
            ("Interieur,_overzicht_tijdens_restauratie_(?)_-_Rolduc_-_20357536_-_RCE.jpg", (330, 329), "JPEG"),
            ("IPv6_header-en.svg", (330, 152), "PNG"),
            ("Jokie.gif", (330, 318), "GIF"),
            ("Speech_bubbles.svg", (330, 243), "PNG"),  # in UTF-16
            ("Tower.jpg", (330, 587), "JPEG"),
        ],
    )
    def test_thumbnails_are_drawn_in_the_type_that_wikimedia_draws(
        self, commons: DemoCommons, session: requests.Session, name: str, size: tuple[int, int], form: str
    ) -> None:
        answer = session.get(thumbnail_url(name, 330, commons.url))
        assert answer.status_code == 200
        image = Image.open(io.BytesIO(answer.content))
        assert (image.size, image.format) == (size, form)
        assert answer.headers["Content-Type"] == f"image/{form.lower()}"
        assert session.get(thumbnail_url(name, 330, commons.url)).content == answer.content

    def test_originals_are_served_as_they_are(self, commons: DemoCommons, session: requests.Session) -> None:
        for path in shared("commons/originals").iterdir():
            if path.name != "The_Poppet.jpg":
                assert session.get(original_url(path.name, commons.url)).content == path.read_bytes()

    @pytest.mark.parametrize("width", [1, 300, 320, 1000, 99999])
    def test_other_widths_than_the_standard_ones_are_refused(
        self, commons: DemoCommons, session: requests.Session, width: int
    ) -> None:
        assert width not in STANDARD_WIDTHS
        answer = session.get(thumbnail_url("Tower.jpg", width, commons.url))
        assert answer.status_code == 400
        assert "Use thumbnail sizes listed on" in answer.text

    def test_a_bitmap_is_never_enlarged_but_an_svg_has_every_width(
        self, commons: DemoCommons, session: requests.Session
    ) -> None:
        assert session.get(thumbnail_url("Greyscale_with_tRNS.png", 120, commons.url)).status_code == 400
        assert session.get(thumbnail_url("Greyscale_with_tRNS.png", 60, commons.url)).status_code == 200
        large = session.get(thumbnail_url("Television.svg", 960, commons.url))
        assert Image.open(io.BytesIO(large.content)).width == 960

    def test_what_is_not_on_commons_is_404(self, commons: DemoCommons, session: requests.Session) -> None:
        whole = original_url("Tower.jpg", commons.url)
        for url in (
            original_url("Never_there.jpg", commons.url),
            original_url("Deleted.jpg", commons.url),
            original_url(MOVED, commons.url),
            original_url(ImageUrl("en.wikipedia", "Tower.jpg"), commons.url),
            original_url("Described_001.jpg", commons.url),
            thumbnail_url("Paper.pdf", 330, commons.url),
            whole.replace("/2/29/", "/2/2a/"),
            thumbnail_url("Tower.jpg", 330, commons.url).replace("330px-Tower", "330px-Carrie"),
            commons.url + "/",
            commons.url + "/wikipedia/commons/2/29/..%2F..%2Fcatalogue.json",
            commons.url + "/wikipedia/commons/2/29/%2e%2e%2fcatalogue.json",
        ):
            assert session.get(url).status_code == 404, url

    def test_an_unavailable_file_is_503_and_a_damaged_one_500(
        self, commons: DemoCommons, session: requests.Session
    ) -> None:
        assert session.get(original_url("The_Poppet.jpg", commons.url)).status_code == 503
        assert session.get(thumbnail_url("The_Poppet.jpg", 330, commons.url)).status_code == 503
        damaged = session.get(thumbnail_url("Damaged.jpg", 330, commons.url))
        assert damaged.status_code == 500
        assert "Error generating thumbnail" in damaged.text

    def test_an_unchanged_file_is_304(self, commons: DemoCommons, session: requests.Session) -> None:
        url = original_url("Carrie.jpg", commons.url)
        first = session.get(url)
        assert first.headers["ETag"] == f'"{hashlib.md5(first.content).hexdigest()}"'
        assert first.headers["Last-Modified"] == "Tue, 25 Sep 2012 16:23:02 GMT"
        again = session.get(url, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")

    def test_many_who_ask_at_once_get_the_same(self, commons: DemoCommons, session: requests.Session) -> None:
        url = thumbnail_url("Rostockstein.jpg", 500, commons.url)
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: requests.get(url, timeout=60).content, range(32)))
        assert len(set(answers)) == 1
        assert Image.open(io.BytesIO(answers[0])).width == 500

    def test_query_strings_do_not_matter(self, commons: DemoCommons, session: requests.Session) -> None:
        url = thumbnail_url("Tower.jpg", 330, commons.url)
        assert session.get(url + "?utm_source=x").content == session.get(url).content

    def test_a_hostile_name_comes_back_as_text(self, commons: DemoCommons, session: requests.Session) -> None:
        answer = session.get(commons.url + "/wikipedia/commons/0/00/<script>alert(1)</script>.jpg")
        assert answer.status_code == 404
        assert "<script>" not in answer.text


INFO = {
    "prop": "imageinfo",
    "iiprop": "url|size|sha1|mime|thumbmime|timestamp|extmetadata",
    "iiurlwidth": "300",
    "redirects": "1",
    "maxlag": "5",
}


class TestApi:
    @pytest.fixture
    def ask(self, commons: DemoCommons, session: requests.Session) -> Any:
        def ask(**params: str) -> dict[str, Any]:
            query = {"action": "query", "format": "json", "formatversion": "2"} | params
            answer = session.get(commons.api_url, params=query)
            assert answer.status_code == 200
            return dict(answer.json())

        return ask

    def test_a_file_is_described(self, ask: Any, commons: DemoCommons) -> None:
        (page,) = ask(titles="File:Hafnia alvei.tif", **INFO)["query"]["pages"]
        (info,) = page["imageinfo"]
        data = shared("commons/originals/Hafnia_alvei.tif").read_bytes()
        assert page["title"] == "File:Hafnia alvei.tif"
        assert (info["width"], info["height"], info["size"]) == (1373, 1371, len(data))
        assert info["sha1"] == hashlib.sha1(data).hexdigest()
        assert (info["mime"], info["thumbmime"]) == ("image/tiff", "image/jpeg")
        assert info["url"] == original_url("Hafnia_alvei.tif", commons.url)
        assert {key: value["value"] for key, value in info["extmetadata"].items()} == {
            "ObjectName": "Hafnia alvei",
            "LicenseShortName": "Public domain",
            "Artist": "CDC",
            "Categories": "",
        }

    def test_thumbnail_urls_have_a_standard_width_and_a_query(self, ask: Any, session: requests.Session) -> None:
        (page,) = ask(titles="File:Tower.jpg", **INFO)["query"]["pages"]
        (info,) = page["imageinfo"]
        assert info["thumbwidth"] == 300  # as it was asked for …
        assert "/330px-Tower.jpg?utm_source=" in info["thumburl"]  # … while the true width stands in the URL
        assert Image.open(io.BytesIO(session.get(info["thumburl"]).content)).width == 330

    def test_the_thumbnail_of_a_narrow_bitmap_is_the_original(self, ask: Any) -> None:
        (page,) = ask(titles="File:Greyscale with tRNS.png", **INFO)["query"]["pages"]
        assert "/thumb/" not in page["imageinfo"][0]["thumburl"]

    def test_titles_are_normalised_and_moves_followed(self, ask: Any) -> None:
        query = ask(titles=f"File:{MOVED}|Image:carrie.jpg", **INFO)["query"]
        assert query["normalized"] == [
            {"fromencoded": False, "from": f"File:{MOVED}", "to": "File:Tower of old.jpg"},
            {"fromencoded": False, "from": "Image:carrie.jpg", "to": "File:Carrie.jpg"},
        ]
        assert query["redirects"] == [{"from": "File:Tower of old.jpg", "to": "File:Tower.jpg"}]
        assert [page["title"] for page in query["pages"]] == ["File:Tower.jpg", "File:Carrie.jpg"]

    def test_deleted_files_and_impossible_titles_are_said_to_be_so(self, ask: Any) -> None:
        pages = ask(titles="File:Deleted.jpg|File:a[b].jpg|Main Page", **INFO)["query"]["pages"]
        assert [(page.get("missing", False), page.get("invalid", False)) for page in pages] == [
            (True, False),
            (False, True),
            (True, False),
        ]

    def test_more_than_fifty_titles_are_refused(self, ask: Any) -> None:
        assert ask(titles="|".join(f"File:{n}.jpg" for n in range(51)), **INFO)["error"]["code"] == "toomanyvalues"

    def test_one_bad_title_fails_the_whole_batch(self, ask: Any) -> None:
        assert ask(titles="File:Tower.jpg|File:Television.svg", **INFO)["error"]["code"] == "urlparamnormal"
        without = {key: value for key, value in INFO.items() if key != "iiurlwidth"}
        assert len(ask(titles="File:Tower.jpg|File:Television.svg", **without)["query"]["pages"]) == 2

    def test_long_descriptions_continue(self, commons: DemoCommons, session: requests.Session, tmp_path: Path) -> None:
        (tmp_path / "originals").mkdir()
        names = [f"File:N {n:02}.jpg" for n in range(23)]
        (tmp_path / "catalogue.json").write_text(json.dumps({"described": {name: {"width": 9} for name in names}}))
        query = {"action": "query", "format": "json", "formatversion": "2", "titles": "|".join(names), **INFO}
        described, proceed, answers = [], {}, 0
        with DemoCommons(tmp_path, described_at_once=10) as small:
            while answers == 0 or proceed:
                answer = session.get(small.api_url, params=query | proceed).json()
                pages = answer["query"]["pages"]
                assert len(pages) == 23
                described += [page["title"] for page in pages if "imageinfo" in page]
                proceed, answers = answer.get("continue", {}), answers + 1
        assert (sorted(described), answers) == (names, 3)

    def test_categories_list_subcategories_and_files(self, ask: Any) -> None:
        def members(title: str, kind: str) -> list[str]:
            answer = ask(list="categorymembers", cmtitle=f"Category:{title}", cmtype=kind, cmlimit="500")
            return [member["title"] for member in answer["query"]["categorymembers"]]

        assert members("Deletion requests", "subcat") == ["Category:Deletion requests November 2026"]
        assert members("Deletion_requests November_2026", "file") == ["File:Cincinnati Bell logo.png"]
        assert members("Media missing permission as of 5 November 2026", "subcat|file") == [
            "Category:Media missing permission",
            "File:Album en blanco y negro.webp",
        ]
        assert members("No such category", "file") == []

    def test_long_lists_continue(self, ask: Any) -> None:
        found, proceed = [], {}
        while not found or proceed:
            answer = ask(list="categorymembers", cmtitle="Category:Large", cmtype="file", cmlimit="50", **proceed)
            found += [member["title"] for member in answer["query"]["categorymembers"]]
            proceed = answer.get("continue", {})
        assert found == [f"File:Described {n:03}.jpg" for n in range(120)]

    def test_files_that_transclude_a_template_are_listed(self, ask: Any) -> None:
        answer = ask(list="embeddedin", eititle="Template:Delete", einamespace="6", eilimit="500")
        assert [page["title"] for page in answer["query"]["embeddedin"]] == ["File:Carrie.jpg", "File:Rostockstein.jpg"]

    def test_post_is_as_good_as_get(self, commons: DemoCommons, session: requests.Session, ask: Any) -> None:
        form = {"action": "query", "format": "json", "formatversion": "2", "titles": "File:Tower.jpg", **INFO}
        assert session.post(commons.api_url, data=form).json() == ask(titles="File:Tower.jpg", **INFO)

    @pytest.mark.parametrize(
        "params",
        [
            {"action": "edit"},
            {"list": "allpages"},
            {"formatversion": "1"},
            {"titles": "File:Tower.jpg", "iiurlwidth": "wide"},
            {"list": "categorymembers", "cmtitle": "Large"},
        ],
    )
    def test_what_is_not_understood_is_an_error_with_a_code(self, ask: Any, params: dict[str, str]) -> None:
        assert ask(**params)["error"]["code"]


class TestServer:
    def test_requests_are_logged(self, commons: DemoCommons, session: requests.Session, tmp_path: Path) -> None:
        with DemoCommons(shared("commons"), request_log=tmp_path / "log" / "requests.jsonl") as server:
            session.get(thumbnail_url("Tower.jpg", 330, server.url) + "?a=b")
            session.get(original_url("Nope.jpg", server.url))
        first, second = map(json.loads, (tmp_path / "log" / "requests.jsonl").read_text().splitlines())
        assert first["path"].endswith("/thumb/2/29/Tower.jpg/330px-Tower.jpg")
        assert (first["status"], first["query"], first["in_flight"]) == (200, "a=b", 1)
        assert first["user_agent"] == "tests/0 (tests@example.org)"
        assert first["bytes"] > 10_000
        assert (second["status"], second["method"]) == (404, "GET")

    def test_it_can_be_started_again(self) -> None:
        server = DemoCommons(shared("commons"))
        for _ in range(2):
            with server:
                assert requests.get(original_url("Tower.jpg", server.url), timeout=30).status_code == 200
            server.stop()
            with pytest.raises(requests.ConnectionError):
                requests.get(server.url, timeout=30)

    def test_a_taken_port_is_an_error_that_names_it(self, commons: DemoCommons) -> None:
        port = int(commons.url.rpartition(":")[2])
        with pytest.raises(CannotListen, match=f"127.0.0.1:{port}"):
            DemoCommons(shared("commons"), port=port).start()

    def test_a_folder_in_another_format_is_an_error_that_names_it(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="originals"):
            DemoCommons(tmp_path)
        (tmp_path / "originals").mkdir()
        (tmp_path / "catalogue.json").write_text("[]")
        with pytest.raises(InputError, match="one JSON object"):
            DemoCommons(tmp_path)
        (tmp_path / "catalogue.json").write_text("{")
        with pytest.raises(InputError, match="not valid JSON"):
            DemoCommons(tmp_path)

    def test_neither_server_nor_catalogue_needs_what_only_networks_need(self) -> None:
        program = (
            "import sys, pipelines.demo.server, pipelines.demo.catalogue\n"
            "print(sorted({'torch', 'dask', 'airflow', 'pyvips', 'skimage'} & set(sys.modules)))"
        )
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert run.stdout.strip() == "[]"
