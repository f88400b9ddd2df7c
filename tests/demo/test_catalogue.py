"""The demo's catalogue: the same every time, awkward in every way, and with every outcome in it."""

import csv
import gzip
import io
import json
from collections import Counter, defaultdict
from importlib.resources import files
from pathlib import Path
from random import Random

import pytest
from PIL import Image
from skimage.feature import Cascade

from pipelines.commons.names import file_name, parse_image_url, thumbnail_path
from pipelines.demo.catalogue import SEED, Catalogue, make_catalogue
from pipelines.demo.contents import DemoImage, contents
from pipelines.demo.media import Media
from pipelines.demo.subjects import ASTRONAUT
from pipelines.demo.wiki import Wiki, name_of
from pipelines.demo.wit_rows import BAD_ROWS
from pipelines.errors import InputError
from pipelines.tables import WIT_COLUMNS, Outcome
from pipelines.vision.pictures import Undecodable, UnsupportedType, decode_rgb, release_picture


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return make_catalogue(tmp_path_factory.mktemp("demo") / "catalogue")


@pytest.fixture(scope="module")
def images() -> list[DemoImage]:
    return contents(Random(SEED))


@pytest.fixture(scope="module")
def rows(catalogue: Catalogue) -> list[list[str]]:
    text = gzip.decompress(catalogue.wit.read_bytes()).decode(errors="replace")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter="\t"))


def about(catalogue: Catalogue) -> dict:
    return json.loads((catalogue.folder / "catalogue.json").read_text("utf-8"))


def test_there_are_about_250_images_of_all_six_types(catalogue: Catalogue) -> None:
    assert 230 <= about(catalogue)["selected"] <= 270
    types = Counter(path.suffix.lower() for path in (catalogue.folder / "originals").iterdir())
    assert {".jpg", ".jpeg", ".png", ".gif", ".tif", ".tiff", ".webp", ".svg"} <= set(types)
    assert min(types[".gif"], types[".tiff"] + types[".tif"], types[".webp"], types[".svg"]) >= 5


def test_every_outcome_of_a_fetch_and_of_a_decision_occurs(catalogue: Catalogue) -> None:
    later = {Outcome.TAKEN_DOWN}  # by a list that the operator keeps
    assert set(about(catalogue)["expected"].values()) | {Outcome.RELEASED} == set(Outcome) - later


