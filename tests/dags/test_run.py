"""A real Airflow runs the DAG: started as `make demo` starts it, triggered as the web UI does, over a tiny Commons."""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from pipelines.demo.airflow import Airflow
from pipelines.demo.airflow_api import AirflowApi, ApiRefused
from pipelines.demo.airflow_state import USER, AirflowRunning, AirflowState
from pipelines.demo.processes import members
from pipelines.demo.server import DemoCommons
from pipelines.pipeline import STAGES
from pipelines.storage.lock import held
from pipelines.storage.store import Store
from tests.dags.parse import ROOT
from tests.dags.receivers import Metrics, Webhook, statsd, webhook
from tests.planted import files_below, found
from tests.private_server import LOGIN, QUERY, VARIABLES, named, private_server
from tests.stages.making import url_of, write_wit

DAG = "wit_release"
REFRESH = "wit_refresh"
TAKEDOWN = "wit_takedown"
NAMES = ("Blue_square.png", "Grünes_Quadrat.jpg", "赤い四角.gif", "Nominated.jpg")

PLANTED = VARIABLES | {
    "AWS_ACCESS_KEY_ID": "Planted0access0key",
    "AWS_SECRET_ACCESS_KEY": "Planted0secret0key",
    "AWS_SESSION_TOKEN": "Planted0session0token",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AIRFLOW_CONN_SMTP_DEFAULT": "smtp://alerts:Planted0smtp0password@127.0.0.1:9",
}
"""What the environment of Airflow holds besides: secrets of a deployment."""

KEPT = ("secrets.json", "passwords.json")
"""Files of Airflow's state that hold secrets, for their owner alone."""

SECRETS = (
    LOGIN,
    LOGIN.partition(":")[2],
    QUERY.partition("=")[2],
    "Planted0access0key",
    "Planted0secret0key",
    "Planted0session0token",
    "Planted0smtp0password",
)

pytestmark = pytest.mark.timeout(1200)  # starting Airflow takes half a minute, longer on a busy machine


@dataclass(frozen=True)
class Running:
    """An Airflow that runs, and the settings of a release that it can make."""

    airflow: Airflow
    api: AirflowApi
    settings: dict[str, Any]
    state: Path
    metrics: Metrics
    webhook: Webhook
    lineage: Path

    def run(self, dag: str = DAG, **settings: Any) -> str:
        """Run a DAG to its end, and return the run's id."""
        run = self.api.trigger(dag, (self.settings if dag == DAG else {}) | settings)
        self.until(lambda: self.api.run_state(dag, run) in ("success", "failed"))
        return run

    def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.airflow.check()
            time.sleep(0.5)

    def log(self, run: str, task: str, attempt: int = 1, dag: str = DAG) -> list[dict[str, Any]]:
        return list(self.api.log(dag, run, task, attempt))


def make_commons(folder: Path) -> None:
    originals = folder / "originals"
    originals.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        Image.new("RGB", (400 + number, 300), (60 * number, 90, 200)).save(originals / name)
    about = {"categories": {"Copyright violations": ["File:Nominated.jpg"]}}
    (folder / "catalogue.json").write_text(json.dumps(about))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WIT_RELEASE_SCHEDULE", "none")  # no refresh but those that the tests start
        with statsd() as metrics, webhook() as hook:
            patch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
            patch.setenv("AIRFLOW__METRICS__STATSD_HOST", "127.0.0.1")
            patch.setenv("AIRFLOW__METRICS__STATSD_PORT", str(metrics.port))
            patch.setenv("AIRFLOW_CONN_WIT_WEBHOOK", json.dumps({"conn_type": "http", "host": hook.url}))
            patch.setenv("WIT_RELEASE_WEBHOOK", "wit_webhook")
            patch.setenv("WIT_RELEASE_DEADLINE_HOURS", "0.0005")  # every run is late
            folder = tmp_path_factory.mktemp("airflow")
            lineage = {"type": "file", "log_file_path": str(folder / "lineage.jsonl"), "append": True}
            patch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", json.dumps(lineage))
            yield from start(folder, metrics, hook)


