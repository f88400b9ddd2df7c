"""A real S3 server on loopback, for the time of a ``with`` block."""

import os
import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import s3fs
from moto.server import ThreadedMotoServer

_NAMES = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_BUCKET = "releases-bucket"


@contextmanager
def s3_server() -> Iterator[str]:
    """Start a server and give the URL of a bucket; the environment leads every client there."""
    with moto() as url, _clients_of(url):
        yield f"s3://{_BUCKET}"


@contextmanager
def s3_server_within() -> Iterator[str]:
    """Start a server within this process, which may reach into it; it keeps what an earlier one had."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        with _clients_of(f"http://{host}:{port}"):
            yield f"s3://{_BUCKET}"
    finally:
        server.stop()


@contextmanager
def moto() -> Iterator[str]:
    """Start a server that has nothing yet, in a process of its own, and give its address."""
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            log = iter(process.stderr)
            url = next((found[0] for line in log if (found := re.search(r"http://127\.0\.0\.1:\d+", line))), None)
            assert url, f"moto ended with {process.wait()}"
            # It writes a line for each request, and would wait once nobody reads them.
            threading.Thread(target=lambda: deque(log, maxlen=0), name="moto-log", daemon=True).start()
            yield url
        finally:
            process.terminate()


@contextmanager
def _clients_of(url: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _NAMES}
    os.environ |= dict(zip(_NAMES, (url, "test", "test"), strict=True))
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().makedirs(_BUCKET, exist_ok=True)
    try:
        yield
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
