"""Airflow on this machine: what does not need it to run; the rest is in tests/dags and tests/browser."""

import socket
import tempfile
from pathlib import Path

import pytest

from pipelines.demo.airflow import Airflow, _any_port
from tests.running import ROOT


@pytest.fixture(autouse=True)
def _locks_lie_in_a_folder_of_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_two_that_start_at_once_take_different_ports(tmp_path: Path) -> None:
    wanted = _any_port()
    first, second = (Airflow(ROOT, tmp_path / name) for name in ("first", "second"))
    assert first._take_port(wanted) == wanted
    assert second._take_port(wanted) != wanted  # nobody listens yet
    first.stop()
    assert second._take_port(wanted) == wanted
    second.stop()


def test_a_port_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        airflow = Airflow(ROOT, tmp_path / "state")
        assert airflow._take_port(taken) != taken
        airflow.stop()
