"""The Action API of Commons: what it says of each file, and lists of pages.

The API has one connection for the operator in all, so a client holds a lease for as long as it is open. Titles are
asked for in batches of 50. The answer speaks of other titles than were asked for (normalised, redirected), may come in
several parts (``continue``), and fails as a whole if one title in it is bad: then the batch is split until that one is
alone.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from pipelines.commons.description import Description, described, is_there, page_name, pages_of
from pipelines.commons.names import MalformedUrl, file_name
from pipelines.commons.origin import Origin
from pipelines.commons.politeness import Leases
from pipelines.commons.session import ApiError, ApiSession, ApiUnavailable

__all__ = ["ApiClient", "ApiError", "ApiUnavailable", "Description"]

BATCH = 50
"""Titles in one request: the limit for clients without special rights."""

_OF_ONE_TITLE = frozenset(
    {"urlparamnormal", "invalidtitle", "badtitle", "titleinvalid", "baduser", "filerevisionhidden"}
)
_FIELDS = "Artist|AttributionRequired|Credit|LicenseShortName|LicenseUrl|UsageTerms"

Json = dict[str, Any]


class ApiClient:
    """A client of one wiki's Action API; a context manager. Not for use in several threads at once."""

    def __init__(self, origin: Origin, leases: Leases) -> None:
        self._session = ApiSession(origin, leases)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def describe(self, names: Sequence[str]) -> dict[str, Description]:
        """Return what Commons says of each file, under the name that was asked for.

        Args:
            names: decoded file names with underscores. One that no file can have is answered without being asked.

        Raises:
            ApiUnavailable: the servers kept failing.
            ApiError: the API refuses the request itself.
            UserAgentRefused: the servers refuse this operator.

        """
        answers: dict[str, Description] = {}
        titles: dict[str, str] = {}
        for name in names:
            try:
                titles[name] = f"File:{file_name('File:' + name)}"
            except MalformedUrl:
                answers[name] = Description(exists=False)
        by_title: dict[str, Description] = {}
        wanted = list(dict.fromkeys(titles.values()))
        for start in range(0, len(wanted), BATCH):
            by_title |= self._describe_batch(wanted[start : start + BATCH])
        return answers | {name: by_title[title] for name, title in titles.items()}

    def _describe_batch(self, titles: list[str]) -> dict[str, Description]:
        request = {
            "prop": "imageinfo",
            "titles": "|".join(titles),
            "iiprop": "size|sha1|mime|timestamp|extmetadata",
            "iiextmetadatafilter": _FIELDS,
            "iiextmetadatalanguage": "en",
            "redirects": "1",
        }
        try:
            answers = list(self.query(request))
        except ApiError as error:
            if not _splits(error):
                raise
            if len(titles) == 1:
                return {titles[0]: self._describe_bad(titles[0], error)}
            half = math.ceil(len(titles) / 2)
            return self._describe_batch(titles[:half]) | self._describe_batch(titles[half:])
        return described(titles, answers)

    def _describe_bad(self, title: str, error: ApiError) -> Description:
        """Describe a file of which the API can say no more than whether it is there.

        Raises:
            ApiUnavailable: it does not even say that. No error but one about the title means that a file is missing.

        """
        try:
            page = pages_of([title], list(self.query({"titles": title, "redirects": "1"})))[title]
        except ApiError as refusal:
            if refusal.code in _OF_ONE_TITLE:
                return Description(exists=False, problem=str(error))
            raise ApiUnavailable(
                f"the Action API cannot even tell whether there is {title}: {refusal}. "
                "What it said before is kept; start the run again when it is back"
            ) from refusal
        there = is_there(page)
        return Description(exists=there, title=page_name(page) if there else None, problem=str(error))

    def existing(self, titles: Sequence[str]) -> set[str]:
        """Return those of some titles, in any namespace, that there is a page of."""
        there: set[str] = set()
        for start in range(0, len(titles), BATCH):
            batch = titles[start : start + BATCH]
            pages = pages_of(batch, list(self.query({"titles": "|".join(batch)})))
            there.update(title for title in batch if is_there(pages[title]))
        return there

    def members(self, category: str, kind: str) -> Iterator[str]:
        """Yield the titles of a category's members; nothing if there is no such category.

        Args:
            category: its name, without the namespace.
            kind: ``file`` or ``subcat``.

        """
        request = {"list": "categorymembers", "cmtitle": f"Category:{category}", "cmtype": kind, "cmprop": "title"}
        for answer in self.query(request | {"cmlimit": "500"}):
            yield from _titles(answer, "categorymembers")

    def transcluding(self, template: str) -> Iterator[str]:
        """Yield the titles of the files whose pages transclude a template (a name without the namespace)."""
        request = {"list": "embeddedin", "eititle": f"Template:{template}", "einamespace": "6", "eilimit": "500"}
        for answer in self.query(request):
            yield from _titles(answer, "embeddedin")

    def query(self, request: Mapping[str, str]) -> Iterator[Json]:
        """Send a query and yield its answers, following ``continue`` to the end.

        Raises:
            ApiError: the API refuses it, or continues without end.

        """
        fixed = {"action": "query", "format": "json", "formatversion": "2", **request}
        proceed: dict[str, str] = {}
        seen: set[tuple[tuple[str, str], ...]] = set()
        while True:
            answer = self._session.ask(fixed | proceed)
            yield answer
            following = answer.get("continue")
            if not isinstance(following, dict) or not following:
                return
            proceed = {str(key): str(value) for key, value in following.items()}
            mark = tuple(sorted(proceed.items()))
            if mark in seen:
                raise ApiError("continue", f"the answer continues in a circle at {proceed}")
            seen.add(mark)


def _splits(error: ApiError) -> bool:
    return error.code in _OF_ONE_TITLE or error.code.startswith("internal_api_error")


def _titles(answer: Json, listing: str) -> Iterator[str]:
    for member in answer.get("query", {}).get(listing, []):
        yield str(member["title"])
