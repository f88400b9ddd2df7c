"""The numbers that the report draws: the funnel, and how the images of the ledger are spread.

They are read from the release's own ledger, column by column: three numbers for each image are held at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.engine.step import Context, release_path, shard_keys
from pipelines.releases import shards
from pipelines.reports.facts import Facts
from pipelines.tables import Outcome

_COLUMNS = ("outcome", "original_width", "original_height", "image_bytes", "face_ratio", "face_union")


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the funnel; `share` is of the first step that counts the same thing."""

    name: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class Spread:
    """How images are spread.

    Args:
        widths: (released,) width of the originals in pixels.
        aspects: (released,) width over height of the originals.
        bytes: (released,) bytes of the released pictures.
        faces: (measured,) what is held against the threshold, of every image whose faces were measured.

    """

    widths: np.ndarray
    aspects: np.ndarray
    bytes: np.ndarray
    faces: np.ndarray


def funnel(facts: Facts) -> list[Step]:
    """Return the way from WIT's rows to the released images."""
    rows = sum(one.rows for one in facts.inputs)
    steps = [
        Step("WIT rows read", rows, 1.0),
        Step("rows of selected images", facts.caption_rows, _share(facts.caption_rows, rows)),
        Step("images considered", facts.images, 1.0),
    ]
    left = facts.images
    for name, reasons in _REASONS.items():
        left -= sum(facts.outcomes[reason] for reason in reasons)
        steps.append(Step(name, left, _share(left, facts.images)))
    return steps


_REASONS: Mapping[str, tuple[Outcome, ...]] = {
    "… not taken down": (Outcome.TAKEN_DOWN,),
    "… on Commons": (Outcome.NOT_ON_COMMONS, Outcome.MISSING),
    "… a picture": (Outcome.UNSUPPORTED_TYPE, Outcome.UNDECODABLE),
    "… fetched": (Outcome.FETCH_FAILED,),
    "… no deletion candidate": (Outcome.DELETION_CANDIDATE,),
    "… no large face: released": (Outcome.FACE,),
}


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def spread(context: Context) -> Spread:
    """Read the ledger of a release.

    Raises:
        StoreError: a ledger file is not there.

    """
    tables = []
    for key in shard_keys(context):
        with context.store.open(release_path(context.version, shards.ledger_shard(key))) as file:
            tables.append(pq.read_table(file, columns=list(_COLUMNS)))
    ledger = pa.concat_tables(tables)
    released = ledger.filter(pc.equal(ledger.column("outcome"), Outcome.RELEASED))
    covered = ledger.column("face_ratio" if context.config.face_rule == "largest" else "face_union")
    sized = released.select(["original_width", "original_height"]).drop_null()
    widths, heights = (_numbers(column) for column in sized.columns)
    return Spread(
        widths=widths,
        aspects=widths / np.maximum(heights, 1),
        bytes=_numbers(released.column("image_bytes")),
        faces=_numbers(covered),
    )


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.drop_null().to_numpy(), dtype=np.float64)
