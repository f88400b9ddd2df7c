"""The commands under "Operating it" in docker/README.md: run as they stand there, against real services.

That takes minutes, most of them Airflow's start-up, so it is done where ``WIT_SLOW_TESTS`` is set; that they are well
formed and name what exists is always checked.
"""

import json
import os
import pwd
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from tests.commons.cluster import eventually
from tests.docker.files import COMPOSE, DOCKER, ROOT, example, services
from tests.docker.test_scripts import _script
from tests.s3 import s3_server

README = (DOCKER / "README.md").read_text("utf-8")
SECTION = README[README.index("## Operating it") : README.index("## Kubernetes")]
BLOCKS = re.findall(r"^```\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
SPANS = re.findall(r"`(dc [^`]+)`", SECTION)
KNOWN = {name for path in COMPOSE for name in services(path)}
RUN = dict(re.findall(r"<!-- run: (.*?) -->\n```\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL))
PYTHON = Path(sys.executable).parent
POSTGRES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), Path("/nowhere"))

OTHERS = ("AIRFLOW_ADMIN_PASSWORD", "AIRFLOW_JWT_SECRET", "AIRFLOW_API_SECRET_KEY")

slow = pytest.mark.skipif(not os.environ.get("WIT_SLOW_TESTS"), reason="takes minutes: set WIT_SLOW_TESTS=1")


@pytest.mark.parametrize("block", BLOCKS + SPANS, ids=lambda block: block.splitlines()[0][:40])
def test_the_commands_are_well_formed_and_name_what_exists(block: str):
    subprocess.run(["bash", "-n"], input=block, text=True, check=True)
    for line in block.replace("\\\n", "").splitlines():
        asked = re.search(r"\bdc (?:exec|run|logs|ps)((?: -\S+(?: \"[^\"]+\")?)*) (\S+)", line)
        assert not asked or asked[2] in KNOWN, line
        for variable in re.findall(r"s.\^([A-Z_]+)=", line):
            assert variable in example(), line


@dataclass
class Deployment:
    """A folder with docker/.env in it, and a shell in which dc, airflow, Postgres' programs and Python are."""

    folder: Path
    environment: dict[str, str]

    def shell(self, script: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def variables(self) -> dict[str, str]:
        lines = (self.folder / "docker" / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    if not (POSTGRES / "initdb").exists():
        pytest.skip("Postgres' server is not on this machine (apt-get install postgresql)")
    folder = tmp_path_factory.mktemp("deployment")
    (folder / "docker").mkdir()
    shutil.copy(DOCKER / ".env.example", folder / "docker")
    _script("make_env").main(folder / "docker")
    programs = folder / "bin"
    programs.mkdir()
    dc = f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {sys.executable} -m tests.docker.operations "$@"\n'
    (programs / "dc").write_text(dc)
    (programs / "dc").chmod(0o755)
    made = Deployment(folder, {})
    with s3_server() as bucket, _postgres(made.variables()["POSTGRES_PASSWORD"]) as (port, sockets):
        here = {
            "postgres:5432": f"127.0.0.1:{port}",
            "/var/run/postgresql": sockets,
            "http://object-store:7070": os.environ["AWS_ENDPOINT_URL"],
            "'wit/'": f"'{bucket.removeprefix('s3://')}/'",
            "/backup/": f"{folder}/backup/",
            "/opt/wit-release/release-defaults.json": str(DOCKER / "release-defaults.json"),
        }
        made.environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
            "PATH": os.pathsep.join(map(str, (programs, PYTHON, POSTGRES, os.environ["PATH"]))),
            "HERE": json.dumps(here),
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        }
        made.shell("dc up --detach --wait")
        yield made


@contextmanager
def _postgres(password: str) -> Iterator[tuple[int, str]]:
    """Run a server as its image does: a password over TCP, none on its own socket. It refuses to run as root."""
    folder = tempfile.mkdtemp(prefix="wit-postgres-")
    user = pwd.getpwnam("postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)
    secret = Path(folder, "password")
    secret.write_text(password)
    for path in (folder, secret):
        os.chown(path, user.pw_uid, user.pw_gid)
    whom = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    initdb = ["initdb", "--username", "airflow", "--pwfile", str(secret), "--auth-local", "trust"]
    initdb += ["--auth-host", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync", "-D", "data"]
    subprocess.run([POSTGRES / initdb[0], *initdb[1:]], cwd=folder, check=True, capture_output=True, **whom)
    serve = ["-D", "data", "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-c", "fsync=off"]
    server = subprocess.Popen([POSTGRES / "postgres", *serve], cwd=folder, stderr=subprocess.DEVNULL, **whom)
    try:
        ask = [POSTGRES / "psql", "-h", folder, "-p", str(port), "-U", "airflow", "-d", "postgres", "-c"]
        create = [*ask, "CREATE DATABASE airflow"]
        assert eventually(lambda: subprocess.run(create, capture_output=True, check=False).returncode == 0, within=60)
        yield port, folder
    finally:
        server.terminate()
        server.wait(60)
        shutil.rmtree(folder)


def _password_of_the_connection(deployment: Deployment) -> str:
    """What Airflow makes of an encrypted connection with the keys that it has now."""
    shown = deployment.shell("dc exec -T airflow-scheduler airflow connections get hook --output json")
    return json.loads(shown[shown.index("[") :])[0]["password"]


@slow
@pytest.mark.timeout(1500)
def test_backed_up_lost_restored_and_rotated(deployment: Deployment):
    """One story, as each start of Airflow takes half a minute: what was there is there after everything."""
    from pipelines.storage.store import Store

    store = Store("s3://releases-bucket")
    store.write_text("releases/latest.json", "one")
    deployment.shell("dc exec -T airflow-scheduler airflow connections add hook --conn-type http --conn-password kept")

    deployment.shell(RUN["back up"])
    lost = "psql --quiet --username airflow --dbname airflow --command 'DROP TABLE connection CASCADE'"
    deployment.shell(f"dc exec -T postgres {lost}")
    store.remove("releases/latest.json")
    (deployment.folder / "docker" / ".env").write_text("")
    deployment.shell(RUN["restore"])
    assert store.read_text("releases/latest.json") == "one"

    before = deployment.variables()
    for rotated in ("rotate the Fernet key", "rotate Postgres's password", "rotate other secrets"):
        deployment.shell(RUN[rotated])
    assert _password_of_the_connection(deployment) == "kept"
    after = deployment.variables()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"AIRFLOW_FERNET_KEY", "POSTGRES_PASSWORD", *OTHERS}
    assert "," not in after["AIRFLOW_FERNET_KEY"]
    old = before["POSTGRES_PASSWORD"]
    deployment.shell(f"sed --in-place 's/^POSTGRES_PASSWORD=.*/POSTGRES_PASSWORD={old}/' docker/.env")
    with pytest.raises(AssertionError, match="password authentication failed"):
        deployment.shell("dc up --detach --wait")


@slow
def test_a_gpu_worker_is_added():
    from pipelines.engine.cluster import resources_for
    from pipelines.engine.step import Needs

    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None) as cluster, Client(cluster) as client:
        assert resources_for(client, Needs.GPU) == {}
        address = {"DASK_SCHEDULER_ADDRESS": cluster.scheduler_address}
        path = {"PATH": f"{PYTHON}{os.pathsep}{os.environ['PATH']}"}
        worker = subprocess.Popen(
            ["bash", "-c", "exec " + RUN["gpu worker"]], env=os.environ | address | path, stderr=subprocess.DEVNULL
        )
        try:
            client.wait_for_workers(1, timeout=120)
            assert resources_for(client, Needs.GPU) == {"GPU": 1.0}
        finally:
            worker.terminate()
            worker.wait(60)
