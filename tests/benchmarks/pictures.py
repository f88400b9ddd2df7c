"""What it costs to make a released picture, and how good it is, beside what others would do.

    python -m tests.benchmarks.pictures [--rounds 5]

Every way is timed in turn on the same pictures, in CPU time of this process, and the best of the rounds counts: take
the ratios, not the figures. SSIM is against Pillow's Lanczos over the fully decoded picture, before encoding.
"""

import argparse
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image
from skimage.data import astronaut, hubble_deep_field, retina
from skimage.metrics import structural_similarity

from pipelines.vision.decoding_jpeg import decode, encode
from pipelines.vision.decoding_limits import DEFAULT_LIMITS
from pipelines.vision.decoding_scaled import released_size
from pipelines.vision.pictures import decode_rgb, release_picture
from tests.shared import SHARED

WIDTH, QUALITY = 300, 90
ORIGINALS = ("Carrie.jpg", "Rostockstein.jpg", "Tower.jpg", "The_Poppet.jpg")


@dataclass(frozen=True)
class Way:
    """A way to scale a JPEG, and then to encode what came of it."""

    name: str
    scale: Callable[[bytes], Any]
    encode: Callable[[Any], Any]


def lanczos(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    return image.resize(released_size(*image.size, WIDTH), Image.Resampling.LANCZOS)


def thumbnail(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.thumbnail(released_size(*image.size, WIDTH))
    return image.convert("RGB")


def by_area(data: bytes) -> Any:
    """As img2dataset does it, with its defaults: OpenCV decodes in full and averages areas."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return cv2.resize(image, released_size(image.shape[1], image.shape[0], WIDTH), interpolation=cv2.INTER_AREA)


def ours(data: bytes) -> Any:
    scaled = decode(data, WIDTH, DEFAULT_LIMITS)
    assert scaled is not None
    return scaled.pixels


def pillow_jpeg(image: Image.Image, quality: int = QUALITY) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


WAYS = (
    Way("Pillow, Lanczos", lanczos, pillow_jpeg),
    Way("Pillow, thumbnail()", thumbnail, pillow_jpeg),
    Way("OpenCV, INTER_AREA", by_area, lambda image: cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])),
    Way("ours", ours, lambda pixels: encode(pixels, QUALITY)),
)


def photographs() -> list[Image.Image]:
    """Return large photographs: Commons originals where they are on this machine, scikit-image's pictures otherwise."""
    folder = SHARED / "commons" / "originals"
    if folder.exists():
        return [Image.open(folder / name).convert("RGB") for name in ORIGINALS]
    print("../shared/data is not on this machine: scikit-image's pictures stand in")
    return [Image.fromarray(picture()) for picture in (astronaut, retina, hubble_deep_field)]


def jpegs(widths: tuple[int, ...], quality: int) -> list[bytes]:
    """Return each photograph as JPEGs of the given widths."""
    files = []
    for image in photographs():
        for width in widths:
            size = (width, max(1, round(image.height * width / image.width)))
            files.append(pillow_jpeg(image.resize(size, Image.Resampling.LANCZOS), quality))
    return files


def cost(work: Callable[[bytes], Any], files: list[bytes], repeats: int) -> float:
    """Return CPU milliseconds a picture."""
    start = time.process_time()
    for _ in range(repeats):
        for data in files:
            work(data)
    return (time.process_time() - start) * 1000 / repeats / len(files)


def likeness(way: Way, files: list[bytes]) -> tuple[float, float]:
    """Return mean and least SSIM to Pillow's Lanczos."""
    values = []
    for data in files:
        pixels = np.asarray(way.scale(data))
        if way.scale is by_area:
            pixels = pixels[:, :, ::-1]
        wanted = lanczos(data)
        if pixels.shape[1::-1] != wanted.size:  # thumbnail() rounds as it likes
            wanted = wanted.resize(pixels.shape[1::-1])
        values.append(structural_similarity(pixels, np.asarray(wanted), channel_axis=2))
    return float(np.mean(values)), float(np.min(values))


def compare(title: str, files: list[bytes], rounds: int, repeats: int) -> None:
    """Time all ways in turn and print the table."""
    scaling = {way.name: float("inf") for way in WAYS}
    whole = dict(scaling)
    for _ in range(rounds):
        for way in WAYS:
            scaling[way.name] = min(scaling[way.name], cost(way.scale, files, repeats))
            work = release if way.name == "ours" else lambda data, way=way: way.encode(way.scale(data))
            whole[way.name] = min(whole[way.name], cost(work, files, repeats))
    print(f"\n{title}: {len(files)} pictures, {sum(map(len, files)) // len(files) // 1000} KB each")
    print(f"{'':24}{'scaled, ms':>12}{'ratio':>8}{'and encoded':>14}{'ratio':>8}{'SSIM mean':>12}{'least':>8}")
    base = WAYS[0].name
    for way in WAYS:
        mean, least = likeness(way, files)
        print(
            f"{way.name:24}{scaling[way.name]:12.2f}{scaling[way.name] / scaling[base]:8.2f}"
            f"{whole[way.name]:14.2f}{whole[way.name] / whole[base]:8.2f}{mean:12.4f}{least:8.4f}"
        )


def release(data: bytes) -> bytes:
    """Make a released picture: all checks included, as the pipeline does."""
    return release_picture(data, width=WIDTH, jpeg_quality=QUALITY).data


def compare_reading(files: list[bytes], rounds: int) -> None:
    """Time the way back, from a released picture to pixels."""
    released = [release(data) for data in files]
    pillow = min(
        cost(lambda data: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), released, 20) for _ in range(rounds)
    )
    own = min(cost(decode_rgb, released, 20) for _ in range(rounds))
    print(f"\nReleased JPEGs back to pixels: Pillow {pillow:.2f} ms, ours {own:.2f} ms, ratio {own / pillow:.2f}")


def pillow_rgb(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each way is timed (default: %(default)s)")
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    thumbnails = jpegs((330,), 87)
    compare("Thumbnails of 330 px", thumbnails, rounds, 10)
    compare("Originals of 2 to 8 megapixels", jpegs((1600, 2048, 2400), 90), rounds, 1)
    compare_reading(thumbnails, rounds)


if __name__ == "__main__":
    main()
