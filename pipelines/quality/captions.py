"""Measures a caption file, row by row, and counts the languages of its rows."""

import gzip
from collections import Counter
from typing import IO

from pipelines.quality.measured import File, Images
from pipelines.releases import shards
from pipelines.tables import KEY


def measure_captions(shard: IO[bytes], file: File, images: Images, languages: Counter[str]) -> None:
    """Measure each row of a caption file.

    Args:
        shard: the gzipped file.
        file: its measurements: rows are counted, columns compared.
        images: measurements of the partition's images; what must be released is known.
        languages: rows are counted by language.

    Raises:
        Exception: one of `shards.DAMAGE`: the file is damaged from here on.

    """
    file.rows = 0
    with gzip.open(shard, "rt", encoding="utf-8", newline="") as text:
        reader = shards.caption_reader(text)
        file.header_as_declared = tuple(reader.fieldnames or ()) == shards.CAPTION_COLUMNS
        if KEY not in (reader.fieldnames or ()):
            return
        for number, row in enumerate(reader, start=1):
            file.rows = number
            _count(images, row, number)
            languages[row.get("language") or ""] += 1


def _count(images: Images, row: dict[str, str], number: int) -> None:
    url = row[KEY]
    if not url:
        raise ValueError(f"row {number} has no {KEY}")
    image = images[url]
    whole = None not in row and None not in row.values()
    image.caption_errors = (image.caption_errors or 0) + (not whole)
    if image.released_lines == 0:
        image.stray_caption_rows = (image.stray_caption_rows or 0) + 1
    elif image.released_lines:
        image.caption_rows = (image.caption_rows or 0) + 1
        blank = not (row.get("caption_reference_description") or "").strip()
        image.captions = (image.captions or 0) + (not blank)
