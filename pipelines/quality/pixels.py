"""Measures a pixel shard, line by line."""

import hashlib
from collections.abc import Mapping
from typing import IO, Any

from pipelines.commons.names import MalformedUrl, file_page_url, parse_image_url
from pipelines.quality.measured import File, Image, Images
from pipelines.quality.pictures import measure, stretch
from pipelines.releases import shards


def measure_pixels(
    shard: IO[bytes], file: File, images: Images, ledger: Mapping[str, Mapping[str, Any]], image_width: int
) -> None:
    """Measure each picture of a shard against the ledger.

    Args:
        shard: the gzipped file.
        file: its measurements: rows are counted.
        images: measurements of the partition's images.
        ledger: rows of the partition's ledger by URL; empty if it could not be read.
        image_width: the setting.

    Raises:
        Exception: one of `shards.DAMAGE`: the shard is damaged from here on.

    """
    before = ""
    file.rows = 0
    for number, fields in shards.read_lines(shard):
        file.rows = number
        url = fields[0]
        image = images[url]
        image.pixel_lines = (image.pixel_lines or 0) + 1
        image.pixel_sorted = image.pixel_sorted is not False and url >= before
        before = url
        if image.pixel_lines > 1:
            continue
        try:
            row = shards.pixel_row(number, fields)
            if len(fields) != 3:
                raise ValueError(f"line {number}: {len(fields)} columns instead of 3")
        except ValueError as error:
            image.pixel_error = str(error)
            continue
        image.page_as_url = row.page == _page(url)
        _measure_picture(image, row.picture, ledger.get(url), image_width)


def _measure_picture(image: Image, data: bytes, known: Mapping[str, Any] | None, image_width: int) -> None:
    image.pixel_bytes = len(data)
    if known is not None and known["image_sha256"] is not None:
        image.pixel_as_ledger = hashlib.sha256(data).hexdigest() == known["image_sha256"]
    picture = measure(data)
    if picture is None:
        image.pixel_format = "unknown"
        return
    image.pixel_format = picture.format
    image.pixel_complete = picture.complete
    image.pixel_width = picture.width
    if known is not None:
        if known["fetched_width"] is not None:
            widths = (image_width, known["fetched_width"], known["original_width"] or image_width)
            image.pixel_width_expected = min(widths)
        size = (picture.width, picture.height)
        image.pixel_stretch = stretch(*size, known["fetched_width"], known["fetched_height"])
        image.pixel_stretch_original = stretch(*size, known["original_width"], known["original_height"])


def _page(url: str) -> str | None:
    try:
        return file_page_url(parse_image_url(url))
    except MalformedUrl:
        return None
