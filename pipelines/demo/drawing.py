"""Thumbnails as Wikimedia draws them: SVG and WebP as PNG, TIFF as JPEG, others in their own format.

It is a program of its own on purpose: the pictures that are released are made elsewhere, and what this draws is
only what they are made from. The same original gives the same bytes. Of an animation only the first frame is drawn.
Commons also draws pages of documents and frames of videos; this does not.
"""

import io
import re
import warnings

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

_FORMATS = {"JPEG": "JPEG", "MPO": "JPEG", "TIFF": "JPEG", "PNG": "PNG", "WEBP": "PNG", "GIF": "GIF"}
_QUALITY = 87  # of Wikimedia's JPEG thumbnails


warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")  # odd tags, of which nothing is kept


class CannotDraw(Exception):
    """The original is damaged, or of a type of which no thumbnails are drawn."""


def draw_thumbnail(data: bytes, mime: str, width: int, comment: str) -> bytes:
    """Return a thumbnail of the given width in pixels.

    Args:
        data: the original.
        mime: its type.
        width: not above the original's, except for SVG.
        comment: what a JPEG thumbnail says of its source.

    Raises:
        CannotDraw: see there.

    """
    try:
        return _draw_svg(data, width) if mime == "image/svg+xml" else _draw_bitmap(data, width, comment)
    except UnidentifiedImageError as error:  # its text has an address in memory: no two runs would be told the same
        raise CannotDraw("no picture of any known format") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise CannotDraw(str(error)) from error


def _draw_bitmap(data: bytes, width: int, comment: str) -> bytes:
    with Image.open(io.BytesIO(data)) as picture:
        if picture.format not in _FORMATS:
            raise CannotDraw(f"no thumbnails of {picture.format}")
        form = _FORMATS[picture.format]
        profile = picture.info.get("icc_profile")
        across, down = picture.size  # before draft(), which rounds
        if picture.getexif().get(ExifTags.Base.Orientation, 1) >= 5:
            across, down = down, across
        if picture.format in ("JPEG", "MPO"):
            picture.draft("RGB", (2 * width, 2 * width))
        upright = ImageOps.exif_transpose(picture)
        size = (width, max(1, round(down * width / across)))
        small = _plain(upright, form).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    file = io.BytesIO()
    if form == "JPEG":
        small.save(file, "JPEG", quality=_QUALITY, comment=comment, icc_profile=profile)
    elif form == "PNG":
        small.save(file, "PNG", icc_profile=profile)
    else:
        small.save(file, "GIF")
    return file.getvalue()


def _plain(picture: Image.Image, form: str) -> Image.Image:
    if form != "JPEG":
        return picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    if picture.mode.startswith("I"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))  # 16 bits
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")


def _draw_svg(data: bytes, width: int) -> bytes:
    import pyvips  # only SVG needs it

    try:
        drawing = pyvips.Image.svgload_buffer(_utf8(data))
        height = max(1, round(drawing.height * width / drawing.width))
        scaled = pyvips.Image.svgload_buffer(_utf8(data), scale=width / drawing.width)  # to a pixel
        return bytes(scaled.thumbnail_image(width, height=height, size="force").write_to_buffer(".png"))
    except pyvips.Error as error:
        raise CannotDraw(str(error)) from error


def svg_size(data: bytes) -> tuple[int, int]:
    """Return the size in pixels that an SVG asks for; 0 × 0 if it cannot be read."""
    import pyvips

    try:
        drawing = pyvips.Image.svgload_buffer(_utf8(data))
    except pyvips.Error:
        return 0, 0
    return drawing.width, drawing.height


def _utf8(data: bytes) -> bytes:
    """Return an SVG in UTF-8: libvips knows no other when it looks for the root element."""
    if data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        return data
    text = data.decode("utf-16", errors="replace")
    return re.sub(r'(<\?xml[^>]*?)\s+encoding=["\'][^"\']*["\']', r"\1", text, count=1).encode()
