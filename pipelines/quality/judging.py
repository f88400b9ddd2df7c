"""Runs Great Expectations over the measurements, suite by suite, and turns what it says into a verdict.

Great Expectations gets a project in a temporary folder, which is gone afterwards. It keeps copies of all the columns
that it saw, so of a large release it sees those of one expectation at a time. Expectations must be of the kinds that
work on whole columns: a million rows take seconds.
"""

import copy
import datetime
import gc
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.engine.step import Context
from pipelines.quality.collected import kept_summary, open_measurements
from pipelines.quality.data_docs import clean_results, escaped, write_data_docs
from pipelines.quality.suites import Suite, SuiteError, columns_of, parameters, read_suites
from pipelines.quality.verdict import EXAMPLES, Judgement, Verdict
from pipelines.tables import KEY

log = logging.getLogger(__name__)

_MEASUREMENTS = {"batch_spec": {"data_asset_name": "measurements"}, "batch_markers": {}}
"""What Data Docs say was read, instead of when, and of numbers that tell nobody anything."""

_CELLS = 2_000_000
"""Rows times expectations that Great Expectations is asked about at a time: it takes 50 to 250 bytes for each."""

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


def _summary(context: Context) -> tuple[dict[str, int], str, str]:
    """Return the images by outcome, the release that this one was compared with, and why with none."""
    counted: Counter[str] = Counter()
    compared = False
    with open_measurements(context.store, context.version) as file:
        for batch in pq.ParquetFile(file, pre_buffer=False).iter_batches(columns=["outcome", "drift_of"]):
            counted.update(batch.column("outcome").drop_null().to_pylist())
            compared = compared or batch.column("drift_of").null_count < len(batch)
    outcomes = dict(sorted(counted.items()))
    if compared or not context.base:
        return outcomes, context.base, ""
    known = kept_summary(context.store, context.base) is not None
    why = "it has too few images" if known else "nothing is kept of what was measured of it"
    log.log(logging.INFO if known else logging.WARNING, "not compared with release %s: %s", context.base, why)
    return outcomes, "", f"release {context.base}, which it follows: {why}"


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
        with open_measurements(context.store, context.version) as file:
            self._rows = pq.read_metadata(file).num_rows
        self._scratch = great_expectations.get_context(mode="ephemeral")  # writes nothing down for each batch
        self._project = great_expectations.get_context(mode="file", project_root_dir=str(folder))
        for project in (self._scratch, self._project):
            project.variables.progress_bars = ProgressBarsConfig(globally=False)

    def judge(self, suite: Suite) -> Iterator[Judgement]:
        """Run one suite; yield a judgement for each of its expectations, in the suite's order.

        Raises:
            SuiteError: Great Expectations refuses the suite.

        """
        from great_expectations.core import ExpectationSuite

        expectations = [_expectation(suite, one) for one in suite.expectations]
        self._project.suites.add(ExpectationSuite(suite.name, [copy.copy(one) for one in expectations]))
        at_a_time = max(1, _CELLS // max(1, self._rows))
        validated = []
        for start in range(0, len(expectations), at_a_time):
            some = suite.expectations[start : start + at_a_time]
            if at_a_time < len(expectations):
                # What was computed before is in cycles of references: Python, which does not know how large they are,
                # would let many gather.
                gc.collect()
            validated.append(
                self._batch({column for one in some for column in columns_of(one)}).validate(
                    ExpectationSuite(suite.name, expectations[start : start + at_a_time]),
                    expectation_parameters=self._parameters,
                    result_format={"result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES},
                )
            )
            by_name = {cast(Any, one.expectation_config).meta["name"]: one for one in validated[-1].results}
            validated[-1].results = [by_name[one["meta"]["name"]] for one in some]  # it gives them in any order
            for one, result in zip(some, validated[-1].results, strict=True):
                yield _judgement(suite, one, result, self._examples(_example_rows(result), columns_of(one)))
        if validated:
            self._keep(suite, validated)

    def _keep(self, suite: Suite, validated: Sequence[Any]) -> None:
        """Put the results of a suite's expectations where Data Docs are made from."""
        from great_expectations.core import ExpectationSuiteValidationResult, RunIdentifier
        from great_expectations.data_context.types.resource_identifiers import (
            ExpectationSuiteIdentifier,
            ValidationResultIdentifier,
        )
        from great_expectations.validator.validation_statistics import calc_validation_statistics

        results = [result for one in validated for result in one.results]
        statistics = calc_validation_statistics(results)._asdict()
        # The release's day, not the moment: the same release gives the same pages.
        run = RunIdentifier(run_name=self._context.version, run_time=_day(self._context.version))
        whole = ExpectationSuiteValidationResult(
            success=statistics.pop("success"),
            results=results,
            suite_name=suite.name,
            statistics=statistics,
            meta={**validated[0].meta, "run_id": run, "validation_time": run.run_time, **_MEASUREMENTS},
            batch_id=validated[0].batch_id,
        )
        key = ValidationResultIdentifier(ExpectationSuiteIdentifier(suite.name), run, whole.batch_id)
        self._project.validation_results_store.store_validation_results(whole, key)

    def _batch(self, columns: Set[str]) -> Any:
        """Return some columns as Great Expectations reads them.

        They are of a source of their own, because a source keeps what it ever computed, for each row.
        """
        source = self._scratch.data_sources.add_or_update_pandas("release")
        definition = source.add_dataframe_asset("measurements").add_batch_definition_whole_dataframe("all")
        return definition.get_batch({"dataframe": self._frame(columns)})

    def build_data_docs(self) -> Path:
        """Build the site; return its folder."""
        clean_results(self._folder / "gx/uncommitted/validations")
        self._project.build_data_docs()
        return self._folder / "gx/uncommitted/data_docs/local_site"

    def _frame(self, columns: Set[str]) -> pd.DataFrame:
        with open_measurements(self._context.store, self._context.version) as file:
            table = pq.read_table(file, columns=sorted(columns))
        # Great Expectations compares 64-bit numbers column by column, and any others one by one.
        wide = [pa.int64() if pa.types.is_integer(field.type) else field.type for field in table.schema]
        table = table.cast(pa.schema([(name, kind) for name, kind in zip(table.column_names, wide, strict=True)]))
        # Texts stay as Arrow has them: a Python object for each of six million URLs takes a gigabyte.
        texts = {pa.string(): pd.StringDtype("pyarrow")}
        frame = table.to_pandas(split_blocks=True, self_destruct=True, types_mapper=texts.get)
        return cast(pd.DataFrame, frame)

    def _examples(self, rows: list[int], columns: list[str]) -> list[dict[str, Any]]:
        """Return some rows of the measurements: what they say of the columns, and which rows they are."""
        found: list[dict[str, Any]] = []
        start = 0
        with open_measurements(self._context.store, self._context.version) as file:
            measurements = pq.ParquetFile(file, pre_buffer=False)
            for group in range(measurements.num_row_groups):
                end = start + measurements.metadata.row_group(group).num_rows
                here = [row - start for row in rows if start <= row < end]
                if here:
                    table = measurements.read_row_group(group, columns=list(dict.fromkeys((*_LABELS, *columns))))
                    found += table.take(pa.array(here)).to_pylist()
                start = end
        return found


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
    rows: Sequence[Mapping[str, Any]],
) -> Judgement:
    columns = columns_of(expectation)
    examples = []
    for row in rows:
        named = {name: _plain(row[name]) for name in _LABELS if row[name] not in (None, "")}
        examples.append(named | {name: _plain(row[name]) for name in columns if name not in named})
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
