"""The command line: errors are one sentence and exit code 1, and status tells what a store holds."""

from pathlib import Path

import pytest

from pipelines.cli import main
from pipelines.removals.takedowns import read_takedowns
from pipelines.storage.store import Store
from tests.stages.making import NOWHERE, url_of, write_wit


def arguments(store: Path, *more: str) -> list[str]:
    given = ["run", "--store", str(store), "--partitions", "2"]
    for name, value in NOWHERE.items():
        given += ["--" + name.replace("_", "-"), value]
    return [*given, *more]


@pytest.mark.parametrize(
    ("option", "named"),
    [
        (["--face-threshold", "2"], "face_threshold: "),
        (["--origin", "wikimedia"], "operator_contact: "),
        (["--version", "newest"], "version: "),
        (["--config", "no.json"], "no.json: "),
    ],
)
def test_a_setting_that_is_refused_is_named(
    option: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(tmp_path, *option)) == 1
    error = capsys.readouterr().err
    assert named in error
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir())


def test_settings_come_from_a_file_and_options_override_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "settings.json"
    config.write_text('{"face_threshold": 2, "jpeg_quality": 1}')
    assert main(arguments(tmp_path, "--config", str(config), "--face-threshold", "0.2")) == 1
    error = capsys.readouterr().err
    assert "jpeg_quality" in error
    assert "face_threshold" not in error


def test_a_wit_file_that_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path / "store", "--wit-files", str(tmp_path / "no.tsv.gz"))) == 1
    assert "no.tsv.gz is not there" in capsys.readouterr().err


def test_status_tells_how_far_a_release_has_come(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    assert main(["status", "--store", str(store)]) == 0
    assert "no releases yet" in capsys.readouterr().out
    wit = write_wit(tmp_path / "a.tsv", {"image_url": url_of("A.jpg"), "caption_reference_description": "x"})
    run = arguments(store, "--wit-files", wit, "--version", "2026.01.01", "--until", "pull_rows")
    assert main(run) == 0
    capsys.readouterr()
    assert main(["status", "--store", str(store)]) == 0
    shown = capsys.readouterr().out
    assert "2026.01.01  not published" in shown
    assert "images_rows 1" in shown
    assert "describe_files             to do" in shown


def test_a_takedown_goes_on_the_list_under_its_normal_name(tmp_path: Path) -> None:
    options = ["--reason", "asked by the person shown", "--requester", "subject", "--store", str(tmp_path)]
    assert main(["takedown", "File:some picture.jpg", *options]) == 0
    entry = read_takedowns(Store(str(tmp_path)))["Some_picture.jpg"]
    assert (entry["reason"], entry["requester"]) == ("asked by the person shown", "subject")
    assert main(["takedown", "File:<b>.jpg", *options]) == 1
