"""Reads the suites of ``expectations/``: Great Expectations' own JSON, in which a steward edits thresholds and notes.

A threshold written as ``{"$PARAMETER": "face_threshold"}`` is the setting of that name of the release. Everything that
can be wrong with a suite is found before anything is measured against it, and is reported with file and expectation.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.config import ReleaseConfig
from pipelines.errors import WitReleaseError
from pipelines.tables import MEASUREMENTS

SUITES = ("rows", "pixels", "embeddings", "captions", "parquet", "ledger", "files", "drift")
"""Names of the suites, in the order in which they are reported."""

_SEVERITIES = ("critical", "warning")
COLUMN_ARGUMENTS = ("column", "column_A", "column_B")
"""Arguments of expectations that name a column."""


class SuiteError(WitReleaseError):
    """A suite of expectations is missing or cannot be used."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite, as it is written in its file.

    Args:
        name: of the suite and its file.
        expectations: Great Expectations' configurations, each with ``description``, ``notes`` and ``meta.name``.

    """

    name: str
    expectations: tuple[Mapping[str, Any], ...]


def columns_of(expectation: Mapping[str, Any]) -> list[str]:
    """Return the columns of the measurements that an expectation is about, the first one first."""
    return [expectation["kwargs"][key] for key in COLUMN_ARGUMENTS if key in expectation["kwargs"]]


def suites_folder() -> Path:
    """Return the folder of the suites: ``WIT_EXPECTATIONS``, or the one beside this package."""
    return Path(os.environ.get("WIT_EXPECTATIONS") or Path(__file__).parents[2] / "expectations")


def read_suites(folder: Path | None = None) -> list[Suite]:
    """Read all suites.

    Raises:
        SuiteError: one is missing or cannot be used; says which, and what is wrong with it.

    """
    return [_read_suite((folder or suites_folder()) / f"{name}.json", name) for name in SUITES]


def parameters(config: ReleaseConfig) -> dict[str, Any]:
    """Return what suites can refer to with ``$PARAMETER``: every setting that is a number or a text."""
    return {
        name: value
        for name, value in config.model_dump(mode="json").items()
        if isinstance(value, int | float | str) and not isinstance(value, bool)
    }


def _read_suite(path: Path, name: str) -> Suite:
    try:
        expectations = json.loads(path.read_text(encoding="utf-8"))["expectations"]
    except FileNotFoundError:
        raise SuiteError(f"{path} is not there; set WIT_EXPECTATIONS to the folder of the suites") from None
    except (ValueError, KeyError, TypeError) as error:
        raise SuiteError(f"{path} is no suite of expectations: {type(error).__name__}: {error}") from None
    if not isinstance(expectations, list) or not all(isinstance(one, dict) for one in expectations):
        raise SuiteError(f"{path} is no suite of expectations: expectations must be a list of objects")
    known = parameters(ReleaseConfig.model_construct())
    names: set[str | None] = set()
    for number, expectation in enumerate(expectations, start=1):
        called = (expectation.get("meta") or {}).get("name")
        problems = _problems(expectation, known)
        if called in names:
            problems.append("another one of this suite has the same name")
        names.add(called)
        if problems:
            where = f"{path}, expectation {number} ({called or 'without a name'})"
            raise SuiteError(f"{where}: {'; '.join(problems)}")
    return Suite(name, tuple(expectations))


def _problems(expectation: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    problems = [f"{key} is missing" for key in ("type", "kwargs", "description", "notes") if not expectation.get(key)]
    if not (expectation.get("meta") or {}).get("name"):
        problems.append("meta.name is missing")
    if expectation.get("severity") not in _SEVERITIES:
        problems.append(f"severity must be one of {', '.join(_SEVERITIES)}")
    for key, value in (expectation.get("kwargs") or {}).items():
        if key in COLUMN_ARGUMENTS and value not in MEASUREMENTS.schema.names:
            problems.append(f"there is no column {value!r} in the measurements")
        if isinstance(value, Mapping) and "$PARAMETER" in value and value["$PARAMETER"] not in known:
            problems.append(f"there is no setting {value['$PARAMETER']!r}; one of {', '.join(sorted(known))}")
    return problems