def test_it_is_the_same_every_time_also_after_an_interruption_and_over_an_old_one(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    folder, partial = tmp_path / "demo", tmp_path / "demo.partial"
    (partial / "originals").mkdir(parents=True)
    (partial / "originals" / "half.jpg").write_bytes(b"")
    folder.mkdir()
    (folder / "catalogue.json").write_text('{"made_by": "pipelines.demo.catalogue 0"}')
    again = make_catalogue(folder)
    assert not partial.exists()
    made, known = ({path.relative_to(root) for path in root.rglob("*")} for root in (folder, catalogue.folder))
    assert made == known
    for file in filter(lambda file: (folder / file).is_file(), made):
        assert (folder / file).read_bytes() == (catalogue.folder / file).read_bytes(), file
    before = (folder / "catalogue.json").stat().st_mtime_ns
    assert make_catalogue(folder) == again
    assert (folder / "catalogue.json").stat().st_mtime_ns == before, "it is made once"


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds something else"):
        make_catalogue(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_names_are_as_awkward_as_real_ones(images: list[DemoImage]) -> None:
    names = [image.name for image in images]
    assert len(set(names)) == len(names)
    assert all(file_name(name) == name for name in names)
    letters = "".join(names)
    for some in ("ã", "猫", "Кошка", "قطة", "(", ",", "'", "&", "!", "?", "–"):
        assert some in letters, some
    assert any(len(name.encode()) > 160 for name in names)


def test_large_faces_are_above_a_tenth_of_the_picture_and_small_ones_below(images: list[DemoImage]) -> None:
    trained = files("skimage.data") / "lbpcascade_frontalface_opencv.xml"
    cascade = Cascade(str(trained))
    portraits = [image for image in images if image.subject is ASTRONAUT and image.available]
    large = 0
    for image in portraits:
        pixels = decode_rgb(release_picture(image.data or b"").data)
        found = cascade.detect_multi_scale(pixels, 1.1, 1, min_size=(50, 50), max_size=(300, 300))
        share = max(face["width"] * face["height"] for face in found) / (pixels.shape[0] * pixels.shape[1])
        assert (share > 0.10) == ("portrait" in image.name), image.name
        large += share > 0.10
    assert (large, len(portraits)) == (12, 20)


def test_deletion_candidates_are_marked_in_every_way(catalogue: Catalogue) -> None:
    wiki, said = Wiki(catalogue.folder), about(catalogue)
    dated = ["Deletion requests November 2026", "Media missing permission as of 5 November 2026"]
    marked = {title for title, outcome in said["expected"].items() if outcome == Outcome.DELETION_CANDIDATE}
    in_categories = {
        title
        for category in ("Copyright violations", "Duplicate", *dated)
        for title in wiki.members(category, ["file"])
    }
    assert {name_of(title) for title in in_categories} <= {name_of(title) for title in marked}
    (transcluding,) = wiki.transcluding("Delete")
    assert name_of(transcluding) in {name_of(title) for title in marked}
    assert wiki.members("Deletion requests", ["subcat"]) == ["Category:Deletion requests November 2026"]
    assert "Category:Media missing permission" in wiki.members(dated[1], ["subcat"]), "a circle"


def test_licences_and_authors_vary_and_one_is_hostile(catalogue: Catalogue) -> None:
    licences = about(catalogue)["licences"].values()
    assert len({licence["LicenseShortName"] for licence in licences}) >= 5
    assert any("LicenseUrl" not in licence for licence in licences)
    assert any("<script>" in licence["Artist"] for licence in licences)


def test_what_is_expected_of_the_files_is_what_they_are(catalogue: Catalogue) -> None:
    expected, wiki = about(catalogue)["expected"], Wiki(catalogue.folder)
    assert any(about(catalogue)["redirects"])
    for title, outcome in expected.items():
        data = wiki.read(wiki.target(name_of(title)))
        if outcome in (Outcome.MISSING, Outcome.NOT_ON_COMMONS):
            assert data is None, title
        elif outcome == Outcome.UNDECODABLE:
            with pytest.raises(Undecodable):
                release_picture(data or b"")
        elif outcome == Outcome.UNSUPPORTED_TYPE:
            with pytest.raises(UnsupportedType):
                release_picture(data or b"")


def test_every_file_is_served_and_every_thumbnail_drawn(catalogue: Catalogue) -> None:
    without = (Outcome.UNDECODABLE, Outcome.UNSUPPORTED_TYPE)
    no_picture = {name_of(title) for title, outcome in about(catalogue)["expected"].items() if outcome in without}
    wiki = Wiki(catalogue.folder)
    media, drawn = Media(wiki), Counter[str]()
    for name in sorted(wiki.names - no_picture):
        info = wiki.info(name)
        assert info is not None
        assert info.width > 0, name
        if info.width >= 330 or info.mime == "image/svg+xml":
            reply = media.answer(thumbnail_path(name, 330))
            assert reply.status == (503 if wiki.unavailable(name) else 200), (name, reply.body)
            if reply.status == 200:
                assert Image.open(io.BytesIO(reply.body)).width == 330
                drawn[reply.content_type] += 1
    assert drawn.keys() == {"image/jpeg", "image/png", "image/gif"}


class TestRows:
    def test_the_header_is_wits(self, rows: list[list[str]]) -> None:
        assert tuple(rows[0]) == WIT_COLUMNS

    def test_three_rows_are_none(self, rows: list[list[str]]) -> None:
        width = WIT_COLUMNS.index("original_width")
        bad = [row for row in rows[1:] if len(row) != 17 or not row[width].isdigit() or "\ufffd" in "".join(row)]
        assert len(bad) == BAD_ROWS

    def test_they_name_all_images_in_several_spellings(self, rows: list[list[str]], catalogue: Catalogue) -> None:
        spellings = defaultdict(set)
        for row in rows[1:-BAD_ROWS]:
            if url := row[2]:
                spellings[parse_image_url(url)].add(url)
        captioned = {
            parse_image_url(row[2]) for row in rows[1:-BAD_ROWS] if row[2] and row[6].strip() and row[6] != "\u00a0"
        }
        assert len(captioned) == about(catalogue)["selected"]
        assert len(spellings) > len(captioned), "some images have no caption at all"
        assert sum(len(urls) > 1 for urls in spellings.values()) > 50
        urls = set().union(*spellings.values())
        assert any(url.startswith("http://") for url in urls)
        assert any(not url.isascii() for url in urls)
        assert any("%" in url for url in urls)

    def test_the_raw_formats_quirks_are_there(self, rows: list[list[str]]) -> None:
        good = rows[1:-BAD_ROWS]
        fields = [field for row in good for field in row]
        assert any("\n" in field for field in fields)
        assert any("\t" in field for field in fields)
        assert any('"' in field for field in fields)
        assert any(row[6] == "\u00a0" for row in good)
        assert sum(not row[2] for row in good) == 3
        assert len({row[0] for row in good}) == 6
        assert {row[12] for row in good} == {"true", "false"}
