"""detect_faces on Dask: GPU workers where there are some and only those, and a killed one loses nothing."""

import hashlib
import logging
import os
import signal
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from distributed import Client

from pipelines.config import ReleaseConfig
from pipelines.engine.partition import make_partition
from pipelines.engine.run import run_step
from pipelines.engine.step import Context, RowStep, shard_keys, shard_name
from pipelines.errors import StageFailed
from pipelines.stages.detect_faces import DETECT
from pipelines.stages.embed_images import EMBED
from pipelines.storage.store import Store
from pipelines.tables import FACES, FETCHED, KEY, LEDGER, PIXELS
from pipelines.vision.devices import DeviceError, processor_for
from tests.commons.cluster import cluster, eventually
from tests.shared import shared
from tests.stages.making import NOWHERE, rows_of, url_of, write_table
from tests.world import drawn

PARTITIONS, PICTURES = 40, 12
CPU_WORKER, GPU_WORKER = 1, 2  # numbers of the cluster's processes
REHEARSED = {"WIT_DEVICE": "cpu"}  # where no machine has a GPU


def ready(folder: Path, **settings: object) -> Context:
    """Write what fetch_images makes: some pictures in each partition."""
    config = ReleaseConfig.parse(
        {
            **NOWHERE,
            "store": str(folder),
            "partitions": PARTITIONS,
            "face_model": "retinaface-mobilenet0.25",
            **settings,
        }
    )
    context = Context(config, "2026.01.01", Store(config.store), observation="2026.01.01")
    for partition in range(config.partitions):
        rows = []
        for number in range(PICTURES):
            image = drawn(PICTURES * partition + number)
            rows.append(
                {
                    KEY: url_of(f"P{number:02d}.jpg"),
                    "status": FETCHED,
                    "image": image,
                    "sha256": hashlib.sha256(image).hexdigest(),
                }
            )
        rows.sort(key=lambda row: str(row[KEY]))
        write_table(context, PIXELS, rows_of(PIXELS, rows), shard_name(partition))
    return context


def table(context: Context) -> pa.Table:
    folder = Path(context.config.store) / "work/faces"
    return pa.concat_tables(pq.read_table(folder / f"{key}.parquet") for key in shard_keys(context))


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    folder = str(shared("models/mobilenet0.25_Final.pth").parent)
    monkeypatch.setenv("WIT_MODELS", folder)
    return {"WIT_MODELS": folder}


def test_only_the_gpu_worker_looks_for_faces_and_killing_it_loses_nothing(
    tmp_path: Path, weights: Mapping[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pipelines")
    context, undisturbed = ready(tmp_path / "store"), ready(tmp_path / "undisturbed")
    workers = [("--name", "cpu"), ("--name", "gpu", "--resources", "GPU=1")]
    with (
        cluster(tmp_path / "cluster", workers, {**weights, **REHEARSED, "DASK_LOGGING__PIPELINES": "info"}) as two,
        Client(scheduler_file=str(two.contact), set_as_default=False) as client,
        ThreadPoolExecutor(1) as thread,
    ):
        client.wait_for_workers(2, timeout=60)
        named = {worker["name"]: address for address, worker in client.scheduler_info()["workers"].items()}
        running = thread.submit(run_step, client, context, DETECT)
        made = Path(context.config.store) / "work/faces"
        assert eventually(lambda: len(list(made.glob("*.parquet"))) >= 5 or running.done())
        (victim,) = client.run(os.getpid, workers=[named["gpu"]]).values()
        os.kill(victim, signal.SIGKILL)
        before = {file: file.stat().st_mtime_ns for file in made.glob("*.parquet")}
        assert len(before) < PARTITIONS, "killed in the middle"
        summary = running.result(120)

        assert (summary.partitions, summary.rows) == (PARTITIONS, PARTITIONS * PICTURES)
        assert "gpu_seconds" not in summary.effort, "it was a rehearsal, on a CPU"
        assert {file: file.stat().st_mtime_ns for file in before} == before, "what was finished is not made again"
        loaded = [two.log(worker).count("running on the CPU") for worker in (CPU_WORKER, GPU_WORKER)]
        assert loaded == [0, 2], "once by the worker that was killed, once by the one in its place, never by the other"
        run_step(client, undisturbed, DETECT)
        assert two.log(GPU_WORKER).count("running on the CPU") == 2, "a loaded model serves the next run too"
    assert table(context).equals(table(undisturbed))
    assert table(context).column("faces").null_count == 0
    assert "runs on the GPU workers: 1 of 2 workers" in caplog.messages


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_worker_that_offers_a_gpu_without_one_fails_in_words(tmp_path: Path, weights: Mapping[str, str]) -> None:
    context = ready(tmp_path / "store", partitions=2)
    with (
        cluster(tmp_path / "cluster", [("--resources", "GPU=1")], weights) as one,
        Client(scheduler_file=str(one.contact), set_as_default=False) as client,
        pytest.raises(StageFailed, match=r"DeviceError: device: 'cuda' is not on this machine.*WIT_DEVICE=cpu"),
    ):
        run_step(client, context, DETECT)
    assert not (tmp_path / "store/work/faces").exists()


def test_without_gpu_workers_it_runs_on_the_cpu_and_says_so(
    client: Client, tmp_path: Path, weights: Mapping[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pipelines")
    context = ready(tmp_path, partitions=4)
    summary = run_step(client, context, DETECT)
    assert summary.rows == 4 * PICTURES
    assert summary.counts == {str(processor_for("cpu")): 4 * PICTURES}, "what the last digits depend on"
    assert "no worker offers a GPU: runs on the CPU" in caplog.messages
    assert not [said for said in caplog.messages if said.startswith("running on") and "the CPU" not in said]


@pytest.mark.parametrize("step", [DETECT, EMBED], ids=lambda step: step.name)
def test_a_model_goes_where_its_worker_may_run_it(step: RowStep, tmp_path: Path) -> None:
    context = ready(tmp_path, partitions=1, embedding_model="resnet50-stand-in", stand_in=True)
    pixels = pq.read_table(tmp_path / "work/pixels/part-00000.parquet").select([KEY, "sha256"]).to_pylist()
    ledger = [{KEY: row[KEY], "image_sha256": row["sha256"]} for row in pixels]
    write_table(context, LEDGER, rows_of(LEDGER, ledger))
    with pytest.raises(DeviceError, match="nowhere"):
        make_partition(context, step, "part-00000", lambda _: None, lambda _: None, device="nowhere")  # type: ignore[arg-type, return-value]
    assert not (tmp_path / f"work/{FACES.name}").exists()
