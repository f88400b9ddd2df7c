"""The demo's catalogue on disk: some 250 files of a Commons that never was, and the WIT rows over them.

It is made so that every outcome of the ledger occurs that a fetch can have, it is the same every time, and it needs
no network. ``catalogue.json`` has the keys of ``wiki`` and three more: ``made_by``, by which a finished catalogue
is known; ``expected``, {"File:…" as WIT knows it: outcome} for what is not to be released (faces by how the
pictures were made: a weak detector may miss some); and ``selected``, how many images have a caption.
"""

import json
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from PIL import __version__ as pillow

from pipelines.demo.contents import DemoImage, contents
from pipelines.demo.wiki import Wiki
from pipelines.demo.wit_rows import write_wit
from pipelines.errors import InputError
from pipelines.tables import Outcome

VERSION = 3

_MAKER = "pipelines.demo.catalogue"
_MADE_BY = f"{_MAKER} {VERSION} with Pillow {pillow}"
SEED = 20210909  # the day on which the release of 2021 was announced

_LICENCES = (
    {"LicenseShortName": "CC BY-SA 4.0", "LicenseUrl": "https://creativecommons.org/licenses/by-sa/4.0"},
    {"LicenseShortName": "CC BY 2.0", "LicenseUrl": "https://creativecommons.org/licenses/by/2.0"},
    {"LicenseShortName": "CC0"},
    {"LicenseShortName": "Public domain", "AttributionRequired": "false"},
    {"LicenseShortName": "CC BY-SA 3.0", "LicenseUrl": "http://creativecommons.org/licenses/by-sa/3.0/"},
)
_AUTHORS = (
    '<a href="//commons.wikimedia.org/wiki/User:Example" title="User:Example">Example</a>',
    "Zoë Ångström",
    '<bdi><a href="https://www.wikidata.org/wiki/Q1" class="extiw">山田 太郎</a></bdi>',
    "Unknown author<span style='display: none;'>Unknown author</span>",
    "The photographer &amp; friends",
)
_HOSTILE = {
    "LicenseShortName": "<b>CC BY</b><script>alert(1)</script>",
    "LicenseUrl": "javascript:alert(2)",
    "Artist": '<a href="javascript:alert(3)">Mallory</a><img src=x onerror="alert(4)"></td><script>alert(5)</script>',
    "Credit": '=HYPERLINK("http://example.org")<!-- \t\n --><style>*{display:none}</style>',
}
_TREE = {
    "Deletion requests": ["Deletion requests November 2026"],
    "Media missing permission": ["Media missing permission as of 5 November 2026"],
    "Media missing permission as of 5 November 2026": ["Media missing permission"],  # categories can go in circles
    "Media without a source": ["Media without a source as of 19 November 2026"],
    "Media without a license": [],
}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Where the demo's catalogue is: the folder to serve, and the WIT file to release."""

    folder: Path
    wit: Path


def make_catalogue(folder: Path) -> Catalogue:
    """Make the demo's catalogue in ``folder``, or find it there from an earlier time.

    It is made beside the folder and moved there when it is whole.

    Raises:
        InputError: the folder holds something else.
    """
    catalogue = Catalogue(folder, folder / "wit.tsv.gz")
    made_by = _made_by(folder)
    if made_by == _MADE_BY:
        return catalogue
    if folder.exists() and any(folder.iterdir()) and not made_by.startswith(_MAKER):
        raise InputError(f"{folder} holds something else than a demo catalogue; name an empty folder or a new one")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "originals").mkdir(parents=True)
    _write(partial, contents(Random(SEED)))
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)
    return catalogue


def _made_by(folder: Path) -> str:
    try:
        return str(json.loads((folder / "catalogue.json").read_text("utf-8")).get("made_by", ""))
    except (OSError, ValueError):
        return ""


def _write(folder: Path, images: list[DemoImage]) -> None:
    for image in images:
        if image.data is not None:
            (folder / "originals" / (image.today or image.name)).write_bytes(image.data)
    about = json.dumps(_about(images, Random(SEED)), ensure_ascii=False, indent=1)
    (folder / "catalogue.json").write_text(about + "\n", "utf-8")
    wiki = Wiki(folder)
    described = [(image, wiki.info(image.today or image.name)) for image in images]
    write_wit(folder / "wit.tsv.gz", described, Random(SEED))


def _about(images: list[DemoImage], random: Random) -> dict[str, Any]:
    on_commons = [image for image in images if image.site == "commons"]
    there = [image for image in on_commons if image.data is not None]
    categories = defaultdict[str, list[str]](list, {name: list(members) for name, members in _TREE.items()})
    templates = defaultdict[str, list[str]](list)
    for image in there:
        for category in (image.subject.word("en"), *image.categories):
            categories[category].append(image.title)
        if image.template:
            templates[image.template].append(image.title)
    licences = {image.title: random.choice(_LICENCES) | {"Artist": random.choice(_AUTHORS)} for image in there}
    licences[next(image.title for image in there if image.expected is Outcome.RELEASED)] = _HOSTILE
    return {
        "about": "Files of a Commons that never was, made for the demo; marks and licences were assigned at random.",
        "made_by": _MADE_BY,
        "selected": sum(image.captioned for image in images),
        "expected": {
            "File:" + image.name: image.expected
            for image in images
            if image.captioned and image.expected is not Outcome.RELEASED
        },
        "categories": categories,
        "templates": templates,
        "licences": licences,
        "timestamps": {
            image.title: f"20{random.randint(10, 26)}-0{random.randint(1, 9)}-1{random.randint(0, 9)}T12:00:00Z"
            for image in there
        },
        "missing": [image.title for image in on_commons if image.data is None],
        "redirects": {"File:" + image.name: image.title for image in images if image.today},
        "unavailable": [image.title for image in images if not image.available],
    }


def _some_time(random: Random) -> str:
    return f"{random.randint(2010, 2025)}-{random.randint(1, 12):02}-{random.randint(1, 28):02}T12:00:00Z"
