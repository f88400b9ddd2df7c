"""Runs Great Expectations over the measurements, suite by suite, and turns what it says into a verdict.

Great Expectations gets a project in a temporary folder, which is gone afterwards; each suite sees only the columns that
it is about. Expectations must be of the kinds that work on whole columns: a million rows take seconds.
"""

import datetime
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.engine.step import Context
from pipelines.quality.collected import open_measurements
from pipelines.quality.data_docs import clean_results, escaped, write_data_docs
from pipelines.quality.suites import COLUMN_ARGUMENTS, Suite, SuiteError, parameters, read_suites
from pipelines.quality.verdict import EXAMPLES, Judgement, Verdict
from pipelines.tables import KEY

log = logging.getLogger(__name__)

_LABELS = ("partition", KEY, "path", "language", "drift_of", "before", "now")
"""What tells a reader which row is meant."""


def judge(context: Context, data_docs: bool = True) -> Verdict:
    """Hold the measurements of a release against all suites.

    Args:
        context: of the run; the measurements are collected.
        data_docs: build Data Docs as well, in the release's folder.

    Raises:
        SuiteError: a suite cannot be used.

    """
    suites = read_suites()
    with tempfile.TemporaryDirectory(prefix="wit-release-") as folder:
        project = _Project(Path(folder), context)
        judgements = tuple(judgement for suite in suites for judgement in project.judge(suite))
        verdict = Verdict(context.version, judgements, *_summary(context))
        if data_docs:
            write_data_docs(context.store, verdict, project.build_data_docs())
    for judgement in (*verdict.errors, *verdict.warnings):
        log.log(logging.ERROR if judgement.severity == "critical" else logging.WARNING, "%s", judgement.in_words())
    log.info("%d expectations, %d errors, %d warnings", len(judgements), len(verdict.errors), len(verdict.warnings))
    return verdict


def _summary(context: Context) -> tuple[dict[str, int], str]:
    """Return the images by outcome, and the release that this one was compared with."""
    with open_measurements(context.store, context.version) as file:
        table = pq.read_table(file, columns=["outcome", "drift_of"])
    counted = pc.value_counts(table.column("outcome").drop_null())
    outcomes = dict(sorted((str(one["values"]), one["counts"].as_py()) for one in counted))
    return outcomes, context.base if len(table.column("drift_of").drop_null()) else ""


