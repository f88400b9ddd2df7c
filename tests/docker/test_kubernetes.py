"""docker/kubernetes/: the values files parse, and agree with the images, the compose files and Airflow."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker.files import DOCKER, ROOT, load, strings
from tests.docker.test_compose import _airflow_options, _copied

FOLDER = DOCKER / "kubernetes"
VALUES = load(FOLDER / "airflow-values.yaml")
CLUSTER, GPU = yaml.safe_load_all((FOLDER / "dask-cluster.yaml").read_text("utf-8"))


def _containers() -> list[dict[str, Any]]:
    specs = (CLUSTER["spec"]["scheduler"], CLUSTER["spec"]["worker"], GPU["spec"]["worker"])
    return [container for spec in specs for container in spec["spec"]["containers"]]


def test_airflow_is_the_locks():
    lock = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    assert f"apache-airflow=={VALUES['airflowVersion']}" in lock


def test_options_that_the_chart_sets_exist():
    named = {(section, option) for section, options in VALUES["config"].items() for option in options}
    assert named <= _airflow_options()


def test_the_deployment_is_prepared_by_the_script_of_the_image():
    script = re.search(r"python (docker/\S+)", " ".join(VALUES["apiServer"]["args"]))
    assert script is not None
    assert script[1] in _copied("airflow")


@pytest.mark.parametrize(
    ("component", "probe"),
    [
        ("scheduler", "livenessProbe"),
        ("scheduler", "startupProbe"),
        ("dagProcessor", "livenessProbe"),
        ("triggerer", "livenessProbe"),
    ],
)
def test_probes_run_what_our_image_has(component: str, probe: str):
    """The chart's own run /entrypoint, which only apache/airflow's images have; its log groomers run /clean-logs."""
    from airflow.cli.cli_parser import get_parser

    command = VALUES[component][probe]["command"]
    assert command[:3] == ["airflow", "jobs", "check"]
    check = get_parser().parse_args(command[1:])
    assert check.local
    assert check.job_type.lower() == f"{component}job".lower()
    assert VALUES[component]["logGroomerSidecar"] == {"enabled": False}


def test_secrets_of_inputs_reach_those_who_read_inputs():
    optional = {"secretRef": {"name": "wit-inputs", "optional": True}}
    assert optional in yaml.safe_load(VALUES["extraEnvFrom"])
    for workers in (CLUSTER["spec"]["worker"], GPU["spec"]["worker"]):
        assert all(optional in container["envFrom"] for container in workers["spec"]["containers"])


def test_the_chart_sets_what_our_airflow_cfg_sets_for_login():
    cfg = (ROOT / "airflow.cfg").read_text("utf-8")
    assert f"auth_manager = {VALUES['config']['core']['auth_manager']}" in cfg
    assert "simple_auth_manager_all_admins" not in VALUES["config"]["core"]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.name)
def test_images_are_targets_of_the_dockerfile(path: Path):
    for path in sorted(FOLDER.glob("*.yaml")):
        for text in strings(list(yaml.safe_load_all(path.read_text("utf-8")))):
            assert not re.search(r"(?i)(password|secret_access_key|fernet_key)\s*[:=]\s*\S", text)
