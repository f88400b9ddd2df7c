"""A little wiki for tests, with two faces: an Action API over HTTP, and SQL dumps."""

import gzip
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from pipelines.commons.deletion import CandidateCategories

_NAMESPACES = {"File": 6, "Template": 10, "Category": 14}


@dataclass
class LittleWiki:
    """Pages by title with spaces, as MediaWiki shows them; `pages` are those of categories and templates."""

    files: dict[str, dict[str, object]] = field(default_factory=dict)
    categories: dict[str, list[str]] = field(default_factory=dict)
    templates: dict[str, list[str]] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    poison: set[str] = field(default_factory=set)
    pages: set[str] = field(default_factory=lambda: set(CandidateCategories().pages()))
    at_once: int = 500

    async def __call__(self, request: web.Request) -> web.Response:
        posted = await request.post() if request.method == "POST" else {}
        return web.json_response(self.answer({**request.query, **{k: str(v) for k, v in posted.items()}}))

    def answer(self, asked: Mapping[str, str]) -> dict[str, object]:
        assert (asked["action"], asked["format"], asked["formatversion"]) == ("query", "json", "2")
        assert asked["maxlag"] == "5"
        if asked.get("list") == "categorymembers":
            kind = {"file": "File:", "subcat": "Category:"}[asked["cmtype"]]
            name = asked["cmtitle"].removeprefix("Category:").replace("_", " ")
            members = [title for title in self.categories.get(name, []) if title.startswith(kind)]
            return self._listed("categorymembers", "cm", members, asked)
        if asked.get("list") == "embeddedin":
            assert asked["einamespace"] == "6"
            using = self.templates.get(asked["eititle"].removeprefix("Template:"), [])
            return self._listed("embeddedin", "ei", using, asked)
        return self._described(asked)

    def _listed(self, name: str, prefix: str, titles: list[str], asked: Mapping[str, str]) -> dict[str, object]:
        assert asked[f"{prefix}limit"] == "500"
        start = int(asked.get(f"{prefix}continue", "0"))
        end = start + self.at_once
        more = {"continue": {f"{prefix}continue": str(end), "continue": "-||"}} if end < len(titles) else {}
        return {**more, "query": {name: [{"title": title} for title in titles[start:end]]}}

    def _described(self, asked: Mapping[str, str]) -> dict[str, object]:
        titles = asked["titles"].split("|")
        assert len(titles) <= 50
        described = "imageinfo" in asked.get("prop", "")
        normal = {title: title.replace("_", " ") for title in titles}
        if described and self.poison.intersection(normal.values()):
            return {"error": {"code": "urlparamnormal", "info": "Could not normalize image parameters"}}
        pages, redirects = [], []
        for title in normal.values():
            target = self.moved.get(title, title)
            if target != title:
                redirects.append({"from": title, "to": target})
            page: dict[str, object] = {"ns": 6, "title": target}
            if target not in self.files and target not in self.pages:
                page["missing"] = True
            elif described:
                page["imageinfo"] = [self.files[target]]
            pages.append(page)
        start = int(asked.get("iistart", "0"))
        for number, page in enumerate(pages):
            if not start <= number < start + self.at_once:
                page.pop("imageinfo", None)
        more = described and start + self.at_once < len(pages)
        query = {
            "normalized": [{"fromencoded": False, "from": a, "to": b} for a, b in normal.items() if a != b],
            "redirects": redirects,
            "pages": pages,
        }
        proceed = {"continue": {"iistart": str(start + self.at_once), "continue": "||"}} if more else {}
        return {**proceed, "query": query}

    def dump(self, folder: Path, *, padding: int = 0) -> dict[str, str]:
        """Write the dumps; with `padding` rows in categories that matter to nobody; return their paths by table."""
        titles = {title for members in self.categories.values() for title in members}
        titles |= {f"Category:{name}" for name in self.categories} | self.pages
        pages = {title: number for number, title in enumerate(sorted(titles), start=1)}
        targets = {name: number for number, name in enumerate(sorted(self.categories), start=7)}
        links: list[tuple[int, str, bytes]] = [
            (pages[title], name, b"file" if title.startswith("File:") else b"subcat")
            for name, members in self.categories.items()
            for title in members
        ]
        noise = ((10**6 + n, f"Padding {n % 1000}", b"file") for n in range(padding))
        target_of = targets | {f"Padding {n}": 10**4 + n for n in range(min(1000, padding))}
        every = itertools.chain(links, noise)
        link_rows = ((b"SORT'\\KEY\n(,", kind, target_of[to], page, None) for page, to, kind in every)
        link_columns = ("cl_sortkey", "cl_type", "cl_target_id", "cl_from", "cl_collation_id")
        page_rows = [
            (number, _NAMESPACES[title.partition(":")[0]], _title(title.partition(":")[2]), 0.5, None)
            for title, number in pages.items()
        ]
        target_rows = [(number, 14, _title(name)) for name, number in target_of.items()]
        tables = {
            "page": (("page_id", "page_namespace", "page_title", "page_random", "page_lang"), page_rows),
            "categorylinks": (link_columns, link_rows),
            "linktarget": (("lt_id", "lt_namespace", "lt_title"), target_rows),
        }
        return {name: write_dump(folder / f"{name}.sql.gz", name, *content) for name, content in tables.items()}


