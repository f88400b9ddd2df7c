"""What Airflow reads from dags/, once for all tests."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.dags.parse import ROOT

Found = dict[str, Any]


def parse(state: str, **env: str) -> Found:
    done = subprocess.run(
        [sys.executable, "-m", "tests.dags.parse", state],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "WIT_RELEASE_DEFAULTS"} | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Give what a DAG processor finds in dags/."""
    return parse(str(tmp_path_factory.mktemp("airflow")))


@pytest.fixture(scope="session")
def release_dag(found: Found) -> Found:
    """Give the DAG that makes a release."""
    return found["dags"]["wit_release"]
