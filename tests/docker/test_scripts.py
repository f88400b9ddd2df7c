"""The few scripts of docker/: secrets are made, a deployment is prepared, health is told."""

import importlib.util
import json
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import pytest
from cryptography.fernet import Fernet

from tests.docker.files import DOCKER, ROOT, example


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docker_{name}", DOCKER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _made(folder: Path) -> dict[str, str]:
    lines = (folder / ".env").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".env.example").write_text((DOCKER / ".env.example").read_text("utf-8"), "utf-8")
    return tmp_path


def test_an_env_file_has_a_fresh_value_for_each_secret_and_keeps_the_rest(folder: Path):
    assert _script("make_env").main(folder) == 0
    made = _made(folder)
    assert made.keys() == example().keys()
    assert all(made.values())
    assert {name: value for name, value in example().items() if value}.items() <= made.items()
    secrets = [value for name, value in made.items() if not example()[name]]
    assert len(set(secrets)) == len(secrets)
    Fernet(made["AIRFLOW_FERNET_KEY"])
    assert len(made["AIRFLOW_JWT_SECRET"]) >= 64, "what SHA-512 wants of a key"


def test_an_env_file_is_for_its_owner_alone_and_is_never_overwritten(folder: Path):
    script = _script("make_env")
    script.main(folder)
    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600
    before = (folder / ".env").read_bytes()
    assert script.main(folder) == 1
    assert (folder / ".env").read_bytes() == before


def test_git_ignores_the_env_file():
    assert ".env" in (DOCKER / ".gitignore").read_text("utf-8").splitlines()
    assert not any(path.name == ".env" for path in ROOT.glob("*"))


def test_the_password_is_written_for_its_reader_alone(tmp_path: Path):
    script = _script("init")
    for password in ("first", "second"):
        script.write_password(tmp_path / "passwords.json", password)
        assert json.loads((tmp_path / "passwords.json").read_text()) == {"admin": password}
    assert stat.S_IMODE((tmp_path / "passwords.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["passwords.json"]


def test_preparing_says_what_is_not_set(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.delenv("AIRFLOW_ADMIN_PASSWORD", raising=False)
    assert _script("init").main() == 1
    assert "AIRFLOW_ADMIN_PASSWORD" in capsys.readouterr().err


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = 500 if self.path == "/broken" else 200
        self.send_response(status)
        self.end_headers()
        self.wfile.write(
            json.dumps({"triggerer": {"status": "healthy"}, "scheduler": {"status": "unhealthy"}}).encode()
        )

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Health) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_health_is_an_answer_and_a_component_that_says_so(url: str):
    problem = _script("healthy").problem
    assert problem(f"{url}/health") is None
    assert problem(f"{url}/health", "triggerer") is None
    assert "unhealthy" in problem(f"{url}/health", "scheduler")
    assert "nothing of" in problem(f"{url}/health", "dag_processor")
    assert "500" in problem(f"{url}/broken")
    assert problem("http://127.0.0.1:9/health") is not None
