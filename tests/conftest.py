"""What tests share: one Dask client, and a store in a temporary folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client

from pipelines.engine.step import Context
from pipelines.store import Store
from tests.published import commons, make


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    """Give a Dask cluster inside this process: real scheduling, no start-up time."""
    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None) as client:
        yield client


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give an empty store."""
    return Store(str(tmp_path / "store"))


@pytest.fixture(scope="session")
def published(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Context:
    """Give a small published release; tests only read it."""
    with commons() as settings:
        return make(client, tmp_path_factory.mktemp("published"), settings)
