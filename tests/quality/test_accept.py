"""A release with warnings waits until a steward says why it may go out; errors cannot be overruled."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import pytest
from distributed import Client

from pipelines.cli import main
from pipelines.engine.step import Context
from pipelines.errors import ReleaseError
from pipelines.pipeline import run_stage
from pipelines.quality.verdict import read_verdict
from pipelines.releases.reader import open_release
from pipelines.releases.versions import begin, context_of, newest_unpublished
from pipelines.removals.takedowns import add_takedown
from pipelines.storage.store import Store
from tests.published import commons, make

WAITING = "2026.01.02"
REASON = "Three *authors* asked for <removal>"


@dataclass(frozen=True)
class Waiting:
    """A store with a published release, and one that waits as it lost three of sixteen pictures."""

    store: Store

    def folder(self) -> Path:
        return Path(self.store.locate(f"releases/{WAITING}"))

    def publish(self, *more: str) -> int:
        return main(["publish", "--store", self.store.url, *more])


@pytest.fixture(scope="module")
def made(client: Client, published: Context, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("accept") / "store"
    shutil.copytree(published.store.url, folder)
    for row in list(open_release(f"{folder}/releases/{published.version}").ledger(["released"]))[:3]:
        add_takedown(Store(str(folder)), row["commons_name"], "asked for by mail", "author")
    changed = {"version": WAITING, "drift_fewest_images": 5, "workers": 1}
    with commons() as settings:
        make(client, folder, settings | changed, until="validate")
        yield folder


@pytest.fixture
def waiting(made: Path, tmp_path: Path) -> Waiting:
    return Waiting(Store(str(shutil.copytree(made, tmp_path / "store"))))


def test_a_release_with_warnings_waits_and_says_how_to_go_on(client: Client, waiting: Waiting) -> None:
    verdict = read_verdict(waiting.store, WAITING)
    assert verdict.compared_with == "2026.01.01"
    assert (verdict.errors, verdict.warnings[0].suite) == ([], "drift")
    with pytest.raises(ReleaseError, match=rf"{WAITING} waits, as it has warnings:\n  - drift\.(?s:.*)--accept"):
        run_stage("publish", context_of(waiting.store, WAITING), client)
    assert not (waiting.folder() / "manifest.json").exists()
    assert newest_unpublished(waiting.store) == WAITING


def test_a_reason_publishes_it_and_stands_in_manifest_card_and_report(waiting: Waiting) -> None:
    assert waiting.publish("--accept", REASON) == 0
    manifest = json.loads((waiting.folder() / "manifest.json").read_text())
    names = [one.name for one in read_verdict(waiting.store, WAITING).warnings]
    assert manifest["accepted"] == {"reason": REASON, "warnings": names}
    assert "accept" not in manifest["settings"]
    card = (waiting.folder() / "README.md").read_text()
    assert f"`{names[0]}`" in card
    assert r"nevertheless: Three \*authors\* asked for &lt;removal&gt;" in card
    report = (waiting.folder() / "report.html").read_text()
    assert f"because: {REASON}" in unescape(report)
    assert "<removal>" not in report


def test_without_a_reason_the_command_says_what_is_wrong(waiting: Waiting, capsys: pytest.CaptureFixture[str]) -> None:
    assert waiting.publish("--version", WAITING) == 1
    assert "drift.images" in capsys.readouterr().err


def test_one_that_waited_while_another_was_begun_is_not_published_from_its_tables(
    client: Client, waiting: Waiting, capsys: pytest.CaptureFixture[str]
) -> None:
    config = context_of(waiting.store, WAITING).config.model_copy(update={"version": "2026.01.03", "max_rows": 20})
    run_stage("pull_rows", begin(config, "another"), client)
    before = {path: waiting.store.sha256(path) for path in waiting.store.files("work")}
    assert waiting.publish("--version", WAITING, "--accept", REASON) == 1
    said = capsys.readouterr().err
    assert "are those of release 2026.01.03 by now" in said
    assert f"if release {WAITING} is made from its first stage on" in said
    assert {path: waiting.store.sha256(path) for path in waiting.store.files("work")} == before


def test_no_reason_overrules_an_error(waiting: Waiting, capsys: pytest.CaptureFixture[str]) -> None:
    path = waiting.store.locate(f"runs/{WAITING}/verdict.json")
    verdict = json.loads(Path(path).read_text())
    verdict["expectations"][0] |= {"success": False, "severity": "critical"}
    waiting.store.write_json(f"runs/{WAITING}/verdict.json", verdict)
    assert waiting.publish("--accept", REASON) == 1
    assert f"failed its validation ({verdict['expectations'][0]['name']})" in capsys.readouterr().err
    assert not (waiting.folder() / "manifest.json").exists()


def test_a_release_without_warnings_has_nothing_accepted(published: Context) -> None:
    manifest = published.store.read_json(f"releases/{published.version}/manifest.json")
    assert manifest["accepted"] is None


def test_a_published_release_is_not_published_again(published: Context, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["publish", "--store", published.store.url]) == 1
    assert "no release that waits" in capsys.readouterr().err
    assert main(["publish", "--store", published.store.url, "--version", published.version]) == 1
    assert "is published and never rewritten" in capsys.readouterr().err
