"""Deletion candidates out of SQL dumps, for releases of millions of files: no request to the API, the same answer.

Each dump streams by once; what is kept are the members of the few categories that matter. Present dumps name categories
by number (``categorylinks.cl_target_id`` → ``linktarget``), older ones by name (``cl_to``); both are read.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pipelines.commons.deletion import CandidateCategories, in_category, is_dated, transcludes
from pipelines.commons.names import normalise
from pipelines.commons.sqldump import DumpError, Value, column_names, read_rows

_FILE, _TEMPLATE, _CATEGORY = b"6", b"10", b"14"


@dataclass(frozen=True, slots=True)
class Dumps:
    """Where the dumps of one wiki and day are: paths or URLs of .sql.gz files.

    Args:
        page: titles.
        categorylinks: which page is in which category.
        linktarget: names of categories and templates; None for dumps from before it was introduced.
        templatelinks: which page transcludes what; None: candidates by template are left out, as
            Commons puts every file with Template:Delete into a dated category as well.

    """

    page: str
    categorylinks: str
    linktarget: str | None = None
    templatelinks: str | None = None


@dataclass(slots=True)
class _Members:
    """The pages found in the categories and templates that matter, by the name of these."""

    files: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    subcategories: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    transcluding: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def pages(self) -> set[int]:
        every = (*self.files.values(), *self.subcategories.values(), *self.transcluding.values())
        return set().union(*every)


def deletion_candidates_from_dumps(dumps: Dumps, settings: CandidateCategories) -> dict[str, str]:
    """Return the name of every deletion candidate and where it was found first, as `deletion.deletion_candidates` does.

    Raises:
        DumpError: a dump is missing, damaged, or lacks a column.

    """
    members = _Members()
    for page, kind, category in _category_links(dumps, settings):
        if kind == b"file":
            members.files[category].add(page)
        elif kind == b"subcat":
            members.subcategories[category].add(page)
    for page, template in _transclusions(dumps, {normalise(name) for name in settings.templates}):
        members.transcluding[template].add(page)
    files, categories = _titles(dumps.page, members.pages())
    found: dict[str, str] = {}
    for pages, reason in _in_order(members, categories, settings):
        for page in pages:
            if page in files:
                found.setdefault(files[page], reason)
    return found


def _in_order(
    members: _Members, categories: dict[int, str], settings: CandidateCategories
) -> Iterator[tuple[set[int], str]]:
    """Yield the pages of each category and template with the reason that they give, in the order of the settings."""
    for name in settings.categories:
        yield members.files[normalise(name)], in_category(name)
    for name in settings.dated_categories:
        for dated in sorted(_dated(normalise(name), members, categories)):
            yield members.files[dated], in_category(dated)
    for name in settings.templates:
        yield members.transcluding[normalise(name)], transcludes(name)


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

    if "cl_to" in column_names(dumps.categorylinks, "categorylinks"):
        for page, kind, name in read_rows(dumps.categorylinks, "categorylinks", ("cl_from", "cl_type", "cl_to")):
            if name is not None and matters(name):
                yield _number(page), kind, _text(name)
        return
    targets = _targets(dumps, _CATEGORY, matters)
    columns = ("cl_from", "cl_type", "cl_target_id")
    for page, kind, target in read_rows(dumps.categorylinks, "categorylinks", columns):
        if target in targets:
            yield _number(page), kind, targets[target]


def _transclusions(dumps: Dumps, templates: set[str]) -> Iterator[tuple[int, str]]:
    """Yield page and template for each transclusion of a template that matters."""
    if dumps.templatelinks is None or not templates:
        return
    names = {name.encode() for name in templates}
    if "tl_title" in column_names(dumps.templatelinks, "templatelinks"):
        columns = ("tl_from", "tl_namespace", "tl_title")
        for page, namespace, title in read_rows(dumps.templatelinks, "templatelinks", columns):
            if title in names and namespace == _TEMPLATE:
                yield _number(page), _text(title)
        return
    targets = _targets(dumps, _TEMPLATE, names.__contains__)
    for page, target in read_rows(dumps.templatelinks, "templatelinks", ("tl_from", "tl_target_id")):
        if target in targets:
            yield _number(page), targets[target]


def _targets(dumps: Dumps, namespace: bytes, matters: Callable[[bytes], bool]) -> dict[Value, str]:
    """Return the names of the link targets that matter, by their number."""
    if dumps.linktarget is None:
        raise DumpError(f"{dumps.categorylinks} names its categories by number: the linktarget dump is needed as well")
    rows = read_rows(dumps.linktarget, "linktarget", ("lt_id", "lt_namespace", "lt_title"))
    return {
        number: _text(title)
        for number, where, title in rows
        if where == namespace and title is not None and matters(title)
    }


def _titles(path: str, wanted: set[int]) -> tuple[dict[int, str], dict[int, str]]:
    """Return the titles of the wanted pages that are files, and of those that are categories."""
    files: dict[int, str] = {}
    categories: dict[int, str] = {}
    for page, namespace, title in read_rows(path, "page", ("page_id", "page_namespace", "page_title")):
        kept = files if namespace == _FILE else categories if namespace == _CATEGORY else None
        if kept is not None and (number := _number(page)) in wanted:
            kept[number] = _text(title)
    return files, categories


def _text(value: Value) -> str:
    return (value or b"").decode("utf-8", "replace")


def _number(value: Value) -> int:
    return int(value or 0)
