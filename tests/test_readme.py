"""The commands of the documents: the program takes each of them as it stands there."""

import re
import shlex
from pathlib import Path

import pytest

from pipelines.cli import _parser
from pipelines.config import ReleaseConfig
from tests.running import ROOT

README, DEPLOYMENT = ROOT / "README.md", ROOT / "docker" / "README.md"


def _commands(document: Path) -> list[str]:
    """Every whole command, in blocks and in sentences."""
    found = re.findall(r"python -m pipelines (\w(?:[^`\n#\\]|\\\n)*)", document.read_text("utf-8"))
    return [command.replace("\\\n", " ").strip() for command in found if "…" not in command]


@pytest.mark.parametrize("command", [*_commands(README), *_commands(DEPLOYMENT)])
def test_a_command_is_one_that_the_program_takes(command: str) -> None:
    words = [word for word in shlex.split(command) if word != "--help"]
    assert _parser().parse_args(words).name == words[0]


@pytest.mark.parametrize("command", _commands(DEPLOYMENT))
def test_a_command_in_a_deployment_names_its_bucket(command: str) -> None:
    assert any(word.startswith("s3://wit") for word in shlex.split(command))


def test_the_settings_that_fill_in_the_form_make_a_real_release() -> None:
    (settings,) = re.findall(r"^```json\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    config = ReleaseConfig.model_validate_json(settings)
    assert config.origin == "wikimedia"
    config.commons()
