"""Every line says what it is about, whichever thread or process it comes from."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from distributed import Client

from pipelines import logs
from pipelines.engine.cluster import open_client
from pipelines.engine.run import run_step
from pipelines.engine.step import RowStep, Task
from pipelines.storage.store import Store
from pipelines.tables import KEY
from tests.commons.cluster import cluster, eventually
from tests.engine import steps
from tests.running import ROOT

log = logging.getLogger("pipelines.tests")


def _talk(task: Task, rows: pa.Table) -> pa.Table:
    log.info("squaring %d rows", rows.num_rows)
    try:
        raise ValueError("only a test")
    except ValueError:
        log.exception("a mishap")
    squares = [{KEY: row[KEY], "number": row["number"], "status": "done", "value": 0} for row in rows.to_pylist()]
    return pa.Table.from_pylist(squares, schema=steps.SQUARES.schema)


TALK = RowStep(writes=steps.SQUARES, run=_talk, reads=(steps.NUMBERS.columns(KEY, "number"),))


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Give what a process with WIT_LOG=json writes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs._json())
    logger = logging.getLogger("pipelines")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(before)


def lines(text: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def talk(client: Client, store: Store) -> None:
    """Run a step that logs, over tables that are made here: what workers import here has no numbers."""
    context = steps.context(store)
    with logs.about(release=context.version, stage="tests"):
        run_step(client, context, TALK)


@pytest.fixture
def numbers(client: Client, store: Store) -> None:
    steps.reset(6)
    run_step(client, steps.context(store), steps.MAKE_NUMBERS)


@pytest.mark.usefixtures("numbers")
def test_lines_of_workers_reach_the_log_of_the_run_with_their_partition(
    store: Store, written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    with open_client(steps.context(store, workers=1).config) as remote:
        talk(remote, store)
        assert eventually(lambda: written.getvalue().count("a mishap") == 2)
    told = lines(written.getvalue())
    mine = {(line["event"], line.get("partition")) for line in told if line["logger"] == "pipelines.tests"}
    assert ("squaring 3 rows", "part-00000") in mine
    assert ("squaring 3 rows", "part-00001") in mine
    for line in told:
        if line["logger"] in ("pipelines.tests", "pipelines.progress", "pipelines.engine.run"):
            assert (line["release"], line["stage"], line["step"]) == ("2026.01.01", "tests", "squares"), line
    mishaps = [line for line in told if line["event"].startswith("a mishap")]
    assert {line["level"] for line in mishaps} == {"error"}
    assert all("ValueError: only a test" in line["event"] for line in mishaps)


@pytest.mark.usefixtures("numbers")
def test_a_line_in_this_process_is_written_once(client: Client, store: Store, written: io.StringIO) -> None:
    talk(client, store)
    squaring = [line for line in lines(written.getvalue()) if line["event"] == "squaring 3 rows"]
    assert sorted(line["partition"] for line in squaring) == ["part-00000", "part-00001"]


@pytest.mark.usefixtures("numbers")
def test_a_worker_of_a_cluster_keeps_its_lines_in_its_own_log_if_told_so(store: Store, tmp_path: Path) -> None:
    with cluster(tmp_path / "dask", [[]], env={logs.FORMAT: "json"}) as made:
        with Client(scheduler_file=str(made.contact)) as remote:
            talk(remote, store)
        own = lines(made.log(1))
    assert {line["partition"] for line in own if line["event"] == "squaring 3 rows"} == {"part-00000", "part-00001"}
    assert {(line["release"], line["stage"], line["step"]) for line in own} == {("2026.01.01", "tests", "squares")}


@pytest.mark.parametrize(("form", "starts"), [("text", "2026.01.01 decide part-00007: "), ("json", "{")])
def test_a_line_on_a_shell_begins_with_what_it_is_about_or_is_an_object(form: str, starts: str) -> None:
    program = (
        "import logging, threading, contextvars; from pipelines import logs; logs.to_stderr()\n"
        "with logs.about(release='2026.01.01', stage='decide', partition='part-00007'):\n"
        "    line = contextvars.copy_context().run\n"
        "    thread = threading.Thread(target=line, args=(logging.getLogger('pipelines.x').warning, 'Ünï %d', 7))\n"
        "    thread.start(); thread.join()\n"
    )
    environment = os.environ | {logs.FORMAT: form}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    (line,) = done.stderr.splitlines()
    assert starts in line[:50]
    assert "Ünï 7" in line
    if form == "json":
        assert {name: json.loads(line)[name] for name in ("stage", "partition", "level", "logger")} == {
            "stage": "decide",
            "partition": "part-00007",
            "level": "warning",
            "logger": "pipelines.x",
        }