def _title(name: str) -> bytes:
    return name.replace(" ", "_").encode()


def _literal(value: object) -> bytes:
    if value is None:
        return b"NULL"
    if isinstance(value, bytes):
        for plain, escaped in ((b"\\", b"\\\\"), (b"'", b"\\'"), (b'"', b'\\"'), (b"\n", b"\\n"), (b"\0", b"\\0")):
            value = value.replace(plain, escaped)
        return b"'" + value + b"'"
    return str(value).encode()


def write_dump(path: Path, table: str, columns: Iterable[str], rows: Iterable[tuple[object, ...]]) -> str:
    """Write a table as mysqldump does: many rows to an INSERT."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"-- MySQL dump 10.19\n--\n\nDROP TABLE IF EXISTS `%s`;\n" % table.encode())
        file.write(b"/*!40101 SET character_set_client = utf8 */;\nCREATE TABLE `%s` (\n" % table.encode())
        for column in columns:
            file.write(b"  `%s` varbinary(255) NOT NULL DEFAULT '',\n" % column.encode())
        file.write(b"  PRIMARY KEY (`x`),\n  KEY `y` (`z`)\n) ENGINE=InnoDB DEFAULT CHARSET=binary;\n\n")
        left = iter(rows)
        while batch := list(itertools.islice(left, 20_000)):
            values = b",".join(b"(" + b",".join(map(_literal, row)) + b")" for row in batch)
            file.write(b"INSERT INTO `%s` VALUES %s;\n" % (table.encode(), values))
        file.write(b"-- Dump completed on 2026-11-20\n")
    return str(path)


def imageinfo(name: str, **metadata: object) -> dict[str, object]:
    """Return what the API says of an ordinary file."""
    said = {"LicenseShortName": "CC BY-SA 4.0", "Artist": f"<b>{name}'s author</b>", **metadata}
    return {
        "timestamp": "2020-01-01T00:00:00Z",
        "size": 1000,
        "width": 640,
        "height": 480,
        "sha1": f"{abs(hash(name)):040x}"[:40],
        "mime": "image/jpeg",
        "extmetadata": {key: {"value": value, "source": "commons-desc-page"} for key, value in said.items()},
    }


def catalogue(folder: Path, **about: object) -> Path:
    """Make a folder that the demo Commons serves."""
    (folder / "originals").mkdir(parents=True)
    (folder / "catalogue.json").write_text(json.dumps(about))
    return folder
