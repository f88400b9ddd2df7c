"""A catalogue of planted faults, one at a time: each is caught by the expectations meant for it, and by no other.

The table `FAULTS` shows fault → expectations. A fault in the content is planted before the files are written, so that
checksums agree with it; damage to a file is done afterwards, behind the program's back.
"""

import gzip
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.engine.step import shard_keys
from pipelines.quality.collected import collect, measurements_path
from pipelines.quality.judging import judge
from pipelines.quality.measured import File, Image, Language, as_tables
from pipelines.quality.verdict import Verdict
from pipelines.releases import joined, shards
from pipelines.removals.takedowns import add_takedown
from pipelines.storage.store import Store
from pipelines.tables import KEY, LEDGER, MEASUREMENTS, Outcome
from tests.quality.small_release import SmallRelease, picture

PIXELS_0 = shards.image_shard("part-00000")
EMBEDDINGS_0 = shards.embedding_shard("part-00000")
CAPTIONS_0 = shards.caption_shard("part-00000")
JOINED_0 = joined.shard("part-00000")
LEDGER_0 = shards.ledger_shard("part-00000")


def judged(release: SmallRelease) -> Verdict:
    release.measure()
    collect(release.context, shard_keys(release.context))
    return judge(release.context, data_docs=False)


def failed(verdict: Verdict) -> set[str]:
    return {judgement.name for judgement in verdict.expectations if not judgement.success}


def released(release: SmallRelease, place: int = 0) -> dict[str, Any]:
    """Return the ledger row of a released picture of the first partition."""
    url = release.shown[0][place].url
    return next(row for row in release.ledger[0] if row[KEY] == url)


def replace_picture(release: SmallRelease, data: bytes) -> None:
    """Release another picture, with a ledger that knows it."""
    release.shown[0][0].image = data
    released(release)["image_sha256"] = hashlib.sha256(data).hexdigest()


# Faults in what is written


def duplicate_url_across_shards(release: SmallRelease) -> None:
    release.shown[1].append(release.shown[0][0])
    release.shown[1].sort(key=lambda line: line.url)


def duplicate_line_in_a_shard(release: SmallRelease) -> None:
    release.shown[0].insert(0, release.shown[0][0])


def picture_lost(release: SmallRelease) -> None:
    release.embedded = [[(line.url, line.embedding) for line in lines] for lines in release.shown]
    del release.shown[0][1]


def dropped_picture_released(release: SmallRelease) -> None:
    released(release).update(outcome=Outcome.FACE, image_sha256=None)
    release.captions[0] = [row for row in release.captions[0] if row[KEY] != release.shown[0][0].url]


def unsorted_shard(release: SmallRelease) -> None:
    release.embedded = [[(line.url, line.embedding) for line in lines] for lines in release.shown]
    release.shown[0].reverse()


def wider_picture(release: SmallRelease) -> None:
    release.settings["image_width"] = 200
    replace_picture(release, picture(201, round(201 * 2 / 3)))
    released(release).update(fetched_width=330, fetched_height=220)
    for number, line in enumerate(release.shown[0] + release.shown[1]):
        if number:
            line.image = picture(200, 100)
            row = next(row for row in release.ledger[0] + release.ledger[1] if row[KEY] == line.url)
            row.update(fetched_width=250, fetched_height=125, original_width=500, original_height=250)
            row["image_sha256"] = hashlib.sha256(line.image).hexdigest()


def picture_of_301_pixels(release: SmallRelease) -> None:
    replace_picture(release, picture(301, 201))
    released(release).update(fetched_width=330, fetched_height=220, original_width=660, original_height=440)


def enlarged_picture(release: SmallRelease) -> None:
    replace_picture(release, picture(300, 150))
    released(release).update(fetched_width=250, fetched_height=125, original_width=250, original_height=125)


def enlarged_drawing(release: SmallRelease) -> None:
    replace_picture(release, picture(300, 150))
    released(release).update(fetched_width=330, fetched_height=165, original_width=250, original_height=125)


def stretched_picture(release: SmallRelease) -> None:
    replace_picture(release, picture(300, 210))
    released(release).update(fetched_width=330, fetched_height=220, original_width=660, original_height=440)


def picture_of_an_earlier_version(release: SmallRelease) -> None:
    replace_picture(release, picture(300, 200))
    released(release).update(fetched_width=330, fetched_height=220, original_width=660, original_height=600)


