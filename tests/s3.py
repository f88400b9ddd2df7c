"""A real S3 server on loopback, for the time of a ``with`` block."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import s3fs
from moto.server import ThreadedMotoServer

_NAMES = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@contextmanager
def s3_server() -> Iterator[str]:
    """Start a server and give the URL of a bucket; the environment leads every client there."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    before = {name: os.environ.get(name) for name in _NAMES}
    os.environ |= dict(zip(_NAMES, (f"http://{host}:{port}", "test", "test"), strict=True))
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().makedirs("releases-bucket", exist_ok=True)  # moto keeps what an earlier server had
    try:
        yield "s3://releases-bucket"
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        server.stop()
