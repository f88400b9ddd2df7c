"""The release that consumers read, as a folder on this machine."""

from pathlib import Path

import pytest

from pipelines.engine.step import Context
from pipelines.releases.reader import Release, open_release


@pytest.fixture(scope="session")
def folder(published: Context) -> Path:
    return Path(published.store.locate(f"releases/{published.version}"))


@pytest.fixture(scope="session")
def release(folder: Path) -> Release:
    return open_release(str(folder))