def start(folder: Path, metrics: Metrics, hook: Webhook) -> Iterator[Running]:
    make_commons(folder / "commons")
    caption = "caption_reference_description"
    rows = [{"image_url": url_of(name), "language": "en", caption: name} for name in NAMES]
    wit = Path(write_wit(folder / "wit.tsv.gz", *rows)).read_bytes()
    with (
        DemoCommons(folder / "commons") as commons,
        private_server({"/wit.tsv.gz": wit}) as server,
        Airflow(ROOT, state=folder / "state", extra=PLANTED) as airflow,
    ):
        settings = {
            "wit_files": [named(f"{server}/wit.tsv.gz")],
            "store": str(folder / "store"),
            "version": "2026.01.01",
            "origin": "demo",
            "media_url": commons.url,
            "api_url": commons.api_url,
            "face_model": "cascade-stand-in",
            "embedding_model": "resnet50-stand-in",
            "stand_in": True,
            "partitions": 2,
            "workers": 1,
        }
        api = airflow.api()
        api.wait_for_dag(DAG)
        api.wait_for_dag(REFRESH)
        api.wait_for_dag(TAKEDOWN)
        sessions = AirflowState(folder / "state").sessions()
        assert members(sessions)
        yield Running(airflow, api, settings, folder / "state", metrics, hook, folder / "lineage.jsonl")
    assert members(sessions) == [], "something of Airflow is left running"
    assert AirflowState(folder / "state").sessions() == []


@pytest.fixture(scope="module")
def release(running: Running) -> str:
    """Give the run of a release that succeeded."""
    run = running.run()
    states = {task.task: task.state for task in running.api.tasks(DAG, run)}
    broken = [entry for name, state in states.items() if state == "failed" for entry in running.log(run, name)]
    assert states == dict.fromkeys(STAGES, "success"), broken[-3:]
    return run


def test_the_run_makes_a_release(running: Running, release: str) -> None:
    folder = Path(running.settings["store"]) / "releases" / "2026.01.01"
    outcomes = json.loads((folder / "manifest.json").read_text())["counts"]["outcomes"]
    assert {outcome: count for outcome, count in outcomes.items() if count} == {"released": 3, "deletion_candidate": 1}
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert {path for path in sums if path.startswith("image_pixels/")} == {
        "image_pixels/part-00000.csv.gz",
        "image_pixels/part-00001.csv.gz",
    }
    for path, digest in sums.items():
        assert hashlib.sha256((folder / path).read_bytes()).hexdigest() == digest, path


def test_the_assets_event_carries_version_and_counts(running: Running, release: str) -> None:
    (event,) = running.api.asset_events(release)
    assert event["extra"]["version"] == "2026.01.01"
    assert event["extra"]["counts"]["released"] == 3


def test_tasks_hand_on_names_and_counts_only(running: Running, release: str) -> None:
    for stage in STAGES:
        result = running.api.result(DAG, release, stage)
        assert result["version"] == "2026.01.01"
        assert all(isinstance(count, int) for count in result["counts"].values()), stage


def test_a_tasks_log_shows_its_progress(running: Running, release: str) -> None:
    said = [entry["event"] for entry in running.log(release, "fetch_images") if "progress" in entry.get("logger", "")]
    assert "2 of 2 partitions" in said[-1]


def test_lines_of_a_tasks_log_say_what_they_are_about(running: Running, release: str) -> None:
    mine = [entry for entry in running.log(release, "fetch_images") if "pipelines.engine" in entry.get("logger", "")]
    about = {(entry.get("release"), entry.get("stage"), entry.get("step")) for entry in mine}
    assert about == {("2026.01.01", "fetch_images", "pixels")}


def test_the_numbers_of_a_run_are_metrics_of_airflow(running: Running, release: str) -> None:
    """A real StatsD server has the same numbers as the store, summed up over the runs that this Airflow has made."""
    records = Path(running.settings["store"]).glob("runs/*/stages/fetch_images.json")
    steps = [json.loads(record.read_text())["steps"][0] for record in records]
    name = "airflow.wit_release.fetch_images.pixels"
    counters = running.metrics.counters
    for kind in ("requests", "bytes_received", "bytes_written"):
        total = sum(step["effort"].get(kind, 0) for step in steps)
        assert total > 0, kind
        running.until(lambda kind=kind, total=total: counters[f"{name}.{kind}"] == total)
    assert counters[f"{name}.rows"] >= len(NAMES)
    assert running.metrics.gauges[f"{name}.partitions_done"][-1] == 2
    assert running.metrics.gauges[f"{name}.partitions_pending"][-1] == 0
    assert running.metrics.gauges[f"{name}.rows_per_second"][0] > 0
    for stage in STAGES:
        assert max(running.metrics.times[f"airflow.wit_release.{stage}.duration"]) > 0


def test_openlineage_is_told_of_every_stage(running: Running, release: str) -> None:
    def told() -> set[tuple[str, str]]:
        events = map(json.loads, running.lineage.read_text().splitlines())
        return {(event["job"]["name"], event["eventType"]) for event in events}

    wanted = {(f"{DAG}.{stage}", kind) for stage in STAGES for kind in ("START", "COMPLETE")}
    running.until(lambda: wanted | {(DAG, "COMPLETE")} <= told())


