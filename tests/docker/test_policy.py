"""docker/s3-policy.json and s3-reader-policy.json: these rights suffice, and nothing else is allowed. A real S3 server.

A release is made with them, and another one fails, by the command line over a Dask cluster of its own processes; and no
secret that they are given is in anything that they leave behind.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from pipelines.errors import StoreError
from pipelines.pipeline import STAGES
from pipelines.releases.verify import verify_release
from pipelines.storage.store import Store
from tests.docker.files import DOCKER
from tests.docker.test_scripts import _script
from tests.planted import files_below, found
from tests.private_server import LOGIN, QUERY, VARIABLES, named, private_server
from tests.running import ROOT, options, run
from tests.s3 import moto
from tests.stages.making import NOWHERE
from tests.world import World

pytestmark = pytest.mark.timeout(1200)  # a release takes half a minute, longer on a busy machine

REGION = "us-east-1"
POLICIES = {"wit": "s3-policy.json", "reader": "s3-reader-policy.json"}


slow = pytest.mark.skipif(not os.environ.get("WIT_SLOW_TESTS"), reason="takes minutes: set WIT_SLOW_TESTS=1")


@dataclass(frozen=True)
class Server:
    """An S3 server that checks who may do what, and the variables that make a program one of its users."""

    url: str
    users: Mapping[str, Mapping[str, str]]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with moto() as url:
        yield Server(url, _users(url))


def _users(url: str) -> dict[str, dict[str, str]]:
    """Make two buckets, and a user for each policy."""
    root = {"endpoint_url": url, "region_name": REGION, "aws_access_key_id": "root", "aws_secret_access_key": "root"}
    for bucket in ("wit", "others"):
        boto3.client("s3", **root).create_bucket(Bucket=bucket)
    iam = boto3.client("iam", **root)
    users = {}
    for user, policy in POLICIES.items():
        iam.create_user(UserName=user)
        iam.put_user_policy(UserName=user, PolicyName=user, PolicyDocument=(DOCKER / policy).read_text("utf-8"))
        key = iam.create_access_key(UserName=user)["AccessKey"]
        users[user] = {
            "AWS_ENDPOINT_URL": url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }
    requests.post(f"{url}/moto-api/reset-auth", data="0", timeout=10)  # from now on, rights are checked
    return users


@pytest.fixture
def endpoint(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Make this process the user that makes releases."""
    yield from _as("wit", server, monkeypatch)


