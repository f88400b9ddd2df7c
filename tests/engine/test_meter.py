"""What is told of a step while it runs adds up to what is kept with the run."""

from collections import defaultdict
from pathlib import Path

import pytest
from aiohttp import web
from distributed import Client

from pipelines.engine.meter import GPU_SECONDS, StepMeter, Under
from pipelines.engine.run import run_step
from pipelines.stages.fetch_images import FETCH
from pipelines.storage.store import Store
from tests.commons.server import serving
from tests.engine import steps
from tests.stages.fetching import Originals, pictures, ready


class Kept:
    """A meter that keeps what it is told."""

    def __init__(self) -> None:
        self.counts: dict[str, float] = defaultdict(float)
        self.gauges: dict[str, float] = {}
        self.durations: dict[str, float] = {}

    def count(self, name: str, amount: float) -> None:
        self.counts[name] += amount

    def gauge(self, name: str, value: float) -> None:
        self.gauges[name] = value

    def duration(self, name: str, seconds: float) -> None:
        self.durations[name] = seconds


def test_what_was_not_heard_of_in_time_is_made_up_for_at_the_end() -> None:
    kept = Kept()
    meter = StepMeter(Under(kept, "pixels"), partitions=3)
    meter.begun("a")
    meter.advanced({"rows": 64, "retries": 2})
    meter.done("a")
    meter.done("b")  # that it began was not heard
    meter.end({"rows": 100, "retries": 2, GPU_SECONDS: 3.0}, seconds=4.0, worker_seconds=6.0)
    assert dict(kept.counts) == {"pixels.rows": 100, "pixels.retries": 2, f"pixels.{GPU_SECONDS}": 3.0}
    assert kept.gauges == {
        "pixels.partitions_pending": 1,
        "pixels.partitions_processing": 0,
        "pixels.partitions_done": 2,
        "pixels.rows_per_second": 25,
        "pixels.gpu_share": 0.5,
    }
    assert kept.durations == {"pixels.duration": 4.0}


def test_a_step_that_fetches_counts_what_the_server_saw(client: Client, tmp_path: Path) -> None:
    files = pictures(30)
    answers = Originals(files, delay=0)
    throttled, broken = [], []

    async def answer(request: web.Request) -> web.Response:
        if "0003.jpg" in request.raw_path and not throttled:
            throttled.append(request.raw_path)
            return web.Response(status=429, headers={"Retry-After": "0"})
        if "0005.jpg" in request.raw_path and len(broken) < 2:
            broken.append(request.raw_path)
            return web.Response(status=500, body=b"out of order")
        return await answers(request)

    kept = Kept()
    with serving(answer) as server:
        urls = {"media_url": server.url, "api_url": f"{server.url}/w/api.php"}
        context = ready(tmp_path, {name: {} for name in files}, {"origin": "demo", "partitions": 2, **urls})
        summary = run_step(client, context, FETCH, kept)
        sent = sum(seen.sent for seen in server.log.requests)
        asked = len(server.log.requests)
    assert asked == len(files) + 3
    effort = summary.effort
    assert (effort["requests"], effort["retries"], effort["throttles"]) == (asked, 3, 1)
    assert effort["bytes_received"] == sent
    assert effort["bytes_written"] == sum(path.stat().st_size for path in (tmp_path / "work/pixels").glob("*.parquet"))
    assert kept.counts["pixels.requests"] == asked
    assert kept.counts["pixels.bytes_received"] == sent
    assert kept.counts["pixels.rows"] == len(files)
    assert kept.gauges["pixels.partitions_done"] == 2
    assert "gpu_seconds" not in effort

    again = run_step(client, context, FETCH, kept)
    assert again.skipped == 2
    assert again.effort == {}, "what stood already took nothing"
    assert kept.counts["pixels.rows"] == len(files)


@pytest.mark.parametrize("step", steps.STEPS, ids=lambda step: step.name)
def test_numbers_that_are_never_the_same_are_in_no_table(client: Client, store: Store, step: steps.RowStep) -> None:
    steps.reset(8)
    for each in steps.STEPS:
        assert run_step(client, steps.context(store), each).effort["bytes_written"] > 0
    for path in store.files(f"work/{step.name}"):
        with store.open(path) as file:
            assert b"bytes_written" not in file.read()
