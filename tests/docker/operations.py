"""``dc`` where there is no container engine: it stands in for ``docker compose`` in the commands of docker/README.md.

``exec`` and ``run`` run the command as a process that has the environment which compose.yaml gives the service, with
the present docker/.env; ``up`` connects to the database with the present password, and prepares it, as airflow-init
does, where that was not done yet. Host names of containers are replaced by what the variable HERE, a JSON object, has
in their place.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.docker.files import BASE, VARIABLE, services

_WITH_VALUE = {"--volume"}
_PREPARE = ["airflow", "db", "migrate"]
_IS_PREPARED = """
import os, psycopg2
url = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "")
psycopg2.connect(url).cursor().execute("SELECT * FROM alembic_version")
"""


def main(words: list[str]) -> int:
    action, *rest = words
    if action == "up":
        if any(not word.startswith("-") for word in rest):
            return 0  # single services, which are on
        return _run("airflow-init", [sys.executable, "-c", _IS_PREPARED]) and _run("airflow-init", _PREPARE)
    while rest[0].startswith("-"):
        rest = rest[2:] if rest[0] in _WITH_VALUE else rest[1:]
    service, *command = rest
    return _run(service, command)


def _run(service: str, command: list[str]) -> int:
    here: dict[str, str] = json.loads(os.environ["HERE"])
    variables = dict(line.split("=", 1) for line in Path("docker/.env").read_text().splitlines() if "=" in line)
    environment = {}
    for name, value in services(BASE)[service].get("environment", {}).items():
        environment[name] = VARIABLE.sub(lambda found: variables.get(found["name"]) or found["value"] or "", value)
    if service == "postgres":
        environment |= {"PGHOST": here["/var/run/postgresql"], "PGPORT": here["postgres:5432"].rpartition(":")[2]}
    for there, place in here.items():
        environment = {name: value.replace(there, place) for name, value in environment.items()}
        command = [word.replace(there, place) for word in command]
    return subprocess.run(command, env=os.environ | environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