def gif_released(release: SmallRelease) -> None:
    row = released(release)
    replace_picture(
        release, picture(min(300, row["fetched_width"]), 125 if row["fetched_width"] == 250 else 200, "GIF")
    )


def no_picture_at_all(release: SmallRelease) -> None:
    replace_picture(release, b"this is no picture, but it is as long as one would have to be: 67 bytes or more")


def picture_cut_off(release: SmallRelease) -> None:
    replace_picture(release, release.shown[0][0].image[:-40])


def tiny_file(release: SmallRelease) -> None:
    replace_picture(release, b"")


def other_picture_than_the_ledgers(release: SmallRelease) -> None:
    line = release.shown[0][0]
    row = released(release)
    line.image = picture(min(300, row["fetched_width"]), 125 if row["fetched_width"] == 250 else 200, shade=200)


def page_of_another_file(release: SmallRelease) -> None:
    release.shown[0][0].page = release.shown[0][1].page


def uncanonical_url(release: SmallRelease) -> None:
    line = release.shown[0][-1]
    old, new = line.url, line.url.replace("%C3%B6", "ö")
    line.url = new
    for rows in (release.ledger[0], release.images[0], release.captions[0]):
        for row in rows:
            if row[KEY] == old:
                row[KEY] = new
        rows.sort(key=lambda row: row[KEY])


def image_in_another_partition(release: SmallRelease) -> None:
    url = release.shown[0][0].url
    for part in (release.shown, release.ledger, release.images, release.captions):
        moved = [row for row in part[0] if (row[KEY] if isinstance(row, dict) else row.url) == url]
        part[0] = [row for row in part[0] if row not in moved]
        part[1] = sorted([*part[1], *moved], key=lambda row: row[KEY] if isinstance(row, dict) else row.url)


def embeddings_swapped(release: SmallRelease) -> None:
    release.embedded = [[(line.url, line.embedding) for line in lines] for lines in release.shown]
    first, second, *rest = release.embedded[0]
    release.embedded[0] = [second, first, *rest]


def embedding_lost(release: SmallRelease) -> None:
    release.embedded = [[(line.url, line.embedding) for line in lines] for lines in release.shown]
    del release.embedded[0][1]


def nan_in_an_embedding(release: SmallRelease) -> None:
    release.shown[0][0].embedding[100] = np.nan


def infinity_in_an_embedding(release: SmallRelease) -> None:
    release.shown[0][0].embedding[100] = np.inf


def negative_feature(release: SmallRelease) -> None:
    release.shown[0][0].embedding[5] = -0.25


def constant_embedding(release: SmallRelease) -> None:
    release.shown[0][0].embedding[:] = 0


def short_embedding(release: SmallRelease) -> None:
    release.shown[0][0].embedding = release.shown[0][0].embedding[:-1]


def caption_rows_lost(release: SmallRelease) -> None:
    url = release.shown[0][0].url
    release.captions[0] = [row for row in release.captions[0] if row[KEY] != url]


def blank_captions(release: SmallRelease) -> None:
    url = release.shown[0][0].url
    for row in release.captions[0]:
        if row[KEY] == url:
            row["caption_reference_description"] = "\u00a0"


def caption_of_a_dropped_image(release: SmallRelease) -> None:
    dropped = next(row for row in release.ledger[0] + release.ledger[1] if row["outcome"] != Outcome.RELEASED)
    shard = 0 if dropped in release.ledger[0] else 1
    release.captions[shard].append(release.captions[shard][0] | {KEY: dropped[KEY]})


def unknown_language(release: SmallRelease) -> None:
    release.captions[0][0]["language"] = "https://de.wikipedia.org/wiki/Ort"


def image_vanished_from_the_ledger(release: SmallRelease) -> None:
    release.ledger = [[row for row in rows if row["outcome"] != Outcome.FACE] for rows in release.ledger]


def two_outcomes(release: SmallRelease) -> None:
    for rows in release.ledger:
        rows += [row | {"outcome": Outcome.MISSING} for row in rows if row["outcome"] == Outcome.FACE]


def image_that_was_never_selected(release: SmallRelease) -> None:
    release.images[0] = [row for row in release.images[0] if row[KEY] != release.shown[0][0].url]


def unknown_outcome(release: SmallRelease) -> None:
    for row in release.ledger[0] + release.ledger[1]:
        if row["outcome"] == Outcome.FACE:
            row["outcome"] = "forgotten"


def no_outcome(release: SmallRelease) -> None:
    for row in release.ledger[0] + release.ledger[1]:
        if row["outcome"] == Outcome.FACE:
            row["outcome"] = None