@pytest.fixture
def reader(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Make this process the user that reads them."""
    yield from _as("reader", server, monkeypatch)


def _as(user: str, server: Server, environment: pytest.MonkeyPatch) -> Iterator[str]:
    for name, value in server.users[user].items():
        environment.setenv(name, value)
    _forget_connections()
    yield server.url
    _forget_connections()


def _forget_connections() -> None:
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


def test_a_store_works_with_the_policy_and_the_variables_of_the_containers(endpoint: str):
    store = Store("s3://wit")
    store.write_text("work/a.txt", "one")
    store.link("work/a.txt", "releases/a.txt")
    assert store.files("releases") == ["releases/a.txt"]
    assert store.open("releases/a.txt").read() == b"one"
    assert store.size("work/a.txt") == 3
    store.remove("work/a.txt")
    assert not store.exists("work/a.txt")


def test_the_bucket_is_found_and_not_made_again(endpoint: str):
    _script("init").make_bucket("s3://wit")


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("list_objects_v2", {"Bucket": "others"}),
        ("put_object", {"Bucket": "others", "Key": "a", "Body": b""}),
        ("create_bucket", {"Bucket": "new"}),
        ("delete_bucket", {"Bucket": "wit"}),
        ("put_bucket_policy", {"Bucket": "wit", "Policy": json.dumps({})}),
        ("put_object_acl", {"Bucket": "wit", "Key": "a", "ACL": "public-read"}),
    ],
)
def test_nothing_else_is_allowed(endpoint: str, action: str, arguments: dict[str, object]):
    with pytest.raises(ClientError) as refused:
        getattr(boto3.Session().client("s3"), action)(**arguments)
    assert refused.value.response["Error"]["Code"] == "AccessDenied"


@dataclass(frozen=True)
class Made:
    """A release in the bucket: how its command ended, how one that failed did, and what the cluster said meanwhile."""

    done: subprocess.CompletedProcess[str]
    failed: subprocess.CompletedProcess[str]
    logs: Path


@pytest.fixture(scope="module")
def made(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Make a release by the command line, on a Dask cluster that has the same secrets in its environment."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "logs").mkdir()
    world = World()
    world.upload(3)
    environment = {**server.users["wit"], **VARIABLES}
    with ExitStack() as stack:
        settings = stack.enter_context(world.served(folder / "commons"))
        wit = stack.enter_context(private_server({"/wit.tsv.gz": (folder / "commons" / "wit.tsv.gz").read_bytes()}))
        scheduler = stack.enter_context(_dask(folder, environment, "scheduler", "--port", "0", "--no-dashboard"))
        address = _said(folder / "logs" / "scheduler.log", r"tcp://127\.0\.0\.1:\d+", scheduler)
        given = ("--nthreads", "1", "--no-dashboard", "--local-directory", str(folder / "scratch"))
        stack.enter_context(_dask(folder, environment, "worker", address, *given))
        environment["DASK_SCHEDULER_ADDRESS"] = address
        given = settings | {"store": "s3://wit", "partitions": 2, "version": "2026.01.01"}
        done = _release(environment, given | {"wit_files": [named(f"{wit}/wit.tsv.gz")]})
        missing = {"wit_files": [named(f"{wit}/missing.tsv.gz")], "version": "2026.01.02"}
        failed = _release(environment, given | missing)
    return Made(done, failed, folder / "logs")


def _release(environment: Mapping[str, str], settings: Mapping[str, object]) -> subprocess.CompletedProcess[str]:
    return run("run", *options(settings), env=environment, timeout=1000)


@contextmanager
def _dask(
    folder: Path, environment: Mapping[str, str], part: str, *arguments: str
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "logs" / f"{part}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", part, "--host", "127.0.0.1", *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _said(log: Path, pattern: str, process: subprocess.Popen[bytes]) -> str:
    """Wait until a log says something, and return it."""
    while not (said := re.search(pattern, log.read_text("utf-8"))):
        assert process.poll() is None, log.read_text("utf-8")
        time.sleep(0.1)
    return said[0]


@slow
def test_a_release_is_made_with_the_policy_and_nothing_more(made: Made, endpoint: str):
    assert made.done.returncode == 0, made.done.stderr[-3000:]
    assert Store("s3://wit/releases").read_json("latest.json") == {"version": "2026.01.01"}
    assert list(verify_release("s3://wit/releases/2026.01.01")) == []
    recorded = {path.rpartition("/")[2] for path in Store("s3://wit").files("runs/2026.01.01/stages")}
    assert recorded == {f"{stage}.json" for stage in STAGES}


@slow
def test_one_that_fails_says_why_without_secrets(made: Made):
    assert made.failed.returncode == 1
    assert "${WIT_SECRET_LOGIN}" in made.failed.stderr.splitlines()[-1]
    assert "Traceback" not in made.failed.stderr


@slow
def test_no_secret_is_in_what_the_commands_or_dask_say_or_in_the_bucket(made: Made, server: Server, endpoint: str):
    secrets = [LOGIN, LOGIN.partition(":")[2], QUERY.partition("=")[2]]
    secrets += [server.users["wit"][name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    bucket = Store("s3://wit")
    files = {path: bucket.open(path).read() for path in bucket.files("")}
    said = {
        f"{name} of the {how} command": text.encode()
        for how, command in (("good", made.done), ("failed", made.failed))
        for name, text in (("stdout", command.stdout), ("stderr", command.stderr))
    }
    logs = files_below(made.logs)
    assert len(files) > 20
    assert any(b"InputError" in data for data in logs.values())  # the log of the worker tells of the failure
    assert found(secrets, files | said | logs) == []


@slow
def test_a_reader_reads_releases_and_nothing_else(made: Made, reader: str):
    assert list(verify_release("s3://wit/releases/2026.01.01")) == []
    store = Store("s3://wit")
    table = next(path for path in Store("s3://wit").files("work") if path.endswith(".parquet"))
    with pytest.raises((PermissionError, StoreError)):
        store.open(table).read()
    with pytest.raises(StoreError, match="s3://wit"):
        store.write_text("releases/latest.json", "{}")
    for action in ("put_object", "delete_object"):
        with pytest.raises(ClientError) as refused:
            getattr(boto3.Session().client("s3"), action)(Bucket="wit", Key="releases/latest.json")
        assert refused.value.response["Error"]["Code"] == "AccessDenied"


@slow
def test_a_release_with_a_readers_keys_is_refused_in_words(server: Server):
    refused = run("run", "--store", "s3://wit", *options(NOWHERE), env=server.users["reader"])
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert "s3://wit" in refused.stderr.splitlines()[-1]
