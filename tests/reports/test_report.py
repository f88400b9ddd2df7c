"""The report of a small release over real pictures: what it says, what it never shows, and that it is one file."""

import base64
import hashlib
import re
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.engine.step import Context, release_path, shard_keys, table_path
from pipelines.releases.reader import open_release
from pipelines.releases.versions import context_of, run_path
from pipelines.reports.report import REPORT, write_report
from pipelines.reports.report_groups import groups
from pipelines.reports.report_plots import bars, histogram
from pipelines.storage.store import Store
from pipelines.tables import KEY, NEAR_DUPLICATES, Outcome

MARKUP = "<b onclick='x'>$a$ & b</b>"


@pytest.fixture(scope="module")
def context(published: Context, tmp_path_factory: pytest.TempPathFactory) -> Context:
    folder = tmp_path_factory.mktemp("report") / "store"
    shutil.copytree(published.store.url, folder)
    context = context_of(Store(str(folder)), published.version)
    write_report(context)
    return context


def report(context: Context) -> str:
    return Path(context.store.locate(release_path(context.version, REPORT))).read_text("utf-8")


def words(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


def test_the_funnel_ends_at_the_ledgers_number(context: Context) -> None:
    ledger = list(open_release(context.store.locate(f"releases/{context.version}")).ledger())
    released = sum(row["outcome"] == Outcome.RELEASED for row in ledger)
    text = words(report(context))
    assert f"images considered {len(ledger):,} 100.0%" in text
    assert f"no large face: released {released:,} {released / len(ledger):.1%}" in text


def test_the_same_release_has_the_same_report(context: Context) -> None:
    before = report(context)
    write_report(context)
    assert report(context) == before


def test_times_are_told_beside_the_release_and_not_in_it(context: Context) -> None:
    making = Path(context.store.locate(run_path(context.version, REPORT))).read_text("utf-8")
    assert "Seconds of each stage" in making
    assert "Seconds of each stage" not in report(context)


def test_every_picture_shown_is_one_that_is_released(context: Context) -> None:
    sums = {
        row["image_sha256"]: row
        for row in open_release(context.store.locate(f"releases/{context.version}")).ledger([Outcome.RELEASED])
    }
    page = report(context)
    shown = [base64.b64decode(found) for found in re.findall(r'src="data:image/\w+;base64,([^"]+)"', page)]
    assert len(shown) == len(sums) > 0
    assert {hashlib.sha256(picture).hexdigest() for picture in shown} == set(sums)
    for row in sums.values():
        assert row["licence"] in unescape(page)
        assert row["commons_name"].replace("_", " ") in unescape(page)


def test_pictures_that_look_alike_stand_side_by_side_and_dropped_ones_do_not(context: Context) -> None:
    ledger = list(open_release(context.store.locate(f"releases/{context.version}")).ledger())
    first, second, third = (row for row in [row for row in ledger if row["outcome"] == Outcome.RELEASED][:3])
    dropped = next(row for row in ledger if row["outcome"] == Outcome.DELETION_CANDIDATE)
    alike = [(second, first), (dropped, first), (dropped, third)]
    rows = [{KEY: one[KEY], "near_duplicate_of": other[KEY]} for one, other in alike]
    path = table_path(NEAR_DUPLICATES.name, shard_keys(context)[0])
    whole = Path(context.store.locate(path)).read_bytes()
    try:
        with context.store.write(path) as written:
            pq.write_table(pa.Table.from_pylist(rows, NEAR_DUPLICATES.schema), pa.PythonFile(written.file, mode="w"))
        (group,) = groups(context)
    finally:
        with context.store.write(path) as written:
            written.file.write(whole)
    assert [picture.title for picture in group] == [row["commons_name"].replace("_", " ") for row in (first, second)]


def test_it_is_one_file_below_5_mb_that_loads_nothing(context: Context) -> None:
    page = report(context)
    assert len(page.encode()) < 5_000_000
    assert len(re.findall("<svg ", page)) >= 6
    assert not re.search(r"<(script|link|iframe|object)\b", page)
    assert all(source.startswith("data:") for source in re.findall(r'\bsrc="([^"]*)"', page))
    assert not re.search(r"url\((?!#)", page)


def test_every_plot_and_picture_is_told_in_words_and_no_name_stands_twice(context: Context) -> None:
    page = report(context)
    assert page.count("<svg ") == len(re.findall(r'<svg [^>]*role="img" aria-label="[^"]{20,}"', page))
    assert all(re.findall(r'<img [^>]*alt="([^"]*)"', page))
    names = re.findall(r'\bid="([^"]*)"', page)
    assert len(names) == len(set(names))


def test_labels_are_text_whatever_they_hold() -> None:
    svg = bars("licences", MARKUP, [MARKUP], [1.0], [MARKUP])
    assert "<b" not in svg
    assert svg.count("onclick='x'>") == 0
    assert MARKUP in unescape(svg)


@pytest.mark.parametrize("values", [[], [0.0], [1.0, 1.0], [0.05, 0.1, 0.2]])
def test_plots_of_few_numbers_are_drawn(values: list[float]) -> None:
    svg = histogram("faces", "alt text", np.array(values), "share", threshold=0.1)
    assert "threshold 10%" in svg
    assert "var(--bad)" in svg
    assert "#01020" not in svg
    assert "<svg" in bars("nothing", "alt text", [], [], [])
