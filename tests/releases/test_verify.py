"""verify: whatever is done to a copy of a release is found, and the file is named."""

import random
import shutil
from pathlib import Path

import pytest

from pipelines.cli import main
from pipelines.engine.step import Context, release_path
from pipelines.errors import ReleaseError
from pipelines.releases.verify import verify_release


@pytest.fixture
def copy(published: Context, tmp_path: Path) -> Path:
    release = Path(published.store.locate(release_path(published.version, "manifest.json"))).parent
    return Path(shutil.copytree(release, tmp_path / "release"))


def test_a_release_is_as_it_was_published(copy: Path) -> None:
    assert list(verify_release(str(copy))) == []


def test_a_changed_byte_in_any_file_is_found(copy: Path) -> None:
    random_ = random.Random(7)
    for path in sorted(path for path in copy.rglob("*") if path.is_file()):
        good = path.read_bytes()
        bad = bytearray(good)
        place = random_.randrange(len(bad))
        bad[place] ^= 1 << random_.randrange(8)
        path.write_bytes(bad)
        problems = list(verify_release(str(copy)))
        assert any(str(path.relative_to(copy)) in problem for problem in problems), (path, place)
        path.write_bytes(good)
    assert list(verify_release(str(copy))) == []


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / "image_pixels/part-00001.csv.gz").unlink()
    assert list(verify_release(str(copy))) == ["image_pixels/part-00001.csv.gz: missing"]


def test_an_unknown_file_is_named(copy: Path) -> None:
    (copy / "ledger/part-00003.parquet").write_bytes(b"")
    assert list(verify_release(str(copy))) == ["ledger/part-00003.parquet: unknown, not a file of this release"]


@pytest.mark.parametrize("name", ["manifest.json", "SHA256SUMS"])
def test_a_missing_list_is_named_and_the_other_one_still_checks_the_files(copy: Path, name: str) -> None:
    (copy / name).unlink()
    (copy / "README.md").write_text("something else")
    problems = list(verify_release(str(copy)))
    assert problems[0] == f"{name}: missing"
    assert any(problem.startswith("README.md: changed") for problem in problems)


def test_a_checksum_that_was_changed_with_its_file_is_found(copy: Path) -> None:
    from hashlib import sha256

    before = sha256((copy / "README.md").read_bytes()).hexdigest()
    (copy / "README.md").write_text("something else")
    after = sha256((copy / "README.md").read_bytes()).hexdigest()
    sums = copy / "SHA256SUMS"
    sums.write_text(sums.read_text().replace(before, after))
    assert list(verify_release(str(copy))) == ["SHA256SUMS and manifest.json disagree about README.md"]


def test_a_list_leads_to_no_file_outside_the_release(copy: Path) -> None:
    (copy.parent / "outside").write_text("secret")
    sums = copy / "SHA256SUMS"
    sums.write_text(sums.read_text() + "0" * 64 + "  ../outside\n")
    problems = list(verify_release(str(copy)))
    assert len(problems) == 1
    assert problems[0].startswith("SHA256SUMS: changed, it cannot be read any more")


def test_a_folder_without_a_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="is no release"):
        list(verify_release(str(tmp_path)))


def test_the_command_says_what_it_found(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(copy)]) == 0
    assert "every file is as published" in capsys.readouterr().out
    (copy / "README.md").unlink()
    assert main(["verify", str(copy)]) == 1
    assert "README.md: missing" in capsys.readouterr().out
