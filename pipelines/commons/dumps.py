"""Deletion candidates out of SQL dumps, for releases of millions of files: no request to the API, the same answer.

Each dump streams by once; what is kept are the members of the few categories that matter. Dumps name categories by
number (``categorylinks.cl_target_id`` → ``linktarget``). Templates are left to the last look before publication, which
asks the API: Commons puts every file with Template:Delete into a dated category as well.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from pipelines.commons.deletion import CandidateCategories, in_category, is_dated
from pipelines.commons.names import normalise
from pipelines.commons.sqldump import Value, read_rows

_FILE, _CATEGORY = b"6", b"14"


@dataclass(frozen=True, slots=True)
class Dumps:
    """Where the dumps of one wiki and day are: paths or URLs of .sql.gz files.

    Args:
        page: titles.
        categorylinks: which page is in which category.
        linktarget: names of categories.
        user_agent: to name to the server of URLs.

    """

    page: str
    categorylinks: str
    linktarget: str
    user_agent: str = ""

    def rows(self, table: Literal["page", "categorylinks", "linktarget"], *columns: str) -> Iterator[tuple[Value, ...]]:
        """Yield the wanted columns of each row of a table."""
        return read_rows(getattr(self, table), table, columns, self.user_agent)


@dataclass(slots=True)
class _Members:
    """The pages found in the categories that matter, by the name of these."""

    files: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    subcategories: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def pages(self) -> set[int]:
        return set().union(*self.files.values(), *self.subcategories.values())


def deletion_candidates_from_dumps(dumps: Dumps, settings: CandidateCategories) -> dict[str, str]:
    """Return the name of every deletion candidate and where it was found first, as `deletion.deletion_candidates` does.

    Templates are not looked for.

    Raises:
        DumpError: a dump is missing, damaged, or lacks a column.

    """
    members = _Members()
    for page, kind, category in _category_links(dumps, settings):
        if kind == b"file":
            members.files[category].add(page)
        elif kind == b"subcat":
            members.subcategories[category].add(page)
    files, categories = _titles(dumps, members.pages())
    found: dict[str, str] = {}
    for pages, reason in _in_order(members, categories, settings):
        for page in pages:
            if page in files:
                found.setdefault(files[page], reason)
    return found


def _in_order(
    members: _Members, categories: dict[int, str], settings: CandidateCategories
) -> Iterator[tuple[set[int], str]]:
    """Yield the pages of each category with the reason that they give, in the order of the settings."""
    for name in settings.categories:
        yield members.files[normalise(name)], in_category(name)
    for name in settings.dated_categories:
        for dated in sorted(_dated(normalise(name), members, categories)):
            yield members.files[dated], in_category(dated)


def _dated(root: str, members: _Members, categories: dict[int, str]) -> set[str]:
    """Return the dated subcategories below a category, however deep, each once."""
    seen: set[str] = set()
    waiting = [root]
    while waiting:
        for page in members.subcategories[waiting.pop()]:
            name = categories.get(page, "")
            if is_dated(name, root) and name not in seen:
                seen.add(name)
                waiting.append(name)
    return seen


def _category_links(dumps: Dumps, settings: CandidateCategories) -> Iterator[tuple[int, Value, str]]:
    """Yield page, kind of member and category for each link into a category that may matter."""
    plain = {normalise(name).encode() for name in (*settings.categories, *settings.dated_categories)}
    begins = tuple(normalise(name).encode() + b"_" for name in settings.dated_categories)

    def matters(name: bytes) -> bool:
        return name in plain or (
            name.startswith(begins) and any(is_dated(_text(name), root) for root in settings.dated_categories)
        )

    rows = dumps.rows("linktarget", "lt_id", "lt_namespace", "lt_title")
    targets = {
        number: _text(title)
        for number, where, title in rows
        if where == _CATEGORY and title is not None and matters(title)
    }
    for page, kind, target in dumps.rows("categorylinks", "cl_from", "cl_type", "cl_target_id"):
        if target in targets:
            yield _number(page), kind, targets[target]


def _titles(dumps: Dumps, wanted: set[int]) -> tuple[dict[int, str], dict[int, str]]:
    """Return the titles of the wanted pages that are files, and of those that are categories."""
    files: dict[int, str] = {}
    categories: dict[int, str] = {}
    for page, namespace, title in dumps.rows("page", "page_id", "page_namespace", "page_title"):
        kept = files if namespace == _FILE else categories if namespace == _CATEGORY else None
        if kept is not None and (number := _number(page)) in wanted:
            kept[number] = _text(title)
    return files, categories


def _text(value: Value) -> str:
    return (value or b"").decode("utf-8", "replace")


def _number(value: Value) -> int:
    return int(value or 0)
