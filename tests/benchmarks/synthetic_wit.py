"""A WIT of any size, made up as fast as it can be written: the same image in many rows, scattered over all files.

Rows have the sizes and the oddities of WIT's: fields that hold newlines, tabs and quotes, fields of more than 128 KiB,
captions that are nothing but U+00A0, images in several spellings, languages from everywhere. Texts are drawn from pools
of random words, which gzip shrinks to a third as it does WIT's. Every row follows from its number alone.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from isal import igzip

from pipelines.commons.names import partition_of
from pipelines.tables import WIT_COLUMNS

_BLOCK = 20_000
_LANGUAGES = ("en", "de", "fr", "es", "ru", "it", "ja", "zh", "pa", "ar", "he", "uk", "sv", "nn", "cy", "ceb")
_ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz",
    "абвгдежзиклмнопрстуфхцчшщыэюя",
    "ਕਖਗਘਙਚਛਜਝਞਟਠਡਢਣਤਥਦਧਨ",
    "一二三四五六七八九十百千万日本人中国山川",
)
_STEP = 2_038_074_743  # a prime: going by it visits each image once before any again
_HUGE = 50_003
"""Each so manieth row has a field of more than 128 KiB."""


@dataclass(frozen=True, slots=True)
class Wit:
    """A made-up WIT.

    Args:
        rows: in all files together.
        images: distinct ones.
        captioned: of 100 images, those that have a caption in some row; the first row of each of them has one.
        texts: bytes of the two context texts of a row, on average; WIT has some 1,500.
        crowded: images that are all filed in the first of `partitions` shards, besides those that fall there anyway.
        partitions: see above.

    """

    rows: int
    images: int
    captioned: int = 57
    texts: int = 1500
    crowded: int = 0
    partitions: int = 200

    def write(self, path: Path, file: int = 0, files: int = 1) -> int:
        """Write one of several gzipped files of this WIT; return the bytes before compression."""
        start, stop = (self.rows * number // files for number in (file, file + 1))
        size = 0
        with path.open("wb") as raw, igzip.IGzipFile(fileobj=raw, mode="wb", compresslevel=1) as packed:
            for block in itertools.chain([("\t".join(WIT_COLUMNS) + "\n").encode()], self.blocks(start, stop)):
                packed.write(block)
                size += len(block)
        return size

    def blocks(self, start: int, stop: int) -> Iterator[memoryview]:
        """Yield the lines of rows, without a header, some thousand at a time."""
        maker = _Maker(self)
        for first in range(start, stop, _BLOCK):
            yield maker.lines(np.arange(first, min(first + _BLOCK, stop)))

    def image_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the number of the image that each row is about."""
        return (rows % self.images) * _STEP % self.images

    def name(self, image: int) -> str:
        """Return the file name of an image."""
        if image >= self.crowded:
            return f"Église_{image}.jpg" if image % 10 == 0 else f"Synthetic_{image}.jpg"
        names = (f"Crowd_{image}_{attempt}.jpg" for attempt in itertools.count())
        return next(name for name in names if partition_of(name, self.partitions) == 0)


