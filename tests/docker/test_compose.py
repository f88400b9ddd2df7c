"""docker/compose*.yaml: everything that they name exists, nothing secret is in them, and Compose accepts them."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from pipelines.config import ReleaseConfig
from tests.docker.files import (
    BASE,
    COMPOSE,
    DOCKER,
    HOME,
    OVERLAYS,
    ROOT,
    VARIABLE,
    example,
    interpolated,
    load,
    services,
    stages,
    strings,
)

SERVICES = [(path, name) for path in COMPOSE for name in services(path)]
OWN = [(path, name) for path, name in SERVICES if "command" in services(path)[name] and "build" in services(path)[name]]
IDS = [f"{path.name}:{name}" for path, name in SERVICES]
OWN_IDS = [f"{path.name}:{name}" for path, name in OWN]


def _airflow_options() -> set[tuple[str, str]]:
    """Options of the installed Airflow's configuration, and of the provider that one of our extras brings."""
    import airflow
    from airflow.providers.openlineage.get_provider_info import get_provider_info

    described = yaml.safe_load((Path(airflow.__file__).parent / "config_templates" / "config.yml").read_text("utf-8"))
    described |= get_provider_info()["config"]
    return {(section, option) for section, about in described.items() for option in about["options"]}


def _copied(target: str) -> set[str]:
    """Files of the repository that a target's last stage holds."""
    found = set()
    for word, rest in stages()[target]:
        if word == "COPY" and not rest.startswith("--from="):
            found |= {source for source in rest.split()[:-1]}
    return found


def test_the_services_of_a_real_deployment_are_there():
    assert services(BASE).keys() >= {
        "postgres", "object-store", "dask-scheduler", "dask-worker",
        "airflow-init", "airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer",
    }  # fmt: skip
    assert "demo-commons" in services(DOCKER / "compose.demo.yaml")
    assert "dask-gpu-worker" in services(DOCKER / "compose.gpu.yaml")


@pytest.mark.parametrize(("path", "name"), OWN, ids=OWN_IDS)
def test_images_are_built_from_targets_that_exist(path: Path, name: str):
    build = services(path)[name]["build"]
    assert build["target"] in stages()
    assert (path.parent / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()
    assert services(path)[name]["image"].startswith(f"wit-release/{build['target']}")


@pytest.mark.parametrize(("path", "name"), SERVICES, ids=IDS)
def test_images_of_others_are_pinned(path: Path, name: str):
    image = services(path)[name].get("image", "wit-release/")
    assert image.startswith("wit-release/") or re.search(r":v?\d+\.\d+", image), image


@pytest.mark.parametrize(("path", "name"), OWN, ids=OWN_IDS)
def test_commands_exist_with_their_options(path: Path, name: str):
    service = services(path)[name]
    command = [interpolated(word) for word in service["command"]]
    if command[0] == "airflow":
        from airflow.cli.cli_parser import get_parser

        assert get_parser().parse_args(command[1:]).subcommand == command[1]
    elif command[0] == "dask":
        _check_dask(command[1:])
    else:
        assert command[0] == "python"
        assert command[1] in _copied(service["build"]["target"]), f"{command[1]} is not in the image"


def _check_dask(words: list[str]) -> None:
    from importlib.metadata import entry_points

    (entry,) = [entry for entry in entry_points(group="dask_cli") if entry.name == words[0]]
    command = entry.load()
    context = command.make_context(words[0], words[1:], resilient_parsing=False)
    address = re.search(r"tcp://([\w-]+):(\d+)", " ".join(words))
    if address:
        scheduler = services(BASE)[address[1]]["command"]
        assert scheduler[scheduler.index("--port") + 1] == address[2]
    assert context.params


@pytest.mark.parametrize(("path", "name"), OWN, ids=OWN_IDS)
def test_health_checks_ask_a_service_at_a_port_that_it_listens_on(path: Path, name: str):
    service = services(path)[name]
    if service.get("restart") == "no":
        return  # it ends by itself
    check = service["healthcheck"]["test"]
    assert check[:3] == ["CMD", "python", "docker/healthy.py"]
    assert "docker/healthy.py" in _copied(service["build"]["target"])
    url = urlsplit(check[3])
    asked = name if url.hostname == "127.0.0.1" else url.hostname
    assert asked in services(path) or asked in services(BASE)
    words = " ".join(services(path).get(asked, services(BASE).get(asked, {}))["command"])
    assert str(url.port) in words or url.port in _default_ports(asked)


def _default_ports(service: str) -> set[int]:
    """Ports that the configuration or the code says, where the command does not."""
    from airflow.configuration import conf

    if service == "airflow-api-server":
        found = re.search(r"^port = (\d+)$", (ROOT / "airflow.cfg").read_text("utf-8"), re.MULTILINE)
        return {int(found[1])} if found else set()
    if service == "airflow-scheduler":
        return {int(conf.get_mandatory_value("scheduler", "scheduler_health_check_server_port"))}
    if service == "demo-commons":
        return {int(re.search(r"^PORT = (\d+)$", (DOCKER / "demo_commons.py").read_text("utf-8"), re.MULTILINE)[1])}  # type: ignore[index]
    return set()


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_variables_are_in_the_example_and_have_its_default(path: Path):
    for text in strings(load(path)):
        for found in VARIABLE.finditer(text):
            assert found["name"] in example(), f"${found['name']} is not in .env.example"
            value = example()[found["name"]]
            if value:
                assert found["operator"] == ":-"
                assert found["value"] == value, f"${found['name']} has another default in .env.example"
            else:
                assert found["operator"] == ":?", f"${found['name']} is a secret: it must be refused when it is empty"


def test_the_example_names_nothing_that_is_not_used():
    used = {found["name"] for path in COMPOSE for text in strings(load(path)) for found in VARIABLE.finditer(text)}
    assert used == example().keys()


def test_the_example_holds_no_secret():
    assert all(not value for name, value in example().items() if re.search(r"PASSWORD|SECRET|_KEY$", name))


@pytest.mark.parametrize(("path", "name"), SERVICES, ids=IDS)
def test_secrets_come_from_variables_only(path: Path, name: str):
    for variable, value in services(path)[name].get("environment", {}).items():
        if re.search(r"PASSWORD|SECRET|FERNET|ACCESS_KEY|CONN", variable):
            assert "${" in value, variable


@pytest.mark.parametrize(("path", "name"), SERVICES, ids=IDS)
def test_airflow_options_that_are_overridden_exist(path: Path, name: str):
    options = _airflow_options()
    for variable in services(path)[name].get("environment", {}):
        if variable.startswith("AIRFLOW__"):
            section, option = variable.removeprefix("AIRFLOW__").lower().split("__")
            assert (section, option) in options, variable


def test_options_of_our_own_airflow_cfg_exist():
    import configparser

    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "airflow.cfg")
    named = {(section, option) for section in parser.sections() for option in parser[section]}
    own = {("core", "simple_auth_manager_passwords_file"), ("core", "auth_manager")}
    assert own <= named
    assert named <= _airflow_options()


