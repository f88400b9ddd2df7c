"""The demo's pictures: crops and scalings of scikit-image's own, and drawn ones. No network, and the same every time.

Only pictures that come inside scikit-image's wheel are used; others in its registry would be downloaded.
"""

import io
from functools import cache
from importlib.resources import files
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

FACE = (224, 115)
"""Centre of the face on scikit-image's astronaut, which is 512 × 512; the face itself is some 75 × 100 pixels."""


@cache
def photograph(source: str) -> Image.Image:
    """Return one of scikit-image's pictures, loaded."""
    data = files("skimage.data").joinpath(source).read_bytes()
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def variant(source: str, number: int, random: Random) -> Image.Image:
    """Return a picture as it is (number 0), or a part of it at some other size, perhaps mirrored or toned."""
    picture = photograph(source)
    if number == 0:
        return picture.copy()
    share = random.uniform(0.55, 0.95)
    width, height = max(8, int(picture.width * share)), max(8, int(picture.height * random.uniform(0.6, 0.98)))
    left, top = random.randint(0, picture.width - width), random.randint(0, picture.height - height)
    part = picture.crop((left, top, left + width, top + height))
    return _altered(_to_width(part, random.choice((180, 240, 330, 400, 512, 640, 800, 1000))), random)


def portrait(side: int, random: Random) -> Image.Image:
    """Return a square part of the astronaut around her face, ``side`` pixels of the original's 512 wide."""
    x, y = (centre + random.randint(-8, 8) for centre in FACE)
    left, top = (min(max(0, centre - side // 2), 512 - side) for centre in (x, y))
    part = photograph("astronaut.png").crop((left, top, left + side, top + side))
    return _altered(_to_width(part, random.choice((320, 400, 480, 640))), random)


def _to_width(picture: Image.Image, width: int) -> Image.Image:
    height = max(1, round(picture.height * width / picture.width))
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def _altered(picture: Image.Image, random: Random) -> Image.Image:
    if random.random() < 0.5:
        picture = ImageOps.mirror(picture)
    return ImageEnhance.Brightness(picture).enhance(random.uniform(0.85, 1.15))


def drawing(number: int, random: Random) -> Image.Image:
    """Return a drawn picture: a flag, a chart, a map, a pattern or a coat of arms, RGB or with a clear background."""
    draw = (_flag, _chart, _map, _pattern, _arms)[number % 5]
    width = random.choice((200, 320, 480, 640, 960))
    clear = number % 3 == 2
    picture = Image.new("RGBA", (width, int(width * random.uniform(0.5, 1.2))), (255, 255, 255, 0 if clear else 255))
    draw(ImageDraw.Draw(picture), picture.size, random)
    return picture if clear else picture.convert("RGB")


Colour = tuple[int, int, int]
Size = tuple[int, int]


def colour(random: Random) -> Colour:
    """Return any colour."""
    return random.randrange(256), random.randrange(256), random.randrange(256)


def _flag(draw: ImageDraw.ImageDraw, size: Size, random: Random) -> None:
    stripes = random.randint(2, 5)
    for stripe in range(stripes):
        top, bottom = size[1] * stripe // stripes, size[1] * (stripe + 1) // stripes
        draw.rectangle((0, top, size[0], bottom), fill=colour(random))
    radius = min(size) // 5
    draw.ellipse(
        (size[0] // 4 - radius, size[1] // 2 - radius, size[0] // 4 + radius, size[1] // 2 + radius), colour(random)
    )


def _chart(draw: ImageDraw.ImageDraw, size: Size, random: Random) -> None:
    bars = random.randint(5, 12)
    for bar in range(bars):
        left = size[0] * bar // bars
        draw.rectangle(
            (left + 3, random.randint(8, size[1] - 8), left + size[0] // bars - 3, size[1]), fill=colour(random)
        )
    draw.line((0, size[1] - 1, size[0], size[1] - 1), fill="black", width=3)
    draw.text((8, 2), f"n = {random.randint(100, 999)}", fill="black")


def _map(draw: ImageDraw.ImageDraw, size: Size, random: Random) -> None:
    for _ in range(random.randint(4, 9)):
        x, y = random.randint(0, size[0]), random.randint(0, size[1])
        angles = np.linspace(0, 2 * np.pi, random.randint(6, 14), endpoint=False)
        reach = [random.uniform(0.1, 0.35) * min(size) for _ in angles]
        outline = [(x + r * np.cos(a), y + r * np.sin(a)) for a, r in zip(angles, reach, strict=True)]
        draw.polygon(outline, fill=colour(random), outline="black")


def _pattern(draw: ImageDraw.ImageDraw, size: Size, random: Random) -> None:
    step, colours = random.randint(8, 40), (colour(random), colour(random), colour(random))
    for x in range(0, size[0], step):
        for y in range(0, size[1], step):
            draw.ellipse((x, y, x + step - 2, y + step - 2), fill=colours[(x // step + y // step) % 3])


def _arms(draw: ImageDraw.ImageDraw, size: Size, random: Random) -> None:
    width, height = size
    draw.pieslice((width // 8, -height // 2, width * 7 // 8, height - 4), 0, 180, fill=colour(random), outline="black")
    draw.rectangle(
        (width // 2 - width // 20, height // 4, width // 2 + width // 20, height * 3 // 4), fill=colour(random)
    )


def svg(number: int, random: Random) -> bytes:
    """Return a drawn SVG: a flag with shapes on it and a line of text."""
    width, height = random.choice((120, 300, 512, 900)), random.choice((120, 200, 512, 600))
    shapes = [f'<rect width="{width}" height="{height}" fill="{_hex(random)}"/>' if number % 3 else ""]
    for _ in range(random.randint(3, 8)):
        x, y, radius = random.randint(0, width), random.randint(0, height), random.randint(10, 90)
        shapes.append(f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{_hex(random)}" fill-opacity="0.8"/>')
    shapes.append(f'<text x="10" y="{height // 2}" font-size="{height // 8}">Figure {number}</text>')
    body = "\n  ".join(shapes)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">\n  {body}\n</svg>\n'
    ).encode()


def _hex(random: Random) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour(random))
