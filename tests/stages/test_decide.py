"""decide: one outcome for every image, in the order in which reasons count."""

from typing import Any

import pytest

from pipelines.commons.politeness import LocalLeases
from pipelines.engine.partition import make_partition
from pipelines.errors import StoreError
from pipelines.removals.takedowns import add_takedown
from pipelines.stages.decide import DECIDE
from pipelines.storage.store import Store
from pipelines.tables import CANDIDATES, DESCRIPTIONS, FACES, FETCHED, IMAGES, KEY, LEDGER, PIXELS, PURGED
from tests.stages.making import context, read_table, rows_of, url_of, write_table

SMALL = {"x0": 10.0, "y0": 10.0, "x1": 40.0, "y1": 40.0, "score": 0.99}  # 3 % of 300 × 100
LARGE = {"x0": 0.0, "y0": 0.0, "x1": 100.0, "y1": 40.0, "score": 0.95}  # 13.3 %
UNSURE = {**LARGE, "score": 0.6}


def decide(
    store: Store,
    *,
    status: str = FETCHED,
    faces: list[dict[str, float]] | None = None,
    candidate: str | None = None,
    title: str = "Picture.jpg",
    seen: str = "ab",
    **settings: object,
) -> dict[str, Any]:
    """Decide on one image, File:Picture.jpg, 300 × 100 pixels."""
    this = context(store, partitions=1, **settings)
    url = url_of("Picture.jpg")
    picture = {"width": 300, "height": 100, "bytes": 9, "sha256": "ab"} if status in (FETCHED, PURGED) else {}
    write_table(this, IMAGES, rows_of(IMAGES, [{KEY: url, "name": "Picture.jpg", "site": "commons"}]))
    write_table(this, DESCRIPTIONS, rows_of(DESCRIPTIONS, [{KEY: url, "exists": True, "title": title}]))
    write_table(this, PIXELS, rows_of(PIXELS, [{KEY: url, "status": status, "detail": "why", **picture}]))
    looked_at = {"sha256": seen, "faces": faces or []} if picture else {}
    write_table(this, FACES, rows_of(FACES, [{KEY: url, **looked_at}]))
    rows = [{KEY: url, "reason": candidate}] if candidate else []
    write_table(this, CANDIDATES, rows_of(CANDIDATES, rows))
    make_partition(this, DECIDE, "part-00000", lambda rows: None, lambda kind: LocalLeases(1))
    (row,) = read_table(this, LEDGER).to_pylist()
    return dict(row)


def test_a_picture_that_nothing_speaks_against_is_released(store: Store) -> None:
    row = decide(store)
    assert (row["outcome"], row["detail"], row["image_sha256"], row["face_ratio"]) == ("released", "", "ab", 0.0)


@pytest.mark.parametrize("status", ["not_on_commons", "missing", "unsupported_type", "undecodable", "fetch_failed"])
def test_a_picture_that_is_not_there_keeps_its_reason(store: Store, status: str) -> None:
    row = decide(store, status=status)
    assert (row["outcome"], row["detail"], row["image_sha256"], row["face_ratio"]) == (status, "why", None, None)


def test_the_largest_face_decides(store: Store) -> None:
    assert decide(store, faces=[SMALL, SMALL])["outcome"] == "released"
    row = decide(store, faces=[SMALL, LARGE])
    assert row["outcome"] == "face"
    assert row["face_ratio"] == pytest.approx(0.1333, abs=1e-4)
    assert row["detail"] == "a face covers 13.3% of the picture, more than 10.0%"
    assert row["image_sha256"] is None


def test_all_faces_together_decide_when_that_is_the_rule(store: Store) -> None:
    apart = [{**SMALL, "x0": 50.0 * n, "x1": 50.0 * n + 30} for n in range(4)]  # 3 % each, 12 % together
    assert decide(store, faces=apart)["outcome"] == "released"
    assert decide(store, faces=apart, face_rule="union")["outcome"] == "face"


def test_a_face_counts_from_the_models_own_score_or_the_one_that_is_set(store: Store) -> None:
    assert decide(store, faces=[UNSURE], face_model="retinaface-resnet50")["outcome"] == "released"
    assert decide(store, faces=[UNSURE], face_model="retinaface-resnet50", face_score=0.6)["outcome"] == "face"
    assert decide(store, faces=[UNSURE], face_model="retinaface-mobilenet0.25")["outcome"] == "face"


def test_faces_of_another_picture_decide_nothing(store: Store) -> None:
    with pytest.raises(StoreError, match=r"detect_faces has not seen the picture of .*/Picture\.jpg as it is"):
        decide(store, seen="cd")
    assert decide(store, seen="cd", status=PURGED)["outcome"] == "fetch_failed"


def test_exactly_the_threshold_is_not_over_it(store: Store) -> None:
    tenth = [{**LARGE, "x1": 100.0, "y1": 30.0}]
    assert decide(store, faces=tenth)["face_ratio"] == pytest.approx(0.1)
    assert decide(store, faces=tenth, face_threshold=0.1)["outcome"] == "released"


def test_a_candidate_is_dropped_with_the_reason_of_commons(store: Store) -> None:
    row = decide(store, candidate="in Category:Copyright violations", faces=[LARGE])
    assert (row["outcome"], row["detail"]) == ("deletion_candidate", "in Category:Copyright violations")
    assert row["face_ratio"] > 0.1  # measurements stay


@pytest.mark.parametrize("name", ["Picture.jpg", "Renamed.jpg"])
def test_what_was_taken_down_stays_out_under_its_old_name_and_its_new_one(store: Store, name: str) -> None:
    add_takedown(store, name, "asked by the person shown", "subject")
    row = decide(store, title="Renamed.jpg", candidate="nominated")
    assert row["outcome"] == "taken_down"
    assert row["detail"].endswith(": asked by the person shown")


def test_a_purged_picture_stays_dropped_without_being_fetched(store: Store) -> None:
    assert decide(store, status=PURGED, faces=[LARGE])["outcome"] == "face"


def test_a_purged_picture_that_is_wanted_again_is_not_released_without_its_pixels(store: Store) -> None:
    row = decide(store, status=PURGED, faces=[LARGE], face_threshold=0.5)
    assert row["outcome"] == "fetch_failed"
    assert "was not fetched again" in row["detail"]
