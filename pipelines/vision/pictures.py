"""From fetched bytes to the picture that is released: scaled, upright, sRGB, without metadata; and back to pixels.

JPEG and TIFF become JPEG; PNG, GIF and WebP become PNG, and so does SVG, which arrives as the PNG that Commons draws of
it. Commons' thumbnails of TIFF are JPEG and those of WebP are PNG, so whether a thumbnail or the original was fetched
makes no difference to the format. The bytes written depend on nothing but the bytes read and the settings.
"""

import io
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from pipelines.vision import decoding_general, decoding_jpeg
from pipelines.vision.decoding_kinds import Kind, PictureError, Undecodable, UnsupportedType, kind_of
from pipelines.vision.decoding_limits import DEFAULT_LIMITS, Limits
from pipelines.vision.decoding_scaled import Pixels

__all__ = ["Limits", "Picture", "PictureError", "Undecodable", "UnsupportedType", "decode_rgb", "release_picture"]

Format = Literal["JPEG", "PNG"]

_PNG_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it is released.

    Attributes:
        data: the file: JPEG (grey or RGB, 4:2:0) or PNG (grey or RGB, with or without alpha), no profile, no metadata.
        format: which of the two.
        width: in pixels.
        height: in pixels.
        source_format: what was fetched: JPEG, PNG, GIF, WEBP or TIFF.
        source_width: of what was fetched, after its Exif rotation.
        source_height: likewise.

    """

    data: bytes
    format: Format
    width: int
    height: int
    source_format: str
    source_width: int
    source_height: int


def release_picture(
    data: bytes, *, width: int = 300, limits: Limits = DEFAULT_LIMITS, jpeg_quality: int = 90
) -> Picture:
    """Turn a fetched file into the picture that is released.

    The picture is ``width`` pixels wide, or as wide as its source where that is less; the aspect ratio is kept to a
    pixel. Of an animation the first frame is taken, of a TIFF the first page. A TIFF's transparency becomes white.

    Raises:
        UnsupportedType: the content is of a known type that is no picture we take (PDF, video, HTML, SVG source, …).
        Undecodable: it is empty, damaged, cut short, or over one of the ``limits``.

    """
    kind = kind_of(data)
    limits.check_bytes(len(data))
    scaled = decoding_jpeg.decode(data, width, limits) if kind is Kind.JPEG else None
    if scaled is None:
        scaled = decoding_general.decode(data, kind, width, limits)
    form: Format = "JPEG" if kind in (Kind.JPEG, Kind.TIFF) else "PNG"
    pixels = _over_white(scaled.pixels) if form == "JPEG" else scaled.pixels
    encoded = decoding_jpeg.encode(pixels, jpeg_quality) if form == "JPEG" else _png(pixels)
    height, wide = pixels.shape[:2]
    return Picture(encoded, form, wide, height, str(kind), scaled.source_width, scaled.source_height)


def decode_rgb(data: bytes) -> Pixels:
    """Return a released JPEG or PNG as (H, W, 3) uint8 RGB, as the networks want it.

    Grey is repeated over the three channels; what is transparent shows white, as on a Wikipedia page.

    Raises:
        Undecodable: the bytes are no JPEG or PNG, or damaged: a released file has been altered.

    """
    if data[:2] == b"\xff\xd8":
        return decoding_jpeg.decode_whole(data)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if pixels is None or pixels.dtype != np.uint8:
        raise Undecodable("the released picture is neither an intact JPEG nor an intact PNG of 8 bits")
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3, axis=2)
    order = [2, 1, 0, 3][: pixels.shape[2]]
    return _over_white(np.ascontiguousarray(pixels[:, :, order]))


def _over_white(pixels: Pixels) -> Pixels:
    """Lay what has alpha over white; grey stays grey."""
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    alpha = pixels[:, :, -1:].astype(np.uint16)
    mixed = (pixels[:, :, :-1] * alpha + 255 * (255 - alpha) + 127) // 255
    return mixed.astype(np.uint8).squeeze(axis=2) if pixels.shape[2] == 2 else mixed.astype(np.uint8)


def _png(pixels: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=_PNG_LEVEL)
    return file.getvalue()
