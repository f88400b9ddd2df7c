"""Measures a released picture from its bytes alone: what it is, how large, whether it ends where it should."""

import io
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"\x00\x00\x00\x00IEND\xaeB`\x82"}
"""The last bytes of a whole file: the end-of-image marker (ITU-T T.81, B.1.1.3), the IEND chunk (PNG, 11.2.5)."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A picture's format by its content, its size in pixels, and whether its file is whole."""

    format: str
    width: int
    height: int
    complete: bool


def measure(data: bytes) -> Measured | None:
    """Read a picture's header; None: it is no picture that is known. The pixels are not decoded."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            kind = picture.format or ""
            return Measured(kind, picture.width, picture.height, data.endswith(_ENDS.get(kind, b"")))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):  # Pillow's words for a damaged header
        return None


def stretch(width: int, height: int, of_width: int | None, of_height: int | None) -> float | None:
    """Return by how many pixels a picture's height is off the aspect of its source; None: the source is unknown."""
    if not of_width or not of_height:
        return None
    return abs(height - max(1.0, width * of_height / of_width))
