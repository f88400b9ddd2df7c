"""Judging: an expectation that cannot be evaluated fails, a suite that cannot be used is refused, numbers are told."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipelines.engine.step import shard_keys
from pipelines.quality.collected import collect
from pipelines.quality.judging import judge
from pipelines.quality.suites import SUITES, SuiteError, suites_folder
from pipelines.quality.verdict import Judgement, read_verdict, write_verdict
from pipelines.storage.store import Store
from tests.quality.small_release import SmallRelease


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> SmallRelease:
    release = SmallRelease(Store(str(tmp_path_factory.mktemp("store")))).write().measure()
    collect(release.context, shard_keys(release.context))
    return release


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make one expectation the only one of the suite ledger, the other suites as they are but empty."""

    def set_up(**expectation: Any) -> None:
        for name in SUITES:
            content = json.loads((suites_folder_before / f"{name}.json").read_text())
            content["expectations"] = []
            if name == "ledger":
                words = {"description": "In words", "notes": "Why.", "severity": "critical", "meta": {"name": "one"}}
                content["expectations"] = [words | expectation]
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        monkeypatch.setenv("WIT_EXPECTATIONS", str(tmp_path))

    suites_folder_before = suites_folder()
    return set_up


def judged(release: SmallRelease) -> Judgement:
    verdict = judge(release.context, data_docs=False)
    (judgement,) = verdict.expectations
    assert verdict.success == judgement.success
    return judgement


def test_an_expectation_that_cannot_be_evaluated_fails_and_says_why(release: SmallRelease, only: Any) -> None:
    only(type="expect_column_values_to_be_between", kwargs={"column": "outcome", "max_value": 3})
    judgement = judged(release)
    assert not judgement.success
    assert "could not be evaluated: " in judgement.observed
    assert "could not be evaluated: " in judgement.in_words()


def test_an_unknown_kind_of_expectation_is_refused(release: SmallRelease, only: Any) -> None:
    only(type="expect_column_values_to_be_nice", kwargs={"column": "outcome"})
    with pytest.raises(
        SuiteError, match=r"refuses the expectation ledger\.one: expect_column_values_to_be_nice not found"
    ):
        judge(release.context, data_docs=False)


def test_an_unknown_argument_is_refused(release: SmallRelease, only: Any) -> None:
    only(type="expect_column_values_to_be_null", kwargs={"column": "outcome", "max_valeu": 1})
    with pytest.raises(SuiteError, match=r"(?s)refuses the expectation ledger\.one: .*max_valeu"):
        judge(release.context, data_docs=False)


def test_a_number_over_all_rows_is_told(release: SmallRelease, only: Any) -> None:
    only(type="expect_column_sum_to_be_between", kwargs={"column": "released_lines", "min_value": 11})
    judgement = judged(release)
    assert (judgement.unexpected, judgement.observed, judgement.examples) == (None, 10, ())
    assert judgement.in_words() == "ledger.one: In words: observed 10"


def test_a_share_of_rows_may_be_allowed_to_fail(release: SmallRelease, only: Any) -> None:
    only(
        type="expect_column_values_to_be_in_set", kwargs={"column": "outcome", "value_set": ["released"], "mostly": 0.8}
    )
    assert judged(release).success


def test_a_verdict_is_read_back_as_it_was_written(release: SmallRelease, only: Any) -> None:
    only(type="expect_column_values_to_be_in_set", kwargs={"column": "outcome", "value_set": ["face"]})
    verdict = judge(release.context, data_docs=False)
    write_verdict(release.store, verdict)
    assert read_verdict(release.store, verdict.version) == verdict
    assert len(verdict.expectations[0].examples) == verdict.expectations[0].unexpected == 11


def test_great_expectations_leaves_nothing_behind_and_reports_to_nobody(
    release: SmallRelease, only: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.chdir(scratch)
    only(type="expect_column_values_to_not_be_null", kwargs={"column": "about"})
    assert judged(release).success
    assert list(scratch.iterdir()) == []
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"


def test_a_large_release_is_judged_a_few_expectations_at_a_time_to_the_same_verdict(
    release: SmallRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, pages = judge(release.context), quality_pages(release)
    monkeypatch.setattr("pipelines.quality.judging._CELLS", 1)
    assert judge(release.context) == whole
    assert quality_pages(release) == pages


def quality_pages(release: SmallRelease) -> dict[str, str]:
    names = [path.rpartition("/")[2] for path in release.store.files(f"releases/{release.context.version}/quality")]
    assert len(names) == 1 + 2 * len(SUITES)
    return {name: release.page(name) for name in names}
