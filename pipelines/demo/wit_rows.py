"""WIT rows over the demo's images, in WIT's raw format and with its quirks.

17 tab-separated columns with a header, quoted only where needed; several pages and languages per image; http beside
https and raw UTF-8 beside percent-encoding for the same image; quoted newlines, tabs and quotes; captions that are
empty or nothing but U+00A0; rows without an image; and three rows that are no rows.
"""

import csv
import gzip
import io
from pathlib import Path
from random import Random
from urllib.parse import quote, unquote

from pipelines.commons.names import ImageUrl, original_url
from pipelines.demo.contents import DemoImage
from pipelines.demo.subjects import LANGUAGES, PLACES, SPEECH
from pipelines.demo.wiki import FileInfo
from pipelines.tables import WIT_COLUMNS

Row = dict[str, str]

BAD_ROWS = 3
"""Rows that a reader must set aside: too few columns, a width that is no number, a byte that is not UTF-8."""


def write_wit(path: Path, described: list[tuple[DemoImage, FileInfo | None]], random: Random) -> None:
    """Write the rows of all images as a gzipped WIT file, the same bytes for the same input.

    Args:
        path: the file, ending in .tsv.gz.
        described: each image with what the wiki says of its file, None where there is none.
        random: source of the choices.
    """
    rows = [row for image, info in described for row in _rows(image, info, random)]
    rows += [_row(random, language, random.choice(PLACES)) | {"image_url": ""} for language in LANGUAGES[:3]]
    random.shuffle(rows)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, WIT_COLUMNS, delimiter="\t", lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    data = _with_bad_rows(text.getvalue().encode(), rows[0])
    path.write_bytes(gzip.compress(data, 6, mtime=0))


def _rows(image: DemoImage, info: FileInfo | None, random: Random) -> list[Row]:
    """Return the rows of one image: one to three pages, of which the first has the caption if any has."""
    languages = random.sample(LANGUAGES, random.choice((1, 1, 2, 2, 3)))
    spellings = _spellings(image, random)
    place = random.choice(PLACES)
    rows = []
    for number, language in enumerate(languages):
        speech, word = SPEECH[language], image.subject.word(language)
        row = _row(random, language, word)
        row["image_url"] = spellings[number % len(spellings)]
        if image.captioned and (number == 0 or random.random() < 0.6):
            caption = speech.caption.format(subject=word, place=place)
            row["caption_reference_description"] = caption if random.random() < 0.9 else f'"{caption}"\n(detail)'
        elif random.random() < 0.5:
            row["caption_reference_description"] = "\u00a0"
        if random.random() < 0.7:
            row["caption_attribution_description"] = " ".join(
                f"{SPEECH[other].name}: {image.subject.word(other)}" for other in random.sample(LANGUAGES, 2)
            )
        if random.random() < 0.4:
            row["caption_alt_text_description"] = speech.alt.format(subject=word)
        if info is not None:
            row |= {"mime_type": info.mime, "original_width": str(info.width), "original_height": str(info.height)}
        row["is_main_image"] = "true" if number == 0 else "false"
        rows.append(row)
    return rows


def _row(random: Random, language: str, title: str) -> Row:
    """Return a row's page and its text, without an image."""
    speech = SPEECH[language]
    row = dict.fromkeys(WIT_COLUMNS, "")
    row |= {"language": language, "page_title": title, "hierarchical_section_title": title, "is_main_image": "false"}
    row["page_url"] = f"https://{language}.wikipedia.org/wiki/{quote(title.replace(' ', '_'))}"
    row |= {"mime_type": "image/jpeg", "original_width": "800", "original_height": "600"}
    row["attribution_passes_lang_id"] = random.choice(("true", "false"))
    row["page_changed_recently"] = random.choice(("true", "false"))
    row["context_page_description"] = speech.context.format(subject=title)
    if random.random() < 0.5:
        row["section_title"] = speech.section
        row["hierarchical_section_title"] = f"{title} / {speech.section}"
        row["context_section_description"] = f"{speech.section}: {title}."
    return row


def _spellings(image: DemoImage, random: Random) -> list[str]:
    """Return ways in which WIT spells the URL of one image."""
    encoded = original_url(ImageUrl(image.site, image.name))
    raw = unquote(encoded) if "?" not in image.name and "#" not in image.name else encoded
    ways = [encoded, encoded.replace("https://", "http://"), raw]
    return random.sample(ways, len(ways))


def _with_bad_rows(data: bytes, row: Row) -> bytes:
    """Append three rows that are made from a good one and are none."""
    good = [row[column].replace("\n", " ").replace("\t", " ").replace('"', "") for column in WIT_COLUMNS]
    short = good[:11]
    no_number = [*good]
    no_number[WIT_COLUMNS.index("original_width")] = "wide"
    bad_byte = "\t".join([*good[:3], "Caf?", *good[4:]]).encode().replace(b"Caf?", b"Caf\xe9")
    return b"".join([data, "\t".join(short).encode(), b"\n", "\t".join(no_number).encode(), b"\n", bad_byte, b"\n"])
