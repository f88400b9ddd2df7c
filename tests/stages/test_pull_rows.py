"""pull_rows: which images are selected, what is kept of them, and what bad input gets."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from aiohttp import web
from distributed import Client

from pipelines import pulled
from pipelines.commons.names import partition_of
from pipelines.engine.run import run_step
from pipelines.engine.step import Context
from pipelines.errors import StageFailed, StoreError
from pipelines.stages.pull_rows import STEPS
from pipelines.storage.store import Store
from pipelines.tables import IMAGES, WIT_COLUMNS
from tests.commons.server import serving
from tests.stages.making import context, read_rows, read_table, url_of, write_wit

CAPTION = "caption_reference_description"


def pull(client: Client, context: Context) -> list[dict[str, int]]:
    return [run_step(client, context, step).counts for step in STEPS]


def test_an_image_with_a_caption_in_any_row_is_selected_with_all_its_rows(
    client: Client, store: Store, tmp_path: Path
) -> None:
    first = write_wit(
        tmp_path / "a.tsv.gz",
        {"image_url": url_of("A.jpg"), "language": "en", CAPTION: "A letter"},
        {"image_url": url_of("A.jpg"), "language": "de"},
        {"image_url": url_of("B.jpg"), "language": "en"},
        {"image_url": url_of("C.jpg"), "language": "en", CAPTION: "\u00a0\u3000 "},
        {"language": "en", CAPTION: "no image"},
    )
    second = write_wit(tmp_path / "b.tsv", {"image_url": url_of("B.jpg"), "language": "fr", CAPTION: "Une lettre"})
    this = context(store, first, second)
    dealt, selected = pull(client, this)
    assert dealt == {"rows_malformed": 0, "rows_read": 6, "rows_without_image_url": 1}
    assert selected == {"rows_of_selected_images": 4}
    rows = [(row["image_url"], row["language"]) for row in read_rows(this).to_pylist()]
    assert set(rows) == {
        (url_of("A.jpg"), "de"),
        (url_of("A.jpg"), "en"),
        (url_of("B.jpg"), "en"),
        (url_of("B.jpg"), "fr"),
    }
    assert len(rows) == 4
    assert sorted(read_table(this, IMAGES).column("name").to_pylist()) == ["A.jpg", "B.jpg"]


def test_the_operator_is_named_to_the_server_of_wit_files(client: Client, store: Store, tmp_path: Path) -> None:
    written = write_wit(tmp_path / "a.tsv.gz", {"image_url": url_of("A.jpg"), CAPTION: "A letter"})

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.FileResponse(written)

    with serving(answer) as server:
        this = context(store, f"{server.url}/a.tsv.gz", operator_contact="me@institute.example")
        pull(client, this)
    assert {seen.headers["User-Agent"] for seen in server.log.requests} == {this.config.commons().user_agent}


def test_every_cell_is_read_back_as_it_stood(client: Client, store: Store, tmp_path: Path) -> None:
    texts = {name: f'{name}: \x00 \x1f ÿþ 日本 "quoted"\tin two\nlines \ufffd' for name in WIT_COLUMNS}
    empty = dict.fromkeys(WIT_COLUMNS, "")
    typed = {
        **{"image_url": url_of("A.jpg"), "original_height": "600", "original_width": "0", "is_main_image": "true"},
        **{"attribution_passes_lang_id": "False", "page_changed_recently": "TRUE"},
    }
    rows = [texts | typed, empty | {"image_url": url_of("A.jpg")}]
    quoted = [{name: '"' + cell.replace('"', '""') + '"' for name, cell in row.items()} for row in rows]
    this = context(store, write_wit(tmp_path / "a.tsv", *quoted))
    pull(client, this)
    expected: list[dict[str, object]] = [
        {name: cell or None for name, cell in row.items() if name != "image_url"}
        | {"image_url": url_of("A.jpg"), "wit_image_url": url_of("A.jpg")}
        for row in rows
    ]
    expected[0] |= {"original_height": 600, "original_width": 0, "is_main_image": True}
    expected[0] |= {"attribution_passes_lang_id": False, "page_changed_recently": True}
    found = read_rows(this).to_pylist()
    assert sorted(found, key=lambda row: row["language"] is None) == expected


def test_every_spelling_of_a_url_is_the_same_image(client: Client, store: Store, tmp_path: Path) -> None:
    encoded = url_of("Crème_brûlée.jpg")
    spellings = [
        encoded,
        encoded.replace("https", "http"),
        encoded.replace("%C3%A8", "è").replace("%C3%BB", "û").replace("%C3%A9", "é"),
        encoded + "?utm_source=wit",
    ]
    path = write_wit(tmp_path / "a.tsv", *[{"image_url": url, CAPTION: "Dessert"} for url in spellings])
    this = context(store, path)
    pull(client, this)
    images = read_table(this, IMAGES).to_pylist()
    assert [(image["image_url"], image["name"], image["site"]) for image in images] == [
        (encoded, "Crème_brûlée.jpg", "commons")
    ]
    assert images[0]["metadata_url"] == "https://commons.wikimedia.org/wiki/File:Cr%C3%A8me_br%C3%BBl%C3%A9e.jpg"
    assert sorted(read_rows(this).column("wit_image_url").to_pylist()) == sorted(spellings)


def test_images_that_are_not_on_commons_are_kept_for_the_ledger(client: Client, store: Store, tmp_path: Path) -> None:
    local = "https://upload.wikimedia.org/wikipedia/en/a/a9/Example.jpg"
    elsewhere = "https://example.org/picture.jpg"
    path = write_wit(tmp_path / "a.tsv", *[{"image_url": url, CAPTION: "x"} for url in (local, elsewhere)])
    this = context(store, path)
    pull(client, this)
    sites = {image["image_url"]: image["site"] for image in read_table(this, IMAGES).to_pylist()}
    assert sites == {local: "en.wikipedia", elsewhere: None}


def test_every_row_is_in_the_partition_of_its_image(client: Client, store: Store, tmp_path: Path) -> None:
    names = [f"Picture_{number}.jpg" for number in range(50)]
    path = write_wit(tmp_path / "a.tsv", *[{"image_url": url_of(name), CAPTION: "x"} for name in names])
    this = context(store, path)
    pull(client, this)
    for index in range(4):
        with store.open(f"work/images/part-{index:05d}.parquet") as file:
            found = pq.read_table(file).to_pylist()
        assert {partition_of(image["name"], 4) for image in found} <= {index}
        assert [image["image_url"] for image in found] == sorted(image["image_url"] for image in found)


@pytest.mark.parametrize("ranges", [128, 1])
def test_a_crowded_partition_is_sorted_range_by_range_and_loses_nothing(
    ranges: int, client: Client, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulled, "_RANGES", ranges)  # at most; then they are larger
    count = pulled._RANGE_IMAGES + 500
    rows = [
        {"image_url": url_of(f"P{number}.jpg"), "language": language, **caption}
        for language, caption in (("nn", {}), ("cy", {CAPTION: "x"}))
        for number in range(count)
    ]
    this = context(store, write_wit(tmp_path / "a.tsv", *rows), partitions=1)
    pull(client, this)
    found = read_rows(this).select(["image_url", "language"]).to_pylist()
    assert [tuple(row.values()) for row in found] == sorted((row["image_url"], row["language"]) for row in rows)
    assert read_table(this, IMAGES).column("image_url").to_pylist() == sorted({row["image_url"] for row in rows})


def test_bad_rows_are_quarantined_with_file_and_line(client: Client, store: Store, tmp_path: Path) -> None:
    good = {"image_url": url_of("A.jpg"), CAPTION: "x"}
    path = write_wit(tmp_path / "a.tsv", good, b"one\ttwo", good | {"original_width": "wide"})
    this = context(store, path, max_bad_rows_share=0.9)
    dealt, _ = pull(client, this)
    assert (dealt["rows_read"], dealt["rows_malformed"]) == (3, 2)
    quarantined = store.read_json("work/quarantine/file-00000.json")
    assert [(row["file"], row["line"], row["reason"]) for row in quarantined] == [
        (path, 3, "2 columns instead of 17"),
        (path, 4, "original_width: 'wide' is no number"),
    ]


def test_too_many_bad_rows_stop_the_run_and_say_where_they_are(client: Client, store: Store, tmp_path: Path) -> None:
    path = write_wit(tmp_path / "a.tsv", b"one\ttwo", b"one")
    with pytest.raises(
        StageFailed, match=r"a\.tsv: 2 of 2 rows are malformed.*line 2: 2 columns.*quarantine/file-00000"
    ):
        pull(client, context(store, path))
    assert len(json.loads((Path(store.url) / "work/quarantine/file-00000.json").read_text())) == 2
    assert not store.files("work/pulled")


def test_a_missing_file_is_named(client: Client, store: Store, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"no\.tsv\.gz is not there"):
        pull(client, context(store, str(tmp_path / "no.tsv.gz")))


def test_a_file_that_has_no_rows_or_none_of_an_image_gives_none(client: Client, store: Store, tmp_path: Path) -> None:
    header_only = write_wit(tmp_path / "a.tsv.gz")
    no_urls = write_wit(tmp_path / "b.tsv.gz", {"language": "en", CAPTION: "no image"})
    this = context(store, header_only, no_urls)
    assert pull(client, this)[0] == {"rows_malformed": 0, "rows_read": 1, "rows_without_image_url": 1}
    assert read_table(this, IMAGES).num_rows == read_rows(this).num_rows == 0


def test_only_a_wit_file_that_changed_is_read_again(client: Client, store: Store, tmp_path: Path) -> None:
    first = write_wit(tmp_path / "a.tsv", {"image_url": url_of("A.jpg"), CAPTION: "x"})
    second = write_wit(tmp_path / "b.tsv", {"image_url": url_of("B.jpg"), CAPTION: "x"})
    this = context(store, first, second)
    pull(client, this)
    write_wit(tmp_path / "b.tsv", {"image_url": url_of("B.jpg"), CAPTION: "another caption"})
    summaries = [run_step(client, this, step) for step in STEPS]
    assert [summary.skipped for summary in summaries] == [1, 0]


def test_files_that_a_killed_run_replaced_are_not_taken_for_those_of_the_run_before(
    client: Client, store: Store, tmp_path: Path
) -> None:
    names = [f"Picture_{number}.jpg" for number in range(50)]
    path = write_wit(tmp_path / "a.tsv", *[{"image_url": url_of(name), CAPTION: "x"} for name in names])
    this = context(store, path)
    pull(client, this)
    rows = read_rows(this)
    replaced = Path(store.url, "work/pulled/file-00000.rows/part-00002.arrow")
    before = replaced.read_bytes()
    replaced.unlink()
    replaced.mkdir()  # where no file can be put: here the next run ends, in the middle of its files
    with pytest.raises(StageFailed, match="cannot write"):
        pull(client, context(store, path, max_rows=20))
    replaced.rmdir()
    replaced.write_bytes(before)
    pull(client, this)
    assert read_rows(this) == rows


def digests(this: Context) -> dict[str, str]:
    images = read_table(this, IMAGES)
    return dict(zip(*(images.column(name).to_pylist() for name in ("image_url", "wit_rows_sha256")), strict=True))


def test_what_the_rows_say_does_not_depend_on_how_files_are_cut(client: Client, store: Store, tmp_path: Path) -> None:
    same = {"image_url": url_of("A.jpg"), "language": "en", "page_url": "p", CAPTION: "x"}
    rows = [same | {"context_page_description": text} for text in ("one", "two", "three")]
    rows += [{"image_url": url_of("B.jpg"), "language": language, CAPTION: "y"} for language in ("cy", "ak")]
    whole = context(store, write_wit(tmp_path / "whole.tsv", *rows))
    pull(client, whole)
    halves = [write_wit(tmp_path / "b.tsv", *reversed(rows[2:])), write_wit(tmp_path / "a.tsv", *reversed(rows[:2]))]
    cut = context(Store(str(tmp_path / "other")), *halves)
    pull(client, cut)
    assert read_rows(cut) == read_rows(whole)
    assert digests(cut) == digests(whole)


def test_another_cell_is_another_digest_of_that_image_alone(client: Client, store: Store, tmp_path: Path) -> None:
    rows = [{"image_url": url_of(name), CAPTION: "x", "page_title": "y"} for name in ("A.jpg", "B.jpg")]
    this = context(store, write_wit(tmp_path / "a.tsv", *rows))
    pull(client, this)
    before = digests(this)
    for changed in ({"page_title": ""}, {"section_title": "y", "page_title": ""}, {"is_main_image": "true"}):
        write_wit(tmp_path / "a.tsv", rows[0] | changed, rows[1])
        pull(client, this)
        now = digests(this)
        assert {url for url in now if now[url] != before[url]} == {url_of("A.jpg")}
        before = now


def test_rows_that_were_removed_are_named_with_the_way_out(client: Client, store: Store, tmp_path: Path) -> None:
    this = context(store, write_wit(tmp_path / "a.tsv", {"image_url": url_of("A.jpg"), CAPTION: "x"}))
    pull(client, this)
    (rows,) = [path for path in store.files("work/pulled") if path.endswith(".arrow") and ".rows/" in path]
    store.remove(rows)
    with pytest.raises(StoreError, match=rf"{rows} is not there any more: remove work/pulled/file-00000\.parquet"):
        read_rows(this)
    store.remove("work/pulled/file-00000.parquet")
    pull(client, this)
    assert read_rows(this).num_rows == 1
