"""decide: one outcome for every image, from what the stages before measured. It measures nothing itself."""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.config import ReleaseConfig
from pipelines.engine.fingerprint import read_made
from pipelines.engine.step import Context, PartitionStep, Task, table_path
from pipelines.errors import StoreError
from pipelines.pipeline import Run
from pipelines.removals.takedowns import TakenDown, digest_of_list
from pipelines.tables import CANDIDATES, DESCRIPTIONS, FACES, FETCHED, IMAGES, KEY, LEDGER, PIXELS, PURGED, Outcome
from pipelines.vision.faces import Face, default_score, face_ratio, face_union

_BATCH = 1024
_GONE = "an earlier release dropped it and removed its picture, which was not fetched again in time"


def _decide(task: Task) -> Iterator[pa.Table]:
    takedowns = TakenDown.of(task.context.store)
    candidates = dict(zip(*(column.to_pylist() for column in task.table(CANDIDATES).columns), strict=True))
    rules = _Rules(task.config, takedowns, candidates)
    inputs = (IMAGES, DESCRIPTIONS, FACES, PIXELS)
    for batches in zip_longest(*(task.batches(table, rows=_BATCH) for table in inputs)):
        rows = []
        for parts in zip(*(batch.to_pylist() for batch in batches), strict=True):
            if len({part[KEY] for part in parts}) != 1:
                raise StoreError(f"the tables of {task.key} hold different images; run their stages again")
            *_, seen, picture = parts
            if picture["status"] == FETCHED and seen["sha256"] != picture["sha256"]:
                raise StoreError(f"detect_faces has not seen the picture of {picture[KEY]} as it is; run it again")
            rows.append(rules.decide({key: value for part in parts for key, value in part.items()}))
        yield pa.Table.from_pylist(rows, schema=LEDGER.schema)


class _Rules:
    """The order in which reasons count: the strongest wish of people first, then facts, then our own rules."""

    def __init__(self, config: ReleaseConfig, takedowns: TakenDown, candidates: Mapping[str, str]) -> None:
        self._takedowns = takedowns
        self._candidates = candidates
        self._threshold = config.face_threshold
        self._rule = config.face_rule
        self._score = config.face_score or default_score(config.face_model)

    def decide(self, image: dict[str, Any]) -> dict[str, Any]:
        faces = None if image["faces"] is None else [Face(**face) for face in image["faces"]]
        measured: dict[str, Any] = {}
        if faces is not None:
            size = (image["width"], image["height"])
            measured = {
                "faces": sum(face.score >= self._score for face in faces),
                "face_ratio": face_ratio(faces, *size, self._score),
                "face_union": face_union(faces, *size, self._score),
            }
        outcome, detail = self._outcome(image, measured)
        released = outcome is Outcome.RELEASED
        same_name = (
            *("wit_image_url", "metadata_url", "original_width", "original_height", "licence", "licence_url"),
            *("author", "credit", "attribution_required", "fetched_url", "fetched_width", "fetched_height"),
            *("fetched_sha256", "format", "width", "height", "wit_rows_sha256"),
        )
        return {
            KEY: image[KEY],
            **{column: image[column] for column in same_name},
            "outcome": outcome,
            "detail": detail,
            "commons_name": image["title"] or image["name"],
            "commons_sha1": image["sha1"],
            "commons_timestamp": image["timestamp"],
            "mime_type": image["mime"] or image["wit_mime_type"],
            "image_sha256": image["sha256"] if released else None,
            "image_bytes": image["bytes"] if released else None,
            **measured,
        }

    def _outcome(self, image: dict[str, Any], measured: dict[str, Any]) -> tuple[Outcome, str]:
        entry = self._takedowns.entry(image[KEY], (image["name"], image["title"]), image["sha1"])
        if entry is not None:
            return Outcome.TAKEN_DOWN, f"taken down on {entry['date']}: {entry['reason']}"
        if image["status"] not in (FETCHED, PURGED):
            return Outcome(image["status"]), image["detail"]
        if image[KEY] in self._candidates:
            return Outcome.DELETION_CANDIDATE, self._candidates[image[KEY]]
        if not measured:
            return Outcome.FETCH_FAILED, _GONE
        covered = measured["face_ratio"] if self._rule == "largest" else measured["face_union"]
        if covered > self._threshold:
            what = "a face covers" if self._rule == "largest" else "faces cover"
            return Outcome.FACE, f"{what} {covered:.1%} of the picture, more than {self._threshold:.1%}"
        return (Outcome.FETCH_FAILED, _GONE) if image["status"] == PURGED else (Outcome.RELEASED, "")


def _takedown_list(context: Context, key: str) -> Mapping[str, Any]:
    return {"takedowns": digest_of_list(context.store)}


DECIDE = PartitionStep(
    writes=LEDGER,
    run=_decide,
    reads=(
        IMAGES.columns(KEY, "name", "wit_image_url", "metadata_url", "wit_mime_type", "wit_rows_sha256"),
        DESCRIPTIONS.columns(
            *(KEY, "title", "sha1", "timestamp", "mime", "original_width", "original_height"),
            *("licence", "licence_url", "author", "credit", "attribution_required"),
        ),
        PIXELS.columns(
            *(KEY, "status", "detail", "fetched_url", "fetched_width", "fetched_height"),
            *("fetched_sha256", "format", "width", "height", "bytes", "sha256"),
        ),
        FACES.columns(KEY, "sha256", "faces"),
        CANDIDATES.columns(KEY, "reason"),
    ),
    settings=("face_threshold", "face_rule", "face_score", "face_model"),
    revision=2,
    depends=_takedown_list,
    count_by="outcome",
)
STEPS = (DECIDE,)


def conclude(run: Run) -> Mapping[str, int]:
    """Fetch again the pictures that an earlier release dropped and this one wants, and decide once more."""
    wanted = run.each_shard(_count_wanted)
    if wanted:
        run.stage("fetch_images")
        run.stage("detect_faces")
        run.step(DECIDE)
    return {"pictures_fetched_again": wanted}


def _count_wanted(context: Context, key: str) -> int:
    made = read_made(context.store, table_path(PIXELS.name, key))
    if made is None or not made.counts.get(PURGED):
        return 0
    with context.store.open(table_path(LEDGER.name, key)) as file:
        details = pq.read_table(file, columns=["detail"]).column("detail")
    return int(details.to_pylist().count(_GONE))