class _Project:
    """A Great Expectations project for one release."""

    def __init__(self, folder: Path, context: Context) -> None:
        logging.getLogger("great_expectations").setLevel(logging.WARNING)  # a line for each of its own steps
        os.environ["GX_ANALYTICS_ENABLED"] = "false"  # it would report its use; read when it is imported
        import great_expectations
        from great_expectations.data_context.types.base import ProgressBarsConfig

        self._context = context
        self._folder = folder
        self._parameters = parameters(context.config)
        self._project = great_expectations.get_context(mode="file", project_root_dir=str(folder))
        self._project.variables.progress_bars = ProgressBarsConfig(globally=False)
        source = self._project.data_sources.add_pandas("release")
        asset = source.add_dataframe_asset("measurements")
        self._batch = asset.add_batch_definition_whole_dataframe(context.version)

    def judge(self, suite: Suite) -> Iterator[Judgement]:
        """Run one suite; yield a judgement for each of its expectations, in the suite's order.

        Raises:
            SuiteError: Great Expectations refuses the suite.

        """
        from great_expectations.core import ExpectationSuite, RunIdentifier, ValidationDefinition

        expectations = [_expectation(suite, one) for one in suite.expectations]
        checked = self._project.suites.add(ExpectationSuite(suite.name, expectations))
        validation = self._project.validation_definitions.add(
            ValidationDefinition(name=suite.name, data=self._batch, suite=checked)
        )
        frame = self._frame(suite.columns())
        results = validation.run(
            batch_parameters={"dataframe": frame},
            expectation_parameters=self._parameters,
            result_format={"result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES},
            # The release's day, not the moment: the same release gives the same pages.
            run_id=RunIdentifier(run_name=self._context.version, run_time=_day(self._context.version)),
        ).results
        by_name = {cast(Any, result.expectation_config).meta["name"]: result for result in results}
        labels = self._labels(results)
        for expectation in suite.expectations:
            yield _judgement(suite, expectation, by_name[expectation["meta"]["name"]], frame, labels)

    def build_data_docs(self) -> Path:
        """Build the site; return its folder."""
        clean_results(self._folder / "gx/uncommitted/validations")
        self._project.build_data_docs()
        return self._folder / "gx/uncommitted/data_docs/local_site"

    def _frame(self, columns: list[str]) -> pd.DataFrame:
        with open_measurements(self._context.store, self._context.version) as file:
            table = pq.read_table(file, columns=columns)
        # Great Expectations compares 64-bit numbers column by column, and any others one by one.
        wide = [pa.int64() if pa.types.is_integer(field.type) else field.type for field in table.schema]
        table = table.cast(pa.schema([(name, kind) for name, kind in zip(table.column_names, wide, strict=True)]))
        return cast(pd.DataFrame, table.to_pandas(split_blocks=True, self_destruct=True))

    def _labels(self, results: list[Any]) -> dict[int, dict[str, Any]]:
        """Say of each row that serves as an example what it measures."""
        rows = sorted({row for result in results for row in _example_rows(result)})
        labels: dict[int, dict[str, Any]] = {}
        start = 0
        with open_measurements(self._context.store, self._context.version) as file:
            measurements = pq.ParquetFile(file, pre_buffer=False)
            for group in range(measurements.num_row_groups):
                end = start + measurements.metadata.row_group(group).num_rows
                here = [row for row in rows if start <= row < end]
                if here:
                    table = measurements.read_row_group(group, columns=list(_LABELS))
                    found = table.take(pa.array([row - start for row in here])).to_pylist()
                    labels |= dict(zip(here, found, strict=True))
                start = end
        return labels


def _expectation(suite: Suite, written: Mapping[str, Any]) -> Any:
    """Return Great Expectations' object for an expectation; made by itself, since a suite only logs what it refuses."""
    from great_expectations.exceptions.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    # Data Docs escape notes, but not descriptions.
    shown = {"description": escaped(written["description"]), "notes": [written["notes"]]}
    try:
        return ExpectationConfiguration(**{**written, **shown}).to_domain_obj()
    except (GreatExpectationsError, TypeError, ValueError) as error:
        name = f"{suite.name}.{written['meta']['name']}"
        raise SuiteError(f"Great Expectations refuses the expectation {name}: {error}") from error


def _judgement(
    suite: Suite,
    expectation: Mapping[str, Any],
    result: Any,
    frame: pd.DataFrame,
    labels: Mapping[int, Mapping[str, Any]],
) -> Judgement:
    columns = [expectation["kwargs"][key] for key in COLUMN_ARGUMENTS if key in expectation["kwargs"]]
    examples: list[Mapping[str, Any]] = []
    for row in _example_rows(result):
        named = {name: _plain(value) for name, value in labels[row].items() if value not in (None, "")}
        examples.append(named | {name: _plain(frame[name].iloc[row]) for name in columns if name not in named})
    observed = result.result.get("observed_value")
    if result.exception_info.get("raised_exception", True):  # it has another shape where a metric failed
        observed = f"could not be evaluated: {_exception(result.exception_info)}"
    return Judgement(
        name=f"{suite.name}.{expectation['meta']['name']}",
        suite=suite.name,
        type=expectation["type"],
        column=", ".join(columns),
        severity=expectation["severity"],
        success=bool(result.success),
        unexpected=result.result.get("unexpected_count"),
        observed=_plain(observed),
        examples=tuple(examples),
        description=expectation["description"],
        notes=expectation["notes"],
    )


def _example_rows(result: Any) -> list[int]:
    if result.success:
        return []
    return [int(row) for row in result.result.get("partial_unexpected_index_list") or []][:EXAMPLES]


def _day(version: str) -> datetime.datetime:
    year, month, day = (int(part) for part in version.split(".")[:3])
    return datetime.datetime(year, month, day, tzinfo=datetime.UTC)


def _exception(info: Mapping[str, Any]) -> str:
    messages = [info] if "exception_message" in info else list(info.values())
    return "; ".join(str(one.get("exception_message")) for one in messages if isinstance(one, Mapping))


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):  # pandas' form of whole numbers among nulls, too
        value = None if value != value else int(value) if value.is_integer() else value
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