def test_a_run_that_is_late_is_told_to_the_webhook_and_goes_on(running: Running, release: str) -> None:
    running.until(lambda: bool(running.webhook.told("late", release)))
    (message,) = running.webhook.told("late", release)
    assert message["dag"] == DAG
    assert message["deadline"].startswith("20")
    assert running.webhook.told("failed", release) == []


def test_a_refresh_follows_the_release_and_takes_over_its_settings(running: Running, release: str) -> None:
    """The short form names the store; the long one of the first release is not filled in again."""
    run = running.run(REFRESH, store=running.settings["store"])
    states = {task.task: task.state for task in running.api.tasks(REFRESH, run)}
    broken = [
        entry for name, state in states.items() if state == "failed" for entry in running.log(run, name, dag=REFRESH)
    ]
    assert states == dict.fromkeys(STAGES, "success"), broken[-3:]
    store = Path(running.settings["store"])
    version = json.loads((store / "releases/latest.json").read_text())["version"]
    manifest = json.loads((store / "releases" / version / "manifest.json").read_text())
    assert version != "2026.01.01"
    assert manifest["base"] == "2026.01.01"
    assert {change: counted["images"] for change, counted in manifest["counts"]["changes"].items()} == {
        "added": 0,
        "removed": 0,
        "changed": 0,
    }
    (event,) = running.api.asset_events(run)
    assert event["extra"]["version"] == version


def test_a_takedown_makes_the_next_release_and_withdraws_from_those_before(running: Running, release: str) -> None:
    """What the form asks for and nothing else: first the list alone, then the rest."""
    store = Path(running.settings["store"])
    asked = {"files": ["File:Blue square.png", ""], "reason": "asked for", "requester": "author", "store": str(store)}
    run = running.run(TAKEDOWN, **asked)
    states = {task.task: task.state for task in running.api.tasks(TAKEDOWN, run)}
    assert (states["take_down"], states["refresh"], states["withdraw"]) == ("success", "skipped", "skipped")
    assert running.api.result(TAKEDOWN, run, "take_down")["files"] == ["Blue_square.png"]
    newest = json.loads((store / "releases/latest.json").read_text())["version"]
    run = running.run(TAKEDOWN, **asked, now=True, withdraw=True)
    states = {task.task: task.state for task in running.api.tasks(TAKEDOWN, run)}
    assert set(states.values()) == {"success"}, states
    version = json.loads((store / "releases/latest.json").read_text())["version"]
    assert version != newest
    manifest = json.loads((store / "releases" / version / "manifest.json").read_text())
    assert (manifest["counts"]["outcomes"]["released"], manifest["counts"]["outcomes"]["taken_down"]) == (2, 1)
    assert set(running.api.result(TAKEDOWN, run, "withdraw").values()) == {5}
    notice = json.loads((store / f"releases/{newest}.notice.json").read_text())
    assert [one["by"] for one in notice["superseded"]] == [version]


def test_a_name_that_no_file_can_have_fails_without_a_retry(running: Running) -> None:
    run = running.run(TAKEDOWN, files=["<b>.jpg"], reason="x", requester="other", store=running.settings["store"])
    (first,) = (task for task in running.api.tasks(TAKEDOWN, run) if task.task == "take_down")
    assert (first.state, first.attempt) == ("failed", 1)


def test_who_finds_the_store_in_use_waits_says_for_whom_and_goes_on_without_a_retry(running: Running) -> None:
    store = running.settings["store"] + "-in-use"
    with held(Store(store), "cli-1234", alone=True):
        asked = {"files": ["File:Blue square.png"], "reason": "asked for", "requester": "author", "withdraw": True}
        run = running.api.trigger(TAKEDOWN, {**asked, "store": store})

        def withdrawn() -> tuple[str, int]:
            return next(
                (task.state, task.attempt) for task in running.api.tasks(TAKEDOWN, run) if task.task == "withdraw"
            )

        running.until(lambda: withdrawn()[0] == "up_for_reschedule")
        said = " ".join(entry["event"] for entry in running.log(run, "withdraw", dag=TAKEDOWN))
        assert "in use by run cli-1234" in said
    running.until(lambda: running.api.run_state(TAKEDOWN, run) in ("success", "failed"))
    assert withdrawn() == ("success", 1)


@pytest.fixture(scope="module")
def again(running: Running, release: str) -> str:
    """Give a run that wants to make the same release again."""
    return running.run()


