"""Deletion candidates: the files on Commons that someone wants deleted today, and where that is written.

Which categories mean so is a setting; the defaults are what the bots of Commons itself look at. Deletion requests and
the like are filed by date, in subcategories such as "Deletion requests November 2026" or "Media without a source as of
5 November 2026". Categories can contain each other in a circle, and some hold many thousand files. One that does not
exist lists nothing, just as an empty one: a wrong name would let candidates through, and so can be told apart.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pipelines.commons.api import ApiClient
from pipelines.commons.names import MalformedUrl, file_name, normalise

SETTINGS = ("deletion_categories", "deletion_dated_categories", "deletion_templates")
"""The settings of a release that say where its deletion candidates are found."""

_YEAR = re.compile(r"(?<!\d)(19|20)\d\d(?!\d)")


@dataclass(frozen=True, slots=True)
class CandidateCategories:
    """Where deletion candidates are found; names without their namespace, as on Commons.

    Args:
        categories: their files are candidates.
        dated_categories: the files in their dated subcategories are.
        templates: files that transclude one of them are.

    """

    categories: tuple[str, ...] = (
        "Copyright violations",
        "Other speedy deletions",
        "Advertisements for speedy deletion",
        "Personal files for speedy deletion",
        "Duplicate",
    )
    dated_categories: tuple[str, ...] = (
        "Deletion requests",
        "Media missing permission",
        "Media without a source",
        "Media without a license",
    )
    templates: tuple[str, ...] = ("Delete",)

    @classmethod
    def of(cls, settings: Mapping[str, Sequence[str]]) -> Self:
        """Return what the settings of a release name."""
        return cls(*(tuple(settings[name]) for name in SETTINGS))

    def pages(self) -> dict[str, str]:
        """Return the title of each page that is named, and the setting that names it."""
        plain, dated, templates = SETTINGS
        return {
            **{f"Category:{shown(name)}": plain for name in self.categories},
            **{f"Category:{shown(name)}": dated for name in self.dated_categories},
            **{f"Template:{shown(name)}": templates for name in self.templates},
        }


def is_dated(subcategory: str, category: str) -> bool:
    """Say whether a category is a dated subcategory by its name: the other's name, and what follows holds a year."""
    name, root = normalise(subcategory), normalise(category)
    return name.startswith(root + "_") and bool(_YEAR.search(name[len(root) :]))


def shown(name: str) -> str:
    """Return the name of a category or template as its wiki shows it: first letter in upper case, spaces."""
    return normalise(name).replace("_", " ")


def in_category(category: str) -> str:
    """Return the reason for the files of a category."""
    return f"in Category:{shown(category)}"


def transcludes(template: str) -> str:
    """Return the reason for the files that transclude a template."""
    return f"transcludes Template:{shown(template)}"


def deletion_candidates(api: ApiClient, settings: CandidateCategories) -> dict[str, str]:
    """Return the name of every deletion candidate, and where it was found first (in the order of the settings).

    Raises:
        ApiUnavailable: the servers kept failing; no list is better than half of one.

    """
    found: dict[str, str] = {}
    for category in settings.categories:
        _note(found, api.members(shown(category), "file"), in_category(category))
    for root in settings.dated_categories:
        for category in sorted(_dated(api, root)):
            _note(found, api.members(shown(category), "file"), in_category(category))
    for template in settings.templates:
        _note(found, api.transcluding(shown(template)), transcludes(template))
    return found


def unknown_pages(api: ApiClient, settings: CandidateCategories) -> dict[str, str]:
    """Return the titles of pages that are not there and list nothing either, and the settings that name them."""
    pages = settings.pages()
    there = api.existing(list(pages))
    return {title: pages[title] for title in pages if title not in there and not _lists(api, title)}


def _lists(api: ApiClient, title: str) -> bool:
    """Say whether a category or template without a page is in use all the same."""
    namespace, _, name = title.partition(":")
    if namespace == "Template":
        return any(api.transcluding(name))
    return any(api.members(name, "file")) or any(api.members(name, "subcat"))


def _dated(api: ApiClient, root: str) -> set[str]:
    """Return the dated subcategories below a category, however deep, each once."""
    seen: set[str] = set()
    waiting = [shown(root)]
    while waiting:
        for title in api.members(waiting.pop(), "subcat"):
            name = normalise(title.partition(":")[2])
            if is_dated(name, root) and name not in seen:
                seen.add(name)
                waiting.append(shown(name))
    return seen


def _note(found: dict[str, str], titles: Iterator[str], reason: str) -> None:
    for title in titles:
        try:
            found.setdefault(file_name(title), reason)
        except MalformedUrl:  # what no file can be called is no file of ours
            continue
