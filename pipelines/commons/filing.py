"""Where images belong, for many URLs at a time: what `names` says of one, in half the time.

Most URLs are spelt as they should be, so their names are cut out by Arrow, and what is left for each is one md5.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import md5

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.commons.names import (
    COMMONS,
    LONGEST,
    PLAIN,
    UPLOAD,
    ImageUrl,
    MalformedUrl,
    file_page_url,
    original_url,
    parse_image_url,
    partition_of,
)

_ON_COMMONS = f"{UPLOAD}/wikipedia/commons/"
_HEX = np.array([ord(digit) for digit in "0123456789abcdef"], np.uint8)


@dataclass(frozen=True, slots=True)
class Filed:
    """What is known of each of some URLs.

    Args:
        urls: canonical ones; a URL that names no file stands for itself.
        names: of the files; null where the URL names none.
        partitions: the number of each one's shard.

    """

    urls: pa.StringArray
    names: pa.StringArray
    partitions: np.ndarray


def filed(urls: pa.StringArray, partitions: int) -> Filed:
    """Find the file, the canonical URL and the partition of each media URL, as `parse_image_url` and others do."""
    found = pc.extract_regex(urls, f"^https?(?P<rest>{PLAIN})$")
    rest, folders, names = (pc.struct_field(found, field) for field in ("rest", "folders", "name"))
    canonical = pc.binary_join_element_wise("https", rest, "")
    digests = _digests(names)
    numbers = _modulo(digests, partitions)
    short = pc.fill_null(pc.less_equal(pc.binary_length(names), LONGEST), False)
    others = pc.invert(pc.and_(pa.array(_belong(folders, digests)), short))
    placed = [_one(url, partitions) for url in urls.filter(others).to_pylist()]
    numbers[np.asarray(others)] = [partition for _, _, partition in placed]
    return Filed(
        pc.replace_with_mask(canonical, others, pa.array([url for url, _, _ in placed], pa.string())),
        pc.replace_with_mask(names, others, pa.array([name for _, name, _ in placed], pa.string())),
        numbers,
    )


def _digests(names: pa.StringArray) -> np.ndarray:
    """Return the md5 of each name, (names, 16) uint8; of null, that of nothing."""
    found = [md5(name or b"", usedforsecurity=False).digest() for name in names.cast(pa.binary()).to_pylist()]
    return np.frombuffer(b"".join(found), np.uint8).reshape(-1, 16)


def _modulo(digests: np.ndarray, partitions: int) -> np.ndarray:
    """Return the rest of each digest, a number of 128 bits with the highest first, by a number of less than 31 bits."""
    halves = digests.view(">u8").astype(np.uint64) % np.uint64(partitions)
    return ((halves[:, 0] * np.uint64(2**64 % partitions) + halves[:, 1]) % np.uint64(partitions)).astype(np.int32)


def _belong(folders: pa.StringArray, digests: np.ndarray) -> np.ndarray:
    """Say of each pair of folders, such as a/ab, whether it belongs to the digest."""
    given = b"".join(pc.fill_null(folders, "----").cast(pa.binary()).to_pylist())
    found = np.frombuffer(given, np.uint8).reshape(-1, len("a/ab"))
    high, low = _HEX[digests[:, 0] >> 4], _HEX[digests[:, 0] & 15]
    belongs: np.ndarray = (found[:, 0] == high) & (found[:, 2] == high) & (found[:, 3] == low)
    return belongs


def _one(url: str, partitions: int) -> tuple[str, str | None, int]:
    try:
        image = parse_image_url(url)
    except MalformedUrl:
        return url, None, partition_of(url, partitions)
    return original_url(image), image.name, partition_of(image.name, partitions)


def sites(urls: pa.StringArray, names: pa.StringArray) -> pa.StringArray:
    """Return the wiki of each file, given its canonical URL and its name; see `ImageUrl`."""
    return _of_images(urls, names, pa.scalar(COMMONS), lambda image: image.site)


def file_pages(urls: pa.StringArray, names: pa.StringArray) -> pa.StringArray:
    """Return the URL of each file's page, given its canonical URL and its name; see `file_page_url`."""
    quoted = pc.utf8_slice_codeunits(urls, len(_ON_COMMONS) + len("a/ab/"))
    pages = pc.binary_join_element_wise(file_page_url(ImageUrl(COMMONS, "")), quoted, "")
    return _of_images(urls, names, pages, file_page_url)


def _of_images(
    urls: pa.StringArray, names: pa.StringArray, on_commons: pa.Array | pa.Scalar, elsewhere: Callable[[ImageUrl], str]
) -> pa.StringArray:
    named = pc.is_valid(names)
    here = pc.starts_with(urls, _ON_COMMONS)
    others = pc.and_not(named, here)
    found = pc.if_else(pc.and_(named, here), on_commons, None)
    told = [elsewhere(parse_image_url(url)) for url in urls.filter(others).to_pylist()]
    return pc.replace_with_mask(found, others, pa.array(told, pa.string()))