def test_a_run_that_fails_is_told_to_the_webhook(running: Running, again: str) -> None:
    running.until(lambda: bool(running.webhook.told("failed", again)))
    (message,) = running.webhook.told("failed", again)
    assert message["dag"] == DAG
    assert "fail" in message["reason"]
    assert running.webhook.url.rpartition("/")[2] not in json.dumps(running.log(again, "pull_rows"))


def test_a_published_release_is_refused_at_once_and_the_log_says_why(running: Running, again: str) -> None:
    first, *others = sorted(running.api.tasks(DAG, again), key=lambda task: STAGES.index(task.task))
    assert (first.state, first.attempt) == ("failed", 1)
    assert {task.state for task in others} == {"upstream_failed"}
    errors = [entry["event"] for entry in running.log(again, "pull_rows") if entry.get("level") == "error"]
    assert errors[0].startswith("ReleaseError: release 2026.01.01 is published and never rewritten")


def test_settings_that_contradict_each_other_fail_without_a_retry(running: Running) -> None:
    run = running.run(origin="wikimedia", stand_in=False, operator_contact=None)
    (first,) = (task for task in running.api.tasks(DAG, run) if task.task == "pull_rows")
    assert (first.state, first.attempt) == ("failed", 1)
    errors = [entry["event"] for entry in running.log(run, "pull_rows") if entry.get("level") == "error"]
    assert "SettingError" in errors[0]


def test_the_form_refuses_a_setting_out_of_range_and_names_it(running: Running) -> None:
    with pytest.raises(ApiRefused, match=r"image_width.*9999 is greater than the maximum"):
        running.api.trigger(DAG, running.settings | {"image_width": 9999})


def test_there_is_one_slot_for_each_kind_of_connection_to_commons(running: Running) -> None:
    pools = running.api.pools()
    assert (pools["commons_media"], pools["commons_api"]) == (1, 1)


def test_nobody_gets_in_without_the_password(running: Running) -> None:
    with pytest.raises(ApiRefused, match="401"):
        AirflowApi(running.airflow.url, USER, "guess").pools()


def test_everything_listens_on_loopback_only(running: Running) -> None:
    psutil = pytest.importorskip("psutil")
    listening = []
    for process in members(AirflowState(running.state).sessions()):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended since
            connections = psutil.Process(process).net_connections("inet")
            listening += [found.laddr for found in connections if found.status == psutil.CONN_LISTEN]
    assert urlsplit(running.airflow.url).port in {address.port for address in listening}
    assert {address.ip for address in listening} == {"127.0.0.1"}


def test_secrets_are_for_the_owner_only(running: Running) -> None:
    for name in KEPT:
        assert (running.state / name).stat().st_mode & 0o077 == 0


def test_a_second_airflow_over_the_same_database_is_refused(running: Running) -> None:
    with pytest.raises(AirflowRunning, match="make stop"):
        Airflow(ROOT, state=running.state).start()


def test_no_secret_is_in_logs_database_or_store(running: Running, release: str) -> None:
    """Those of the environment, after a run that succeeded and one that failed at a file that needs them."""
    (wit,) = running.settings["wit_files"]
    other = Path(running.settings["store"] + "-without-wit")  # nobody holds the lock of this one
    missing = running.run(wit_files=[wit.replace("wit.tsv", "missing.tsv")], store=str(other))
    (failed,) = (task for task in running.api.tasks(DAG, missing) if task.task == "pull_rows")
    assert (failed.state, failed.attempt) == ("failed", 1)
    errors = [entry["event"] for entry in running.log(missing, "pull_rows") if entry.get("level") == "error"]
    assert "${WIT_SECRET_LOGIN}" in errors[0]
    files = files_below(running.state, but=KEPT) | {"lineage": running.lineage.read_bytes()}
    store = files_below(Path(running.settings["store"])) | files_below(other)
    assert any(b"${WIT_SECRET_LOGIN}" in data for name, data in files.items() if "airflow.db" in name)
    assert any(name.endswith("begun.json") for name in store)
    kept = {value for name in KEPT for value in json.loads((running.state / name).read_text()).values()}
    assert found([*SECRETS, *kept], files | store) == []


@pytest.mark.parametrize("field", ["wit_files", "store"])
def test_a_secret_that_somebody_types_makes_no_run(running: Running, field: str) -> None:
    """Airflow keeps what was typed in its audit log all the same, as docker/README.md says."""
    typed = "https://me:Typed0secret@host/a.tsv"
    with pytest.raises(ApiRefused, match="400"):
        running.api.trigger(DAG, running.settings | {field: [typed] if field == "wit_files" else typed})
