"""detect_faces: every face on every picture, whatever its size. Whether a picture is dropped is decided later."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipelines.engine.step import Context, Needs, RowStep, Task
from pipelines.tables import FACES, KEY, PIXELS
from pipelines.vision.faces import FaceDetector, load_detector
from pipelines.vision.once import once
from pipelines.vision.weights import weights_digest


@once
def _detector(model: str, device: str, stand_in: bool) -> FaceDetector:
    return load_detector(model, device=device, stand_in=stand_in)


def _detect(task: Task, rows: pa.Table) -> pa.Table:
    """A purged picture cannot be looked at by another model: it stays without faces until it was fetched again."""
    pictures = {row[KEY]: row for row in rows.to_pylist() if row["image"] is not None}
    faces: dict[str, Any] = {}
    processor = None
    if pictures:
        detector = _detector(task.config.face_model, task.device, task.config.stand_in)
        processor = detector.processor
        found = detector.detect([row["image"] for row in pictures.values()])
        for key, boxes in zip(pictures, found, strict=True):
            faces[key] = [{"x0": box.x0, "y0": box.y0, "x1": box.x1, "y1": box.y1, "score": box.score} for box in boxes]
    made = [
        {KEY: key, "sha256": pictures[key]["sha256"], "faces": faces[key], "processor": processor}
        if key in pictures
        else {KEY: key}
        for key in rows.column(KEY).to_pylist()
    ]
    return pa.Table.from_pylist(made, schema=FACES.schema)


def _weights(context: Context, key: str) -> Mapping[str, Any]:
    """Other weights see other faces."""
    return {"weights": weights_digest(context.config.face_model)}


DETECT = RowStep(
    writes=FACES,
    run=_detect,
    reads=(PIXELS.columns(KEY, "sha256", "image"),),
    settings=("face_model",),
    revision=3,
    count_by="processor",
    depends=_weights,
    needs=Needs.GPU,
    slice_rows=512,
    identity=("sha256",),
)
STEPS = (DETECT,)
