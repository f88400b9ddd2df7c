"""docker/s3-policy.json: with these rights and no others, a store works, and nothing else does. A real S3 server."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from pipelines.store import Store
from tests.docker.files import DOCKER
from tests.docker.test_scripts import _script

REGION = "us-east-1"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A server that checks who may do what, with the policy's user in the environment as the containers have it.

    It is a process of its own, because moto keeps its state, access control included, per process.
    """
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            url = next(found[0] for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
            with pytest.MonkeyPatch.context() as environment:
                for name, value in _user(url).items():
                    environment.setenv(name, value)
                _forget_connections()
                yield url
                _forget_connections()
        finally:
            server.terminate()


def _user(url: str) -> dict[str, str]:
    """Make two buckets, and a user who has the policy; return the variables that make a program this user."""
    root = {"endpoint_url": url, "region_name": REGION, "aws_access_key_id": "root", "aws_secret_access_key": "root"}
    for bucket in ("wit", "others"):
        boto3.client("s3", **root).create_bucket(Bucket=bucket)
    iam = boto3.client("iam", **root)
    iam.create_user(UserName="wit")
    iam.put_user_policy(UserName="wit", PolicyName="wit", PolicyDocument=(DOCKER / "s3-policy.json").read_text("utf-8"))
    key = iam.create_access_key(UserName="wit")["AccessKey"]
    requests.post(f"{url}/moto-api/reset-auth", data="0", timeout=10)  # from now on, rights are checked
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }


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
        getattr(boto3.client("s3"), action)(**arguments)
    assert refused.value.response["Error"]["Code"] == "AccessDenied"