def face_over_the_threshold(release: SmallRelease) -> None:
    released(release).update(face_ratio=0.1001, face_union=0.1001)


def faces_over_the_threshold_together(release: SmallRelease) -> None:
    release.settings["face_rule"] = "union"
    released(release)["face_union"] = 0.1001


def faces_never_measured(release: SmallRelease) -> None:
    released(release).update(face_ratio=None, face_union=None)


def candidate_released(release: SmallRelease) -> None:
    release.candidates[0].append({KEY: release.shown[0][0].url, "reason": "Category:Copyright violations"})


def removed_file_released(release: SmallRelease) -> None:
    add_takedown(release.store, released(release)["commons_name"], "asked for by mail", "subject")


def too_many_failed(release: SmallRelease) -> None:
    for row in release.ledger[0] + release.ledger[1]:
        if row["outcome"] == Outcome.FACE:
            row["outcome"] = Outcome.FETCH_FAILED


def too_many_undecodable(release: SmallRelease) -> None:
    for row in release.ledger[0] + release.ledger[1]:
        if row["outcome"] == Outcome.FACE:
            row["outcome"] = Outcome.UNDECODABLE


def nothing_released(release: SmallRelease) -> None:
    for row in release.ledger[0] + release.ledger[1]:
        row.update(outcome=Outcome.MISSING, image_sha256=None)
    release.shown = [[], []]
    release.captions = [[], []]


# Faults that only the release before shows


BEFORE = "2026.11.01"
SUM = np.sum([np.random.default_rng(number).random(2048, dtype=np.float32) for number in range(10)], axis=0)


def follow(
    release: SmallRelease, outcomes: dict[str, int], languages: dict[str, int] | None = None, total: np.ndarray = SUM
) -> None:
    """Let the release follow one of these numbers; its own are 10 released images, a face and a candidate."""
    release.base = BEFORE
    release.settings["drift_fewest_images"] = 10
    images = [Image(f"{outcome} {number}", outcome=outcome) for outcome, n in outcomes.items() for number in range(n)]
    rows = [Language(language, count) for language, count in (languages or {"de": 10, "nn": 10}).items()]
    file = File("resnet_embeddings/all", "", present=True, embedding_sum=total, embeddings_summed=len(images))
    with (
        release.store.write(measurements_path(BEFORE)) as written,
        pq.ParquetWriter(pa.PythonFile(written.file, mode="w"), MEASUREMENTS.schema) as sink,
    ):
        for part in (images, rows, [file]):
            for table in as_tables(part, "part-00000"):  # type: ignore[arg-type]
                sink.write_table(table)


def thirty_percent_fewer_images(release: SmallRelease) -> None:
    follow(release, {"released": 14, "face": 2, "deletion_candidate": 1}, {"de": 14, "nn": 14})


def a_quarter_more_images(release: SmallRelease) -> None:
    follow(release, {"released": 8, "face": 1, "deletion_candidate": 1})
    release.settings["drift_fewest_images"] = 8


def more_faces_than_last_time(release: SmallRelease) -> None:
    follow(release, {"released": 11, "deletion_candidate": 1})


def language_gone(release: SmallRelease) -> None:
    follow(release, {"released": 10, "face": 1, "deletion_candidate": 1}, {"de": 10, "nn": 10, "is": 12})


def embeddings_of_another_network(release: SmallRelease) -> None:
    follow(release, {"released": 10, "face": 1, "deletion_candidate": 1}, total=SUM[::-1] ** 2)


# Damage to what was written