def test_what_the_dags_read_can_be_set():
    code = "".join(path.read_text("utf-8") for path in (ROOT / "dags").glob("*.py"))
    for name, service in services(BASE).items():
        if name.startswith("airflow-"):
            assert set(re.findall(r'"(WIT_RELEASE_\w+)"', code)) <= service["environment"].keys()


@pytest.mark.parametrize("variable", ["DASK_SCHEDULER_ADDRESS", "WIT_RELEASE_DEFAULTS"])
def test_our_own_variables_are_read_by_the_code(variable: str):
    assert any(variable in service.get("environment", {}) for service in services(BASE).values())
    code = [*(ROOT / "pipelines").rglob("*.py"), *(ROOT / "dags").glob("*.py")]
    assert any(variable in path.read_text("utf-8") for path in code)


def test_only_what_needs_the_store_has_its_keys():
    with_keys = {
        name for name, service in services(BASE).items() if "AWS_SECRET_ACCESS_KEY" in service.get("environment", {})
    }
    assert with_keys == {"airflow-init", "airflow-api-server", "airflow-scheduler", "dask-worker"}


def test_login_is_required():
    """Airflow can be told that everybody is an administrator: nothing of ours tells it so, the demo included."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    ours = [ROOT / name for name in listed if not name.startswith("tests/") and not name.endswith(".md")]
    assert {*COMPOSE, ROOT / "airflow.cfg"} <= set(ours)
    telling = [path.name for path in ours if b"all_admins" in path.read_bytes().lower()]
    assert telling == []


def test_secrets_of_inputs_reach_just_those_who_read_inputs():
    given = {name: services(path)[name]["env_file"] for path, name in SERVICES if "env_file" in services(path)[name]}
    assert given.keys() == {"airflow-scheduler", "dask-worker", "dask-gpu-worker"}
    assert all(files == [{"path": "./inputs.env", "required": False}] for files in given.values())
    assert "inputs.env" in (DOCKER / ".gitignore").read_text("utf-8").splitlines()


@pytest.mark.parametrize(("path", "name"), SERVICES, ids=IDS)
def test_volumes_that_are_mounted_are_declared_or_are_files_of_ours(path: Path, name: str):
    declared = {volume for file in COMPOSE for volume in load(file).get("volumes", {})}
    for mount in services(path)[name].get("volumes", []):
        source, *target = interpolated(mount).split(":")
        if not target:
            assert source.startswith("/")  # anonymous
        elif source.startswith("."):
            assert (path.parent / source).is_file(), source
            assert target[0].startswith(HOME)
        else:
            assert source in declared


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_published_ports_are_on_loopback_and_never_the_schedulers(path: Path):
    for name, service in services(path).items():
        for port in service.get("ports", []):
            host, outside, inside = interpolated(port).rsplit(":", 2)
            assert host == "127.0.0.1"
            assert outside == inside
            assert inside not in {"8786", "5432"}, name


@pytest.mark.parametrize(("path", "name"), SERVICES, ids=IDS)
def test_services_wait_for_services_that_exist(path: Path, name: str):
    known = services(BASE) | services(path)
    for other, about in services(path)[name].get("depends_on", {}).items():
        assert other in known
        if about["condition"] == "service_healthy":
            assert "healthcheck" in known[other]


@pytest.mark.parametrize(
    ("path", "name"),
    [*((BASE, name) for name in services(BASE)), *OWN],
    ids=lambda value: getattr(value, "name", value),
)
def test_services_have_limits_and_gain_no_privileges(path: Path, name: str):
    service = services(path)[name]
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert service["security_opt"] == ["no-new-privileges:true"]
    if "build" in service:
        assert service["cap_drop"] == ["ALL"]


def test_a_gpu_worker_has_what_the_others_have():
    """Dask gives it partitions of every step, not of those alone that ask for a GPU."""
    (gpu,) = services(DOCKER / "compose.gpu.yaml").values()
    worker = services(BASE)["dask-worker"]
    for key in ("environment", "env_file", "volumes"):
        assert gpu[key] == worker[key]


def test_gpu_workers_offer_what_the_engine_asks_for_and_share_no_gpu():
    (service,) = services(DOCKER / "compose.gpu.yaml").values()
    assert "--resources GPU=1 --preload-nanny docker/own_gpu.py" in " ".join(service["command"])
    assert "docker/own_gpu.py" in _copied("gpu-worker")
    assert '"GPU"' in (ROOT / "pipelines" / "engine" / "cluster.py").read_text("utf-8")
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}


def test_pools_are_those_that_the_tasks_ask_for():
    from pipelines.demo.airflow import POOLS

    pools = json.loads((DOCKER / "pools.json").read_text("utf-8"))
    assert {name: pool["description"] for name, pool in pools.items()} == POOLS
    assert all(pool["slots"] == 1 for pool in pools.values())


@pytest.mark.parametrize("name", ["release-defaults.json", "demo-defaults.json"])
def test_the_forms_defaults_are_settings(name: str):
    given: dict[str, Any] = json.loads((DOCKER / name).read_text("utf-8"))
    assert given.keys() <= ReleaseConfig.model_fields.keys()
    assert given["store"].startswith("s3://")
    ReleaseConfig.parse(given | ({} if given.get("origin") else {"operator_contact": "me@institute.example"})).commons()


def test_the_demos_defaults_name_the_demos_services():
    given = json.loads((DOCKER / "demo-defaults.json").read_text("utf-8"))
    demo = services(DOCKER / "compose.demo.yaml")
    assert urlsplit(given["media_url"]).hostname in demo
    folder = demo["demo-commons"]["command"][-1]
    assert given["wit_files"] == [f"{folder}/wit.tsv.gz"]
    for reader in ("dask-worker", "airflow-scheduler"):
        assert any(mount.split(":")[1] == str(Path(folder).parent) for mount in demo[reader]["volumes"])


def _says(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _implementation(folder: Path) -> tuple[list[str], dict[str, str]]:
    """An implementation of Compose that can read its files here; podman-compose does so without a container engine."""
    environment = dict(os.environ)
    for docker in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(docker[0]) and _says([*docker, "version"]).startswith("Docker Compose version v2"):
            return docker, environment
    found = shutil.which("podman-compose", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip("neither docker's compose plugin nor podman-compose is installed (pip install podman-compose)")
    if shutil.which("podman") is None:
        # It asks for podman's version before anything else; `config` needs no more of it.
        (folder / "podman").write_text("#!/bin/sh\necho podman version 5.4.0\n")
        (folder / "podman").chmod(0o755)
        environment["PATH"] = f"{folder}{os.pathsep}{environment['PATH']}"
    return [found], environment


@pytest.mark.parametrize(
    "overlays", [(), OVERLAYS[:1], OVERLAYS[1:], OVERLAYS], ids=["base", "gpu", "demo", "gpu and demo"]
)
def test_compose_accepts_the_files(tmp_path: Path, overlays: tuple[Path, ...]):
    program, environment = _implementation(tmp_path)
    environment |= {name: value or "x" for name, value in example().items()}
    files = [word for path in (BASE, *overlays) for word in ("--file", str(path))]
    done = subprocess.run([*program, *files, "config"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    accepted = yaml.safe_load(done.stdout)["services"]
    assert accepted.keys() == {name for path in (BASE, *overlays) for name in services(path)}


def test_compose_refuses_an_empty_secret(tmp_path: Path):
    program, environment = _implementation(tmp_path)
    environment |= {name: value or "x" for name, value in example().items()} | {"POSTGRES_PASSWORD": ""}
    done = subprocess.run(
        [*program, "--file", str(BASE), "config"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
