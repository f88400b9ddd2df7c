"""The stores that tests of a store run on: a disk's and an S3 server's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.storage.store import Store
from tests.s3 import s3_server


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture(params=["disk", "s3"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "disk":
        return Store(str(tmp_path / "store"))
    return Store(f"{request.getfixturevalue('s3_url')}/{tmp_path.name}")
