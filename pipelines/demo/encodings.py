"""Pictures to file bytes, plainly and in the odd ways in which real files on Commons are encoded."""

import io
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from pipelines.demo.artwork import drawing, photograph


def encoded(picture: Image.Image, extension: str, random: Random) -> bytes:
    """Return a picture as the type that its file extension names."""
    form = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "gif": "GIF", "tif": "TIFF", "tiff": "TIFF", "webp": "WEBP"}
    return _ENCODERS[form[extension.lower()]](picture, random)


def _jpeg(picture: Image.Image, random: Random) -> bytes:
    plain = picture if picture.mode == "L" else picture.convert("RGB")
    return _saved(plain, "JPEG", quality=random.choice((75, 85, 92)), progressive=random.random() < 0.3)


def _png(picture: Image.Image, random: Random) -> bytes:
    return _saved(picture, "PNG", compress_level=4)


def _gif(picture: Image.Image, random: Random) -> bytes:
    plain = picture if picture.mode == "L" else picture.convert("RGB").quantize(64)
    if random.random() < 0.5:
        return _saved(plain, "GIF")
    return _saved(
        plain, "GIF", save_all=True, append_images=[plain.rotate(turn) for turn in (5, 10)], duration=80, loop=0
    )


def _tiff(picture: Image.Image, random: Random) -> bytes:
    plain = picture if picture.mode == "L" else picture.convert("RGB")
    return _saved(plain, "TIFF", compression=random.choice(("tiff_lzw", "tiff_adobe_deflate", "raw")))


def _webp(picture: Image.Image, random: Random) -> bytes:
    return _saved(picture, "WEBP", lossless=random.random() < 0.3, quality=80, method=0)


def _saved(picture: Image.Image, form: str, **settings: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **settings)
    return file.getvalue()


_ENCODERS: dict[str, Callable[[Image.Image, Random], bytes]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "GIF": _gif,
    "TIFF": _tiff,
    "WEBP": _webp,
}


def oddities() -> dict[str, bytes]:
    """Return files of every kind that has given an image pipeline trouble, by a word for the file and its extension."""
    random = Random(7)
    cat, moon, clear = photograph("chelsea.png"), photograph("moon.png"), drawing(2, random)
    turned = Image.Exif()
    turned[0x0112] = 6
    upside_down = Image.Exif()
    upside_down[0x0112] = 3
    sixteen = Image.fromarray(np.asarray(moon).astype(np.uint16) * 257)
    return {
        "turned by Exif.jpg": _saved(cat.rotate(90, expand=True), "JPEG", exif=turned),
        "upside down by Exif.jpg": _saved(cat.rotate(180), "JPEG", exif=upside_down),
        "four inks.jpg": _saved(cat.convert("CMYK"), "JPEG"),
        "grey.jpg": _saved(moon.crop((0, 0, 400, 300)), "JPEG"),
        "progressive.JPG": _saved(cat.crop((10, 10, 440, 290)), "JPEG", progressive=True),
        "no subsampling.jpeg": _saved(cat.crop((0, 0, 400, 299)), "JPEG", subsampling=0),
        "sixteen bits.png": _saved(sixteen, "PNG"),
        "sixteen bits.tif": _saved(sixteen.crop((0, 0, 340, 400)), "TIFF"),
        "palette.png": _saved(clear.quantize(32), "PNG"),
        "grey and alpha.png": _saved(clear.convert("LA"), "PNG"),
        "one bit.tiff": _saved(photograph("page.png").convert("1"), "TIFF", compression="group4"),
        "one bit.png": _saved(photograph("text.png").convert("1"), "PNG"),
        "with alpha.webp": _saved(clear, "WEBP", lossless=True),
        "panorama.jpg": _saved(cat.resize((1800, 140)), "JPEG"),
        "tall.png": _saved(drawing(1, random).resize((120, 900)), "PNG"),
        "tiny.png": _saved(drawing(0, random).resize((24, 16)), "PNG"),
        "tiny.gif": _saved(drawing(0, random).resize((1, 1)).quantize(2), "GIF"),
    }


def cut_off() -> bytes:
    """Return a JPEG of 320 px width of which the second half is missing."""
    whole = _saved(photograph("coffee.png").resize((320, 213)), "JPEG", quality=90)
    return whole[: len(whole) // 2]


def overwritten() -> bytes:
    """Return a PNG of 300 px width with other bytes in the middle of its pixels."""
    whole = bytearray(_saved(photograph("coins.png").resize((300, 236)), "PNG"))
    middle = len(whole) // 2
    whole[middle : middle + 8] = b"damaged!"
    return bytes(whole)


def document() -> bytes:
    """Return a PDF of one empty page."""
    return (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>endobj\n"
        b"trailer<</Size 4/Root 1 0 R>>\n%%EOF\n"
    )
