"""From a picture's own colour profile to sRGB, so that the released file needs none.

A transform costs milliseconds to build and a profile recurs in thousands of files, so transforms are kept per profile.
Most profiles *are* sRGB in some vendor's spelling (Wikimedia's thumbnails carry a 500-byte one): such a transform moves
no colour by more than a step or two and is left out. That is measured on a grid of colours, not guessed from the name.
"""

import io
import logging
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

log = logging.getLogger(__name__)

_SRGB = ImageCms.createProfile("sRGB")
_SPACES = {"RGB ": "RGB", "CMYK": "CMYK", "GRAY": "L"}
_UNSEEN = 2
"""Steps of 255 by which a profile may differ from sRGB and still count as sRGB: rounding differs by as much."""


def to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Return an L, LA, RGB, RGBA or CMYK picture as sRGB: L, LA, RGB or RGBA, without a profile.

    A profile that cannot be read, or is for another colour space than the picture's, is ignored, as browsers do.
    CMYK without a usable profile is converted by Pillow's plain formula. Alpha is kept as it is.
    """
    alpha = picture.getchannel("A") if picture.mode in ("LA", "RGBA") else None
    base = picture.convert(picture.mode[:-1]) if alpha else picture
    transform = _transform(profile, base.mode) if profile else None
    if transform:
        base = _apply(transform, base)
    elif base.mode == "CMYK":
        base = base.convert("RGB")
    if alpha is None:
        return base
    base.putalpha(alpha)
    return base


def is_srgb(profile: bytes | None, mode: str) -> bool:
    """Say whether a picture of this mode (L or RGB) with this profile can be taken as sRGB as it stands."""
    return profile is None or _transform(profile, mode) is None


@lru_cache(maxsize=128)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Build the transform for a profile; None if it is unusable or changes nothing that can be seen."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if _SPACES.get(source.profile.xcolor_space) != mode:
            return None
        transform = ImageCms.buildTransform(source, _SRGB, mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC)
        return None if mode != "CMYK" and _changes_nothing(transform, mode) else transform
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        log.debug("ignoring a colour profile of %d bytes: %s", len(profile), error)
        return None


def _apply(transform: ImageCms.ImageCmsTransform, picture: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(picture, transform)
    if converted is None:  # only for in-place transforms
        raise ValueError("the colour transform returned no picture")
    return converted.getchannel("G") if picture.mode == "L" else converted


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    if mode == "L":
        grid = np.arange(256, dtype=np.uint8)[None]
    else:
        steps = np.linspace(0, 255, 9).astype(np.uint8)
        grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    after = np.asarray(_apply(transform, Image.fromarray(grid)))
    return int(np.abs(after.astype(np.int16) - grid).max()) <= _UNSEEN
