"""One deployment for all tests here, and what was made on it."""

import functools
import signal
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from pipelines.storage.store import Store
from tests.cluster.deployment import Deployment, deployed
from tests.cluster.kills import Kills
from tests.cluster.postgres import MISSING, NoPostgres, find_binaries
from tests.cluster.scenario import RELEASE, Made, Scenario

Refresh = Callable[[str], Made]


def pytest_sessionstart(session: pytest.Session) -> None:
    try:
        find_binaries()
    except NoPostgres:
        pytest.exit(MISSING, returncode=1)


@pytest.fixture(scope="package", autouse=True)
def stopped_when_told_to() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C, so that all processes are stopped."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="package")
def deployment(stopped_when_told_to: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("deployment")) as running:
        for dag in ("wit_release", "wit_refresh"):
            running.api.wait_for_dag(dag)
        yield running


@pytest.fixture(scope="package")
def undisturbed(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Scenario(tmp_path_factory.mktemp("undisturbed"), Store("s3://wit/undisturbed")).deploy(deployment)


@pytest.fixture(scope="package")
def embedded(stopped_when_told_to: None, tmp_path_factory: pytest.TempPathFactory) -> Refresh:
    """Return how to get what the embedded default makes, with a refresh of some name."""
    folder = tmp_path_factory.mktemp("embedded")
    return functools.cache(Scenario(folder / "commons", Store(str(folder / "store"))).embedded())


@pytest.fixture(scope="package")
def kills() -> Kills:
    return Kills()


@pytest.fixture(scope="package")
def disturbed(deployment: Deployment, kills: Kills, tmp_path_factory: pytest.TempPathFactory) -> Made:
    scenario = Scenario(tmp_path_factory.mktemp("disturbed"), Store("s3://wit/disturbed"))
    return scenario.deploy(deployment, lambda run: kills.happen(deployment, scenario.store, RELEASE, run))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show what the processes said last when a test fails."""
    report = yield
    deployment = getattr(item, "funcargs", {}).get("deployment")
    if report.failed and deployment is not None:
        report.sections.append(("the processes of the deployment", deployment.supervisor.tails()))
    return report
