"""The verdict on a release: which expectations hold, which do not, with numbers and examples. Kept with the run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.errors import ReleaseError
from pipelines.releases.versions import run_path
from pipelines.storage.store import Store

EXAMPLES = 20
"""Examples of unexpected rows that are kept for each expectation."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """An expectation, and whether it holds.

    Args:
        name: ``suite.name``, as the suite's file has it.
        suite: its suite.
        type: Great Expectations' name of its kind.
        column: what it is about; two columns joined by a comma where it compares them; empty for the whole table.
        severity: "critical" or "warning".
        success: it holds.
        unexpected: rows for which it does not; None where it is about a number over all rows.
        observed: that number, or what went wrong; None where it is about rows.
        examples: up to `EXAMPLES` of the rows: what they measure, and the values.
        description: what is expected, in words.
        notes: why, and what to do if it fails.

    """

    name: str
    suite: str
    type: str
    column: str
    severity: str
    success: bool
    unexpected: int | None
    observed: Any
    examples: tuple[Mapping[str, Any], ...]
    description: str
    notes: str

    def in_words(self) -> str:
        """Return what failed in one line: name, expectation, how many, the first examples."""
        what = f"{self.unexpected} unexpected" if self.unexpected is not None else f"observed {self.observed}"
        shown = "; ".join(", ".join(f"{key}={value}" for key, value in row.items()) for row in self.examples[:3])
        return f"{self.name}: {self.description}: {what}" + (f", e.g. {shown}" if shown else "")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is held of a release.

    Args:
        version: of the release.
        expectations: all of them.
        outcomes: images by outcome, as the release's ledger has them.
        compared_with: the release before it, if it was compared with that one.
        not_compared: that release, and why it was not; empty: it was, or there is none.

    """

    version: str
    expectations: tuple[Judgement, ...]
    outcomes: Mapping[str, int]
    compared_with: str = ""
    not_compared: str = ""

    @property
    def errors(self) -> list[Judgement]:
        """What stands in the way of publication."""
        return [one for one in self.expectations if not one.success and one.severity == "critical"]

    @property
    def warnings(self) -> list[Judgement]:
        """What does not hold, but may be accepted for a reason."""
        return [one for one in self.expectations if not one.success and one.severity != "critical"]

    @property
    def success(self) -> bool:
        """Whether there are no errors: it may be published, if there are warnings only for a reason."""
        return not self.errors

    @property
    def comparison(self) -> str:
        """What the release was compared with, as a sentence."""
        if self.compared_with:
            return f"Compared with release {self.compared_with}, which it follows."
        if self.not_compared:
            return f"Not compared with {self.not_compared}."
        return "Compared with no earlier release: there is none."


def _path(version: str) -> str:
    return run_path(version, "verdict.json")


def write_verdict(store: Store, verdict: Verdict) -> None:
    """Keep a verdict; one of an earlier validation is replaced."""
    store.write_json(
        _path(verdict.version),
        {
            "version": verdict.version,
            "success": verdict.success,
            "errors": [one.name for one in verdict.errors],
            "warnings": [one.name for one in verdict.warnings],
            "outcomes": dict(verdict.outcomes),
            "compared_with": verdict.compared_with,
            "not_compared": verdict.not_compared,
            "expectations": [asdict(one) for one in verdict.expectations],
        },
    )


def remove_verdict(store: Store, version: str) -> None:
    """Forget the verdict on a release, so that none stands while there is none on its present files."""
    store.remove(_path(version))


def read_verdict(store: Store, version: str) -> Verdict:
    """Return the verdict on a release.

    Raises:
        ReleaseError: it was not validated.

    """
    kept = store.read_json(_path(version))
    if kept is None:
        raise ReleaseError(f"release {version} was not validated; run the stage validate first")
    judgements = (Judgement(**(one | {"examples": tuple(one["examples"])})) for one in kept["expectations"])
    compared = (kept.get(name, "") for name in ("compared_with", "not_compared"))  # an earlier program told less
    return Verdict(kept["version"], tuple(judgements), kept["outcomes"], *compared)
