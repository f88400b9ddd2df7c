"""Two releases beside each other: what differs in their numbers and settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from release_pages.shelf import Page


@dataclass(frozen=True, slots=True)
class CountRow:
    """A number in both releases."""

    name: str
    before: int
    after: int

    @property
    def change(self) -> int:
        """How many more there are in the later one."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between two releases; `settings` are name, value before, value after."""

    before: Page
    after: Page
    outcomes: list[CountRow]
    licences: list[CountRow]
    settings: list[tuple[str, Any, Any]]


def compare(before: Page, after: Page) -> Comparison:
    """Compare two releases."""
    return Comparison(
        before,
        after,
        _counts(before.entry.outcomes, after.entry.outcomes),
        _counts(before.licences, after.licences),
        [
            (name, before.settings.get(name), after.settings.get(name))
            for name in sorted(before.settings.keys() | after.settings.keys())
            if before.settings.get(name) != after.settings.get(name) and name != "version"
        ],
    )


def _counts(before: Mapping[str, int], after: Mapping[str, int]) -> list[CountRow]:
    names = dict.fromkeys([*after, *before])
    return [CountRow(name, before.get(name, 0), after.get(name, 0)) for name in names]
