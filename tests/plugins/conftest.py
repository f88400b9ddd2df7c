"""A small store made by hand: published releases, one that failed, one that waits, one that is being made."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from pipelines.engine.step import release_path
from pipelines.quality.verdict import Judgement, Verdict, write_verdict
from pipelines.releases.versions import LATEST, MANIFEST, run_path
from pipelines.storage.lock import held
from pipelines.storage.store import Store
from pipelines.tables import Outcome

sys.path.append(str(Path(__file__).parents[2] / "plugins"))

OLD, NEW, FAILED, WAITING, RUNNING = "2026.01.01", "2026.02.01", "2026.03.01", "2026.03.01.2", "2026.03.01.3"
MARKUP = "<script>alert('x')</script>"


def outcomes(**counts: int) -> dict[str, int]:
    return {outcome: counts.get(outcome, 0) for outcome in Outcome}


def begin(store: Store, version: str, run: str, **settings: Any) -> None:
    config = {"wit_files": ["https://me:secret@host/wit.tsv.gz"], "face_threshold": 0.1, "store": store.url, **settings}
    started = f"{version[:10].replace('.', '-')}T08:00:00+00:00"
    store.write_json(
        run_path(version, "begun.json"), {"version": version, "run": run, "config": config, "started": started}
    )


def judge(store: Store, version: str, counts: dict[str, int], *failed: Judgement) -> None:
    good = Judgement("pixels.sorted", "pixels", "is", "c", "critical", True, 0, None, (), "Shards are sorted", "Why.")
    write_verdict(store, Verdict(version, (good, *failed), counts))


def stage(store: Store, version: str, name: str, seconds: float, **counts: int) -> None:
    effort = {"bytes_written": 4_200_000, "requests": 1007, "retries": 3, "lease_wait_seconds": 61.0}
    step = {"step": name, "seconds": seconds, "worker_seconds": 2 * seconds, "rows": 7, "fresh": 6, "effort": effort}
    store.write_json(run_path(version, f"stages/{name}.json"), {"stage": name, "counts": counts, "steps": [step]})


def publish(store: Store, version: str, counts: dict[str, int], licences: dict[str, int], threshold: float) -> None:
    begin(store, version, f"manual__{version}", face_threshold=threshold)
    judge(store, version, counts)
    stage(store, version, "pull_rows", 2.0, rows_read=1000, rows_of_selected_images=50)
    stage(store, version, "publish", 1.0)
    store.write_text(release_path(version, "README.md"), f"# {version} {MARKUP}\n")
    store.write_text(release_path(version, "quality/index.html"), "<h1>Data Docs</h1>")
    store.write_text(release_path(version, f"captions/{MARKUP.replace('/', '')}.tsv.gz"), "x" * 3_000_000)
    files = {"README.md": {"bytes": 33, "sha256": "ab" * 32, "rows": None}}
    settings = {"version": version, "face_threshold": threshold, "wit_files": ["https://host/wit.tsv.gz"]}
    counted = {"outcomes": counts, "licences": licences}
    store.write_json(
        release_path(version, MANIFEST),
        {"version": version, "settings": settings, "counts": counted, "files": files},
    )
    store.write_json(LATEST, {"version": version})


@pytest.fixture
def shelf(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    publish(store, OLD, outcomes(released=40, face=2), {"CC BY 4.0": 40}, 0.1)
    publish(store, NEW, outcomes(released=1043, face=5), {"CC BY 4.0": 1000, MARKUP: 43}, 0.2)
    begin(store, FAILED, "cli-1234")
    fault = Judgement(
        "ledger.faces", "ledger", "is", "face", "critical", False, 3, None,
        ({"image_url": MARKUP},), "No face above the threshold", "A face was released. Look at it.",
    )  # fmt: skip
    judge(store, FAILED, outcomes(released=9), fault)
    begin(store, WAITING, "cli-5678")
    judge(store, WAITING, outcomes(released=9), replace(fault, severity="warning"))
    begin(store, RUNNING, f"manual__{RUNNING}")
    stage(store, RUNNING, "pull_rows", 1.0, rows_read=10)
    monkeypatch.setenv("WIT_RELEASE_STORE", store.url)
    with held(store, f"manual__{RUNNING}", alone=False, keep=True):  # its task has just ended, the next one begins
        return store


@pytest.fixture
def stranger(shelf: Store) -> TestClient:
    """Give a browser that is not signed in."""
    from release_pages.app import make_app

    return TestClient(make_app())


@pytest.fixture
def steward(shelf: Store) -> TestClient:
    """Give a browser that is signed in."""
    from airflow.api_fastapi.core_api.security import get_user
    from release_pages.app import make_app

    app = make_app()
    app.dependency_overrides[get_user] = lambda: "someone"
    return TestClient(app)
