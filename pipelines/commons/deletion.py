"""Deletion candidates: the files on Commons that someone wants deleted today, and where that is written.

Which categories mean so is a setting; the defaults are what the bots of Commons itself look at. Deletion requests and
the like are filed by date, in subcategories such as "Deletion requests November 2026" or "Media without a source as of
5 November 2026". Categories can contain each other in a circle, and some hold many thousand files. One that does not
exist lists nothing, just as an empty one: a wrong name would let candidates through, and so is refused.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pipelines.commons.api import ApiClient
from pipelines.commons.names import MalformedUrl, file_name, normalise
from pipelines.errors import SettingError

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

    def pages(self) -> dict[str, str]:
        """Return the title of each page that is named, and the setting that names it."""
        return {
            **{f"Category:{shown(name)}": "deletion_categories" for name in self.categories},
            **{f"Category:{shown(name)}": "deletion_dated_categories" for name in self.dated_categories},
            **{f"Template:{shown(name)}": "deletion_templates" for name in self.templates},
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
        SettingError: there is no such category or template.
        ApiUnavailable: the servers kept failing; no list is better than half of one.

    """
    found: dict[str, str] = {}
    there: set[str] = set()
    for category in settings.categories:
        if _note(found, api.members(shown(category), "file"), in_category(category)):
            there.add(f"Category:{shown(category)}")
    for root in settings.dated_categories:
        for category in sorted(_dated(api, root)):
            there.add(f"Category:{shown(root)}")
            _note(found, api.members(shown(category), "file"), in_category(category))
    for template in settings.templates:
        if _note(found, api.transcluding(shown(template)), transcludes(template)):
            there.add(f"Template:{shown(template)}")
    refuse_unknown(settings, there | api.existing([title for title in settings.pages() if title not in there]))
    return found


def refuse_unknown(settings: CandidateCategories, there: Collection[str]) -> None:
    """Refuse settings that name pages which are not there.

    Args:
        settings: to look at.
        there: titles of pages that exist, or list something all the same.

    Raises:
        SettingError: naming the first of them.

    """
    for title, setting in settings.pages().items():
        if title not in there:
            raise SettingError(
                f"{setting}: there is no {title}, so it marks no file as a deletion candidate. Write the name as "
                "Commons has it, or take it off the list"
            )


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


def _note(found: dict[str, str], titles: Iterator[str], reason: str) -> bool:
    """Note candidates; says whether anything was listed."""
    listed = False
    for title in titles:
        listed = True
        try:
            found.setdefault(file_name(title), reason)
        except MalformedUrl:  # what no file can be called is no file of ours
            continue
    return listed
