"""The general path, through Pillow: PNG, GIF, WebP, TIFF, and the JPEGs that the fast path leaves.

Every mode that a file can have ends as grey or RGB, with or without alpha, 8 bits each: palettes and tRNS are resolved,
16 bits lose their lower 8, bilevel becomes grey before it is scaled, CMYK goes through its profile. Only the first
frame of an animation and the first page of a TIFF are read, so a GIF may break off behind its first frame.
"""

import io
import warnings
from collections.abc import Callable
from struct import unpack_from

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from pipelines.vision.decoding_colour import to_srgb
from pipelines.vision.decoding_kinds import Kind, Undecodable
from pipelines.vision.decoding_limits import Limits
from pipelines.vision.decoding_png import check_whole
from pipelines.vision.decoding_scaled import Scaled, is_turned, released_size, upright

_ORIENTATION = 0x0112
_FORMATS = {
    Kind.JPEG: ("JPEG", "MPO"),
    Kind.PNG: ("PNG",),
    Kind.GIF: ("GIF",),
    Kind.WEBP: ("WEBP",),
    Kind.TIFF: ("TIFF",),
}
_GAP = 3.0
"""Pictures more than this many times too large are averaged down to it first, which Lanczos then cannot tell apart."""

warnings.filterwarnings(
    "ignore", category=Image.DecompressionBombWarning
)  # Limits decides; Pillow's error at 179 MP stays
warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")  # odd tags: metadata is dropped anyway


def decode(data: bytes, kind: Kind, width: int, limits: Limits) -> Scaled:
    """Decode and scale a picture of any kind; alpha is kept.

    Raises:
        Undecodable: damaged, cut short or over a cap.

    """
    try:
        if kind in _STATED_SIZE:
            limits.check_size(*_STATED_SIZE[kind](data))
        if kind is Kind.PNG:
            check_whole(data)
        with Image.open(io.BytesIO(data), formats=_FORMATS[kind]) as picture:
            limits.check_size(*picture.size)
            return _scaled(picture, width, limits)
    except (Undecodable, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise Undecodable(f"the {kind} is above the cap of {limits.pixels:,} pixels: {error}") from None
    except UnidentifiedImageError:  # its message holds an address in memory, and the ledger must not change by itself
        raise Undecodable(f"the {kind} is damaged: its header cannot be read") from None
    except Exception as error:  # on damaged data Pillow's decoders raise nearly anything, from OSError to IndexError
        raise Undecodable(f"the {kind} is damaged or cut short: {error}") from error


def _scaled(picture: Image.Image, width: int, limits: Limits) -> Scaled:
    orientation = 1 if picture.format == "TIFF" else int(picture.getexif().get(_ORIENTATION, 1))  # Pillow turns TIFF
    before = picture.size
    if picture.format in ("JPEG", "MPO"):
        picture.draft(picture.mode, (2 * width, 2 * width))
    picture.load()
    if picture.format == "TIFF":
        before = picture.size
    shown = before[::-1] if is_turned(orientation) else before
    size = released_size(*shown, width)
    limits.check_released(*size)
    stored = size[::-1] if is_turned(orientation) else size
    profile = picture.info.get("icc_profile")
    scaled = to_srgb(_resize(_plain(picture), stored), profile)
    if scaled.mode in ("LA", "RGBA") and scaled.getchannel("A").getextrema() == (255, 255):
        scaled = scaled.convert(scaled.mode[:-1])  # opaque everywhere: there is no alpha to keep
    return Scaled(upright(np.asarray(scaled), orientation), *shown)


def _resize(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Scale with Lanczos, colours weighted by alpha, so that what is transparent does not bleed into what is not."""
    if picture.size == size:
        return picture
    premultiplied = {"LA": "La", "RGBA": "RGBa"}.get(picture.mode)
    weighted = picture.convert(premultiplied) if premultiplied else picture
    scaled = weighted.resize(size, Image.Resampling.LANCZOS, reducing_gap=_GAP)
    return scaled.convert(picture.mode) if premultiplied else scaled


def _plain(picture: Image.Image) -> Image.Image:
    """Return a loaded picture as L, LA, RGB, RGBA or CMYK."""
    mode = picture.mode
    if mode.startswith("I;16"):
        return _sixteen_bits(picture)
    if mode in ("I", "F"):
        return _stretched(picture)
    if mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        transform = ImageCms.buildTransform(lab, ImageCms.createProfile("sRGB"), "LAB", "RGB")
        return ImageCms.applyTransform(picture, transform) or picture
    if picture.has_transparency_data:
        return picture.convert("LA" if mode in ("1", "L", "LA", "La") else "RGBA")
    if mode in ("L", "RGB", "CMYK"):
        return picture
    return picture.convert("L" if mode == "1" else "RGB")


def _sixteen_bits(picture: Image.Image) -> Image.Image:
    values = np.asarray(picture)
    grey = (values >> 8).astype(np.uint8)
    clear = picture.info.get("transparency")
    if clear is None:
        return Image.fromarray(grey)
    alpha = np.where(values == clear, 0, 255).astype(np.uint8)
    return Image.fromarray(np.stack([grey, alpha], axis=-1))


def _stretched(picture: Image.Image) -> Image.Image:
    """Grey of 32 bits, integer or float, has no agreed white: its own range is stretched over 0 to 255."""
    values = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    low, high = values.min(), values.max()
    return Image.fromarray(np.rint((values - low) * (255 / (high - low) if high > low else 0)).astype(np.uint8))


def _png_size(data: bytes) -> tuple[int, int]:
    return unpack_from(">II", data, 16)


def _gif_size(data: bytes) -> tuple[int, int]:
    return unpack_from("<HH", data, 6)


def _webp_size(data: bytes) -> tuple[int, int]:
    form = data[12:16]
    if form == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if form == b"VP8L":
        bits = unpack_from("<I", data, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


_STATED_SIZE: dict[Kind, Callable[[bytes], tuple[int, int]]] = {
    Kind.PNG: _png_size,
    Kind.GIF: _gif_size,
    Kind.WEBP: _webp_size,
}
"""Sizes as the headers state them, read before Pillow opens the file: that alone gives memory to a WebP's canvas."""
