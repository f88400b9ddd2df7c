"""What tests share: one Dask client, a store and locks in temporary folders; and who runs beside whom.

Most tests wait for processes, so ``make test`` runs two at a time. The tests of a file stay together, as they share
what it made. Those that start an Airflow are one after another, and begin first, as they take longest.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from pipelines.commons.machine import FOLDER
from pipelines.engine.step import Context
from pipelines.storage.store import Store
from tests.published import commons, make
from tests.scene import FIRST, SECOND, Scene, two_releases

TESTS = Path(__file__).resolve().parent
AIRFLOW = ("browser/", "dags/test_run.py", "dags/test_crash.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests that start an Airflow first, where several tests run at a time."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _group(item.nodeid) != "airflow")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out tests by group, as xdist's ``--dist loadgroup`` would, whose marks have no effect with pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return ByGroup(config, log)


def _group(nodeid: str) -> str:
    file = nodeid.partition("::")[0].removeprefix(f"{TESTS.name}/")
    return "airflow" if file.startswith(AIRFLOW) else file


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    """Give a Dask cluster inside this process: real scheduling, no start-up time."""
    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None) as client:
        yield client


@pytest.fixture(scope="session", autouse=True)
def _locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the locks of connections apart from those of real runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(tmp_path_factory.mktemp("locks")))
        yield


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give an empty store."""
    return Store(str(tmp_path / "store"))


@pytest.fixture(scope="session")
def published(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Context:
    """Give a small published release; tests only read it."""
    with commons() as settings:
        return make(client, tmp_path_factory.mktemp("published"), settings)


@pytest.fixture(scope="session")
def _scene(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("scene")
    with two_releases(client, str(folder / "store"), folder / "commons") as made:
        yield made


@pytest.fixture
def scene(_scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Give a store with two releases to do with as one likes; commands run on the tests' own cluster."""
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", _scene.client.scheduler.address)
    store = Store(str(shutil.copytree(_scene.store.url, tmp_path / "store")))
    for version in (FIRST, SECOND):
        begun = store.read_json(f"runs/{version}/begun.json")
        begun["config"]["store"] = store.url
        store.write_json(f"runs/{version}/begun.json", begun)
    return Scene(store, _scene.client, _scene.commons, _scene.picture)
