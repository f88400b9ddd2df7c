"""fetch_images: the 300-px picture of each image, or the reason why there is none.

The number of connections and the bandwidth are the origin's; pictures are decoded and resized while the next ones come
in. What could not be fetched for a passing reason stays pending: the next run tries it first.
"""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.commons.media import (
    FailureKind,
    MediaFailure,
    MediaRequest,
    MediaResponse,
    UnusableMedia,
    fetch_all,
)
from pipelines.commons.names import UPLOAD
from pipelines.engine.fingerprint import read_made
from pipelines.engine.step import Context, Needs, RowStep, Task, table_path
from pipelines.tables import DESCRIPTIONS, FETCHED, IMAGES, KEY, LEDGER, PIXELS, PURGED, Outcome, Table
from pipelines.vision.pictures import Picture, Undecodable, UnsupportedType, release_picture

PICTURE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/tiff", "image/webp", "image/svg+xml"})
"""What WIT's own filter let through: other files on Commons (video, audio, documents) are no pictures."""

OUTCOME_OF = {
    FailureKind.MISSING: Outcome.MISSING,
    FailureKind.UNSUPPORTED: Outcome.UNSUPPORTED_TYPE,
    FailureKind.TOO_LARGE: Outcome.UNDECODABLE,
    FailureKind.UNUSABLE: Outcome.UNDECODABLE,
    FailureKind.REFUSED: Outcome.FETCH_FAILED,
    FailureKind.TEMPORARY: Outcome.FETCH_FAILED,
}
"""What becomes of an image whose file could not be had."""


@dataclass(frozen=True, slots=True)
class _Stopped:
    """An image that has no picture."""

    status: str
    detail: str


def _fetch(task: Task, rows: pa.Table) -> pa.Table:
    images = {image[KEY]: image for image in rows.to_pylist()}
    results: dict[str, dict[str, Any]] = {}
    requests = []
    for url, image in images.items():
        stopped = _needs_no_request(image)
        if stopped is None:
            requests.append(
                MediaRequest(
                    name=image["title"] or image["name"],
                    image_url=url,
                    width=image["original_width"],
                    mime=image["mime"],
                )
            )
        else:
            results[url] = asdict(stopped)
    origin = task.config.commons()

    def process(response: MediaResponse) -> Picture | _Stopped:
        # A thumbnail is no wider than its file, but for drawings: they are drawn at any width and enlarged to none.
        width = min(task.config.image_width, response.request.width or task.config.image_width)
        try:
            return release_picture(response.data, width=width, jpeg_quality=task.config.jpeg_quality)
        except UnsupportedType as error:
            return _Stopped(Outcome.UNSUPPORTED_TYPE, str(error))
        except Undecodable as error:
            raise UnusableMedia(str(error)) from error  # the bytes may have been damaged on their way: asked for again

    for request, result in fetch_all(requests, origin, task.leases("media"), process):
        if isinstance(result, MediaFailure):
            results[request.image_url] = {"status": OUTCOME_OF[result.kind], "detail": result.detail}
        else:
            results[request.image_url] = _fetched(result.response, origin.media_url) | _made(result.value)
    made = [{KEY: url, **_source(image), **results[url]} for url, image in images.items()]
    return pa.Table.from_pylist(made, schema=PIXELS.schema)


def _needs_no_request(image: dict[str, Any]) -> _Stopped | None:
    if image["site"] is None:
        return _Stopped(Outcome.NOT_ON_COMMONS, "the URL names no file of Wikimedia")
    if image["site"] != "commons":
        return _Stopped(Outcome.NOT_ON_COMMONS, f"a file of {image['site']}, which Commons does not host")
    if image["exists"] is False:
        return _Stopped(Outcome.MISSING, "Commons has no file of this name")
    if image["mime"] and image["mime"] not in PICTURE_TYPES:
        return _Stopped(Outcome.UNSUPPORTED_TYPE, f"{image['mime']} is no picture type that is released")
    return None


def _source(image: dict[str, Any]) -> dict[str, Any]:
    return {"title": image["title"], "sha1": image["sha1"], "timestamp": image["timestamp"]}


def _canonical(url: str, media_url: str) -> str:
    """Return Wikimedia's own URL of what was fetched: the same from every mirror."""
    return UPLOAD + url.removeprefix(media_url)


def _fetched(response: MediaResponse, media_url: str) -> dict[str, Any]:
    return {
        "fetched_url": _canonical(response.url, media_url),
        "fetched_bytes": len(response.data),
        "fetched_sha256": response.sha256,
        "etag": response.etag,
        "last_modified": response.last_modified,
    }


def _made(picture: Picture | _Stopped) -> dict[str, Any]:
    if isinstance(picture, _Stopped):
        return asdict(picture)
    return {
        "status": FETCHED,
        "detail": "",
        "fetched_width": picture.source_width,
        "fetched_height": picture.source_height,
        "format": picture.format,
        "width": picture.width,
        "height": picture.height,
        "bytes": len(picture.data),
        "sha256": hashlib.sha256(picture.data).hexdigest(),
        "image": picture.data,
    }


def _wanted_again(context: Context, key: str) -> frozenset[str]:
    """Return the purged pictures that a changed decision wants back: those that `decide` found missing."""
    made = read_made(context.store, table_path(PIXELS.name, key))
    if made is None or not made.counts.get(PURGED):
        return frozenset()
    status, outcome = (_column(context, PIXELS, key, "status"), _column(context, LEDGER, key, "outcome"))
    return frozenset(url for url in status if status[url] == PURGED and outcome.get(url) == Outcome.FETCH_FAILED)


def _column(context: Context, table: Table, key: str, column: str) -> dict[str, str]:
    path = table_path(table.name, key)
    if not context.store.exists(path):
        return {}
    with context.store.open(path) as file:
        rows = pq.read_table(file, columns=[KEY, column])
    return dict(zip(rows.column(KEY).to_pylist(), rows.column(column).to_pylist(), strict=True))


FETCH = RowStep(
    writes=PIXELS,
    run=_fetch,
    reads=(
        IMAGES.columns(KEY, "name", "site"),
        DESCRIPTIONS.columns("exists", "title", "sha1", "timestamp", "mime", "original_width"),
    ),
    settings=("image_width", "jpeg_quality"),
    needs=Needs.COMMONS_MEDIA,
    slice_rows=64,  # at 25 images/s a killed run loses under three seconds of fetching
    identity=("title", "sha1", "timestamp"),
    pending=("status", Outcome.FETCH_FAILED),
    again=_wanted_again,
    count_by="status",
)
STEPS = (FETCH,)