def rewrite(release: SmallRelease, path: str, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Change the lines of a shard, with a receipt that agrees."""
    lines = gzip.decompress(release.read(path)).splitlines(keepends=True)
    changed = change(lines)
    release.file(path, b"".join(changed), release.receipts[path]["rows"])


def truncated_base64(release: SmallRelease) -> None:
    def change(lines: list[bytes]) -> list[bytes]:
        url, encoded, page = lines[0].split(b"\t")
        return [b"\t".join((url, encoded[:-1], page)), *lines[1:]]

    rewrite(release, PIXELS_0, change)


def base64_cut_at_a_group(release: SmallRelease) -> None:
    def change(lines: list[bytes]) -> list[bytes]:
        url, encoded, page = lines[0].split(b"\t")
        return [b"\t".join((url, encoded[:-40], page)), *lines[1:]]

    rewrite(release, PIXELS_0, change)


def column_missing(release: SmallRelease) -> None:
    rewrite(release, PIXELS_0, lambda lines: [lines[0].rsplit(b"\t", 1)[0] + b"\n", *lines[1:]])


def word_among_the_numbers(release: SmallRelease) -> None:
    rewrite(release, EMBEDDINGS_0, lambda lines: [lines[0].replace(b",", b",half,", 1), *lines[1:]])


def other_header(release: SmallRelease) -> None:
    rewrite(release, CAPTIONS_0, lambda lines: [lines[0].replace(b"is_main_image", b"main"), *lines[1:]])


def field_too_many(release: SmallRelease) -> None:
    rewrite(release, CAPTIONS_0, lambda lines: [lines[0], lines[1].rstrip(b"\n") + b"\tmore\n", *lines[2:]])


def row_lost_in_a_file(release: SmallRelease) -> None:
    rewrite(release, CAPTIONS_0, lambda lines: lines[:-1])


def missing_shard(release: SmallRelease) -> None:
    release.remove(PIXELS_0)


def foreign_file(release: SmallRelease) -> None:
    release.overwrite(shards.image_shard("part-00002"), b"a copy")


def byte_changed_in_the_header(release: SmallRelease) -> None:
    data = bytearray(release.read(PIXELS_0))
    data[9] ^= 0xFF  # the operating system in the gzip header: the content is the same
    release.overwrite(PIXELS_0, bytes(data))


def byte_changed_in_the_middle(release: SmallRelease) -> None:
    data = bytearray(release.read(EMBEDDINGS_0))
    data[len(data) // 2] ^= 0xFF
    release.overwrite(EMBEDDINGS_0, bytes(data))


def gzip_cut_off(release: SmallRelease) -> None:
    release.overwrite(PIXELS_0, release.read(PIXELS_0)[:-30])


def caption_file_cut_off(release: SmallRelease) -> None:
    release.overwrite(CAPTIONS_0, release.read(CAPTIONS_0)[:-30])


def shard_is_no_gzip(release: SmallRelease) -> None:
    data = release.read(EMBEDDINGS_0)
    release.overwrite(EMBEDDINGS_0, b"x" * len(data))


def ledger_damaged(release: SmallRelease) -> None:
    data = bytearray(release.read(LEDGER_0))
    data[-20:-4] = b"\xff" * 16
    release.overwrite(LEDGER_0, bytes(data))


def ledger_without_a_column(release: SmallRelease) -> None:
    table = pa.Table.from_pylist(release.ledger[0], schema=LEDGER.schema).drop_columns("outcome")
    release.parquet(LEDGER_0, table)


def rewrite_joined(release: SmallRelease, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """Change the rows of a joined file, with a receipt that agrees."""
    rows = pq.read_table(io.BytesIO(release.read(JOINED_0))).to_pylist()
    release.parquet(JOINED_0, pa.Table.from_pylist(change(rows), schema=joined.SCHEMA))


def row_lost_in_a_joined_file(release: SmallRelease) -> None:
    rewrite_joined(release, lambda rows: rows[1:])


def row_twice_in_a_joined_file(release: SmallRelease) -> None:
    rewrite_joined(release, lambda rows: [rows[0], *rows])


def unsorted_joined_file(release: SmallRelease) -> None:
    rewrite_joined(release, lambda rows: rows[::-1])


def other_picture_in_a_joined_file(release: SmallRelease) -> None:
    rewrite_joined(release, lambda rows: [rows[0] | {"image": rows[1]["image"]}, *rows[1:]])


def embeddings_shifted_in_a_joined_file(release: SmallRelease) -> None:
    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        shifted = [row["embedding"] for row in rows[1:] + rows[:1]]
        return [row | {"embedding": vector} for row, vector in zip(rows, shifted, strict=True)]

    rewrite_joined(release, change)


def joined_file_without_a_column(release: SmallRelease) -> None:
    release.parquet(JOINED_0, pq.read_table(io.BytesIO(release.read(JOINED_0))).drop_columns("licence"))


def joined_file_damaged(release: SmallRelease) -> None:
    data = bytearray(release.read(JOINED_0))
    data[-20:-4] = b"\xff" * 16
    release.overwrite(JOINED_0, bytes(data))


@dataclass(frozen=True)
class Fault:
    caught_by: set[str]
    plant: Callable[[SmallRelease], None] | None = None
    damage: Callable[[SmallRelease], None] | None = None

    def __str__(self) -> str:
        return (self.plant or self.damage).__name__  # type: ignore[union-attr]


FAULTS = [
    Fault(
        {"rows.image_in_one_partition", "rows.image_in_its_partition", "pixels.lines_as_ledger"},
        plant=duplicate_url_across_shards,
    ),
    Fault({"pixels.lines_as_ledger"}, plant=duplicate_line_in_a_shard),
    Fault({"pixels.lines_as_ledger", "embeddings.lines_as_pixels"}, plant=picture_lost),
    Fault({"pixels.lines_as_ledger"}, plant=dropped_picture_released),
    Fault({"pixels.sorted"}, plant=unsorted_shard),
    Fault({"pixels.width", "pixels.width_within_setting"}, plant=picture_of_301_pixels),
    Fault({"pixels.width", "pixels.width_within_setting"}, plant=wider_picture),
    Fault({"pixels.width"}, plant=enlarged_picture),
    Fault({"pixels.width"}, plant=enlarged_drawing),
    Fault({"pixels.aspect", "pixels.aspect_of_original"}, plant=stretched_picture),
    Fault({"pixels.aspect_of_original"}, plant=picture_of_an_earlier_version),
    Fault({"pixels.jpeg_or_png"}, plant=gif_released),
    Fault({"pixels.jpeg_or_png"}, plant=no_picture_at_all),
    Fault({"pixels.jpeg_or_png", "pixels.bytes"}, plant=tiny_file),
    Fault({"pixels.complete"}, plant=picture_cut_off),
    Fault({"pixels.as_ledger", "parquet.as_ledger"}, plant=other_picture_than_the_ledgers),
    Fault({"pixels.page_as_url"}, plant=page_of_another_file),
    Fault({"pixels.decodes"}, damage=truncated_base64),
    Fault({"pixels.complete", "pixels.as_ledger"}, damage=base64_cut_at_a_group),
    Fault({"pixels.decodes"}, damage=column_missing),
    Fault({"rows.url_canonical"}, plant=uncanonical_url),
    Fault({"rows.image_in_its_partition"}, plant=image_in_another_partition),
    Fault({"rows.language_known"}, plant=unknown_language),
    Fault({"embeddings.sorted"}, plant=embeddings_swapped),
    Fault({"embeddings.lines_as_pixels"}, plant=embedding_lost),
    Fault({"embeddings.finite"}, plant=nan_in_an_embedding),
    Fault({"embeddings.finite"}, plant=infinity_in_an_embedding),
    Fault({"embeddings.not_negative"}, plant=negative_feature),
    Fault({"embeddings.not_constant"}, plant=constant_embedding),
    Fault({"embeddings.dimensions"}, plant=short_embedding),
    Fault({"embeddings.parses"}, damage=word_among_the_numbers),
    Fault({"captions.row_for_each_image", "captions.caption_for_each_image"}, plant=caption_rows_lost),
    Fault({"captions.caption_for_each_image"}, plant=blank_captions),
    Fault({"captions.no_other_images"}, plant=caption_of_a_dropped_image),
    Fault({"captions.header"}, damage=other_header),
    Fault({"captions.whole_rows"}, damage=field_too_many),
    Fault({"files.rows"}, damage=row_lost_in_a_file),
    Fault({"parquet.schema"}, damage=joined_file_without_a_column),
    Fault({"parquet.rows_as_ledger"}, damage=row_lost_in_a_joined_file),
    Fault({"parquet.rows_as_ledger"}, damage=row_twice_in_a_joined_file),
    Fault({"parquet.sorted"}, damage=unsorted_joined_file),
    Fault({"parquet.as_ledger"}, damage=other_picture_in_a_joined_file),
    Fault({"parquet.embedding_as_shard"}, damage=embeddings_shifted_in_a_joined_file),
    Fault({"files.checksum", "files.readable"}, damage=joined_file_damaged),
    Fault({"ledger.line_for_each_image"}, plant=image_vanished_from_the_ledger),
    Fault({"ledger.line_for_each_image"}, plant=two_outcomes),
    Fault({"ledger.only_selected"}, plant=image_that_was_never_selected),
    Fault({"ledger.outcome_known"}, plant=unknown_outcome),
    Fault({"ledger.outcome_known"}, plant=no_outcome),
    Fault({"ledger.face_threshold"}, plant=face_over_the_threshold),
    Fault({"ledger.face_threshold"}, plant=faces_over_the_threshold_together),
    Fault({"ledger.faces_measured"}, plant=faces_never_measured),
    Fault({"ledger.no_deletion_candidate"}, plant=candidate_released),
    Fault({"ledger.nothing_taken_down"}, plant=removed_file_released),
    Fault({"ledger.fetch_failed_share"}, plant=too_many_failed),
    Fault({"ledger.undecodable_share"}, plant=too_many_undecodable),
    Fault({"ledger.something_released"}, plant=nothing_released),
    Fault({"ledger.schema"}, damage=ledger_without_a_column),
    Fault({"drift.images"}, plant=thirty_percent_fewer_images),
    Fault({"drift.images"}, plant=a_quarter_more_images),
    Fault({"drift.outcomes"}, plant=more_faces_than_last_time),
    Fault({"drift.languages"}, plant=language_gone),
    Fault({"drift.mean_embedding"}, plant=embeddings_of_another_network),
    Fault({"files.present"}, damage=missing_shard),
    Fault({"files.no_other_files"}, damage=foreign_file),
    Fault({"files.checksum"}, damage=byte_changed_in_the_header),
    Fault({"files.checksum", "files.readable"}, damage=byte_changed_in_the_middle),
    Fault({"files.checksum", "files.readable", "files.size"}, damage=gzip_cut_off),
    Fault({"files.checksum", "files.readable", "files.size"}, damage=caption_file_cut_off),
    Fault({"files.checksum", "files.readable"}, damage=shard_is_no_gzip),
    Fault({"files.checksum", "files.readable"}, damage=ledger_damaged),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_planted_fault_is_caught_by_the_expectations_meant_for_it(fault: Fault, store: Store) -> None:
    release = SmallRelease(store)
    if fault.plant:
        fault.plant(release)
    release.write()
    if fault.damage:
        fault.damage(release)
    assert failed(judged(release)) == fault.caught_by


def test_an_undamaged_release_meets_every_expectation(store: Store) -> None:
    verdict = judged(SmallRelease(store).write())
    assert verdict.success
    assert failed(verdict) == set()
    assert verdict.compared_with == ""
    assert verdict.outcomes == {"deletion_candidate": 1, "face": 1, "released": 10}


def test_a_release_like_the_one_before_meets_every_expectation(store: Store) -> None:
    release = SmallRelease(store)
    follow(release, {"released": 10, "face": 1, "deletion_candidate": 1})
    verdict = judged(release.write())
    assert failed(verdict) == set()
    assert verdict.compared_with == BEFORE


def test_what_moved_is_told_with_both_numbers(store: Store) -> None:
    release = SmallRelease(store)
    language_gone(release)
    (warning,) = judged(release.write()).warnings
    assert dict(warning.examples[0]) == {
        "drift_of": "captions in language is",
        "before": 12,
        "now": 0,
        "language_moved": 1,
    }


def test_a_release_of_few_images_is_not_compared_with(store: Store) -> None:
    release = SmallRelease(store)
    thirty_percent_fewer_images(release)
    release.settings["drift_fewest_images"] = 15
    verdict = judged(release.write())
    assert failed(verdict) == set()
    assert verdict.compared_with == ""
    assert verdict.comparison == f"Not compared with release {BEFORE}, which it follows: it has too few images."


def test_what_a_release_is_compared_with_outlives_its_measurements(store: Store) -> None:
    first, second = SmallRelease(store, version=BEFORE), SmallRelease(store, base=BEFORE)
    judged(first.write())
    store.remove(measurements_path(BEFORE))  # as housekeeping does
    second.settings["drift_fewest_images"] = 10
    for captions in second.captions:
        captions[:] = [row for row in captions if row["language"] != "nn"]
    verdict = judged(second.write())
    assert failed(verdict) == {"drift.languages"}
    assert verdict.compared_with == BEFORE


def test_a_release_that_cannot_be_compared_says_so(store: Store) -> None:
    verdict = judged(SmallRelease(store, base=BEFORE).write())
    assert verdict.compared_with == ""
    assert verdict.comparison == (
        f"Not compared with release {BEFORE}, which it follows: nothing is kept of what was measured of it."
    )


def test_every_expectation_is_the_one_meant_for_some_fault(store: Store) -> None:
    """An expectation that no fault can fail is of no use: the size band alone needs more rows than these."""
    verdict = judged(SmallRelease(store).write())
    caught = set().union(*(fault.caught_by for fault in FAULTS))
    assert {judgement.name for judgement in verdict.expectations} - caught == {"files.size_band"}