class _Maker:
    """Holds the pools, and puts rows together column by column."""

    def __init__(self, wit: Wit) -> None:
        self._wit = wit
        random = np.random.default_rng(0)
        words = [_words(random, alphabet) for alphabet in _ALPHABETS]
        self._titles = _pool(random, words, 5000, 18)
        self._sections = _pool(random, words, 2000, 14)
        self._captions = _pool(random, words, 20_000, 75)
        self._attributions = _pool(random, words, 20_000, 120, "English: ")
        self._contexts = _pool(random, words, 8000, wit.texts // 2)
        self._odd_captions = pa.array(["\u00a0", "\u00a0\u00a0\u3000", '"said ""so"", in two\nlines\tand a tab"'])
        huge = " ".join(words[0][at] for at in random.integers(0, len(words[0]), 25_000))
        self._pages = pa.concat_arrays([self._contexts, pa.array([f'"{huge}\n""end"""'])])

    def lines(self, rows: np.ndarray) -> memoryview:
        wit, count = self._wit, len(rows)
        images = wit.image_of(rows)
        # As good as random, and the same for a row wherever a block begins.
        dice = [(rows * prime + 12_345) % 1_000_003 for prime in (7_368_787, 982_451_653, 15_485_863, 32_452_843)]
        languages = pa.array(_LANGUAGES).take(pa.array(dice[0] % len(_LANGUAGES)))
        titles = self._take(self._titles, dice[1])
        sections = self._take(self._sections, dice[2], empty=dice[2] % 3 == 0)
        numbers = pa.array(rows).cast(pa.string())
        captioned = (images % 100 < wit.captioned) & ((rows < wit.images) | (dice[3] % 4 > 0))
        captions = self._take(self._captions, dice[3], empty=~captioned)
        odd = self._odd_captions.take(pa.array(dice[1] % 3))
        captions = pc.if_else(pa.array((rows % 997 == 0) & (rows >= wit.images)), odd, captions)
        pages = np.where(rows % _HUGE == 0, len(self._contexts), dice[0] % len(self._contexts))
        columns = {
            "language": languages,
            "page_url": _joined("https://", languages, ".wikipedia.org/wiki/Page_", numbers),
            "image_url": pa.array(self._urls(images, dice[0])),
            "page_title": titles,
            "section_title": sections,
            "hierarchical_section_title": _joined(self._take(self._titles, dice[1], plain=True), " / section"),
            "caption_reference_description": captions,
            "caption_attribution_description": self._take(self._attributions, images, empty=images % 12 == 0),
            "caption_alt_text_description": self._take(self._captions, dice[2], empty=dice[2] % 7 > 0),
            "mime_type": pa.array(["image/jpeg"] * count),
            "original_height": pa.array(200 + images % 3000).cast(pa.string()),
            "original_width": pa.array(100 + images % 4001).cast(pa.string()),
            "is_main_image": pa.array(dice[0] % 3 == 0).cast(pa.string()),
            "attribution_passes_lang_id": pa.array(dice[0] % 2 == 0).cast(pa.string()),
            "page_changed_recently": pa.array(dice[1] % 5 > 0).cast(pa.string()),
            "context_page_description": self._take(self._pages, pages),
            "context_section_description": self._take(self._contexts, dice[3], empty=dice[3] % 9 == 0),
        }
        lines = pc.binary_join_element_wise(*(columns[name] for name in WIT_COLUMNS), "\t")
        lines = pc.binary_join_element_wise(lines, "", "\n")
        _, offsets, content = lines.buffers()
        return memoryview(content)[: int(np.frombuffer(offsets, np.int32)[count])]

    def _take(
        self, pool: pa.Array, places: np.ndarray, empty: np.ndarray | None = None, plain: bool = False
    ) -> pa.Array:
        # The first half of each pool holds no cell that is quoted.
        places = places % (len(pool) // 2 if plain else len(pool))
        taken = pool.take(pa.array(places))
        return taken if empty is None else pc.if_else(pa.array(empty), "", taken)

    def _urls(self, images: np.ndarray, dice: np.ndarray) -> list[str]:
        made = []
        for image, die in zip(images.tolist(), dice.tolist(), strict=True):
            name = self._wit.name(image)
            digest = md5(name.encode(), usedforsecurity=False).hexdigest()
            shown = name if die % 20 == 0 else name.replace("É", "%C3%89")
            scheme = "http" if die % 30 == 0 else "https"
            made.append(f"{scheme}://upload.wikimedia.org/wikipedia/commons/{digest[0]}/{digest[:2]}/{shown}")
        return made


def _joined(*parts: pa.Array | str) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")


def _words(random: np.random.Generator, alphabet: str) -> list[str]:
    lengths = random.integers(2, 10, 4000)
    return ["".join(alphabet[at] for at in random.integers(0, len(alphabet), length)) for length in lengths]


def _pool(random: np.random.Generator, words: list[list[str]], count: int, size: int, begin: str = "") -> pa.Array:
    """Return cells as they stand in a file; a quarter of the second half holds what must be quoted."""
    cells = []
    for number in range(count):
        some = words[number % 7 if number % 7 < len(words) else 0]
        wanted = max(1, round(size * random.uniform(0.4, 1.6) / 8))
        # Few words make up most of a text, as in any language.
        text = begin + " ".join(some[int(at)] for at in random.random(wanted) ** 4 * len(some))
        if number >= count // 2 and number % 4 == 0:
            text = f'"{text}\n{begin}""{some[0]}"" \t{some[1]}"'
        cells.append(text)
    return pa.array(cells)
