"""A release on S3 whose credentials expire in the middle: said plainly, nothing lost, and it goes on with new ones."""

import threading
from pathlib import Path

import pytest

from tests.faulty_s3 import faulty_s3
from tests.running import options, run
from tests.world import World, downloads


@pytest.mark.timeout(300)
def test_credentials_that_expire_in_the_middle_stop_the_run_and_new_ones_go_on(tmp_path: Path) -> None:
    world = World()
    world.upload(12)
    pixels_written = threading.Event()
    with faulty_s3(share=0) as (bucket, proxy), world.served(tmp_path / "world") as settings:

        def expire_after_the_first_pixels(method: str, path: str) -> tuple[int, str] | None:
            if pixels_written.is_set():
                return (400, "ExpiredToken")
            if method in ("PUT", "POST") and "/work/pixels/" in path:
                pixels_written.set()  # this one is written still
            return None

        proxy.refusal = expire_after_the_first_pixels
        arguments = ("run", *options({**settings, "partitions": 2, "workers": 1, "version": "2026.01.01"}))
        arguments = (*arguments, "--store", f"{bucket}/expiring")
        stopped = run(*arguments)
        assert stopped.returncode != 0
        last = stopped.stderr.strip().splitlines()[-1]
        assert "expired" in last
        assert "credentials" in last
        assert "Traceback" not in stopped.stderr
        before = downloads(tmp_path / "world")
        assert before

        proxy.refusal = lambda method, path: None
        resumed = run(*arguments)
        assert resumed.returncode == 0, resumed.stderr[-3000:]
        again = downloads(tmp_path / "world")[len(before) :]
        assert len(before) + len(again) == 12, "a file that was saved was fetched again"
        verified = run("verify", f"{bucket}/expiring/releases/2026.01.01")
        assert verified.returncode == 0, verified.stdout + verified.stderr
