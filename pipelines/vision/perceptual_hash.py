"""A 64-bit hash of what a picture looks like: pictures of which one is a copy of the other differ in few bits.

The hash is pHash's (C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010): of the cosine
transform of the picture in grey at 32 × 32, the coefficients 1 to 8 in each direction, each above the median or not.
All arithmetic after decoding is in integers, so that the hash is the same on every machine.
"""

from functools import cache

import cv2
import numpy as np

from pipelines.vision.decoding_kinds import Undecodable
from pipelines.vision.pictures import decode_rgb

_SIDE = 32
_LOW = 8
_SCALE = 1 << 12
_FLAT = 2.0
"""Grey levels: a coefficient as a picture with stripes of this height has it. Below, there is nothing to tell by."""

_COLOUR_TYPE = slice(25, 26)  # of a PNG, in its header
_WITH_ALPHA = (b"\x04", b"\x06")


def perceptual_hash(picture: bytes) -> int | None:
    """Return the hash of an encoded picture; None where it is one flat surface, or too small.

    Args:
        picture: JPEG or PNG. What is transparent shows white, as on a Wikipedia page.

    Raises:
        Undecodable: as it says.

    """
    grey = _grey(picture)
    if min(grey.shape) < _SIDE:
        return None
    basis = _basis()
    low = (basis @ _small(grey) @ basis.T).reshape(-1)
    if int(np.abs(low).max()) < _FLAT * 256 * _SCALE**2 * _SIDE**2 / 4:
        return None
    above = low > np.sort(low)[len(low) // 2]
    return int.from_bytes(np.packbits(above).tobytes(), "big")


def _grey(picture: bytes) -> np.ndarray:
    """Decode a picture to grey. Only what has alpha takes the way through colours, which costs twice as much."""
    if picture.startswith(b"\x89PNG") and picture[_COLOUR_TYPE] in _WITH_ALPHA:
        return cv2.cvtColor(decode_rgb(picture), cv2.COLOR_RGB2GRAY)
    grey = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise Undecodable("a picture that cannot be decoded has no hash")
    return grey


def _small(grey: np.ndarray) -> np.ndarray:
    """Return means of 32 × 32 fields of equal size, up to a pixel, in 256ths of a grey level: (32, 32) int64."""
    rows, columns = (np.arange(_SIDE) * size // _SIDE for size in grey.shape)
    sums = np.add.reduceat(np.add.reduceat(grey.astype(np.int64), rows, axis=0), columns, axis=1)
    heights, widths = (np.diff([*edges, size]) for edges, size in zip((rows, columns), grey.shape, strict=True))
    return np.asarray(sums * 256 // np.outer(heights, widths))


@cache
def _basis() -> np.ndarray:
    """Return the cosines 1 to 8 over 32 points, in 4096ths: (8, 32) int64."""
    frequencies, places = np.arange(1, _LOW + 1)[:, None], np.arange(_SIDE)[None, :]
    cosines = np.cos(np.pi * frequencies * (2 * places + 1) / (2 * _SIDE))
    return np.asarray(np.rint(cosines * _SCALE), np.int64)
