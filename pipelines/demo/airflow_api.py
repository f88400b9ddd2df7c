"""Airflow's REST API, as far as it takes to trigger a DAG and to watch it: what the web UI does, without a browser."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from pipelines.errors import WitReleaseError

_TIMEOUT = 60.0
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Unreachable(WitReleaseError):
    """Nothing answers at the address of the API."""


class ApiRefused(WitReleaseError):
    """The API refused a request; says which, and why."""

    def __init__(self, request: str, status: int, detail: str) -> None:
        super().__init__(f"{request}: {status}: {detail}")
        self.status = status


@dataclass(frozen=True, slots=True)
class TaskState:
    """Where a task of a run stands; seconds it took so far, 0 if it has not begun."""

    task: str
    state: str
    seconds: float
    attempt: int


class AirflowApi:
    """The REST API of a running Airflow, as one of its users. Logs in at the first request."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url
        self._login = {"username": user, "password": password}
        self._token = ""

    def healthy(self) -> bool:
        """Say whether API, scheduler and DAG processor are all at work."""
        health = self._send("GET", "/api/v2/monitor/health", None)
        parts = ("metadatabase", "scheduler", "dag_processor")
        return all((health.get(part) or {}).get("status") == "healthy" for part in parts)

    def ensure_pool(self, name: str, *, slots: int, description: str) -> None:
        """Create a pool; one that is there stays as it is."""
        pool = {"name": name, "slots": slots, "description": description, "include_deferred": False}
        try:
            self._request("POST", "/api/v2/pools", pool)
        except ApiRefused as refused:
            if refused.status != http.HTTPStatus.CONFLICT:
                raise

    def wait_for_dag(self, dag: str, seconds: float = 120.0) -> None:
        """Wait until a DAG has been read.

        Raises:
            ApiRefused: it has not appeared, or a file in dags/ cannot be imported.

        """
        until = time.monotonic() + seconds
        while True:
            try:
                self._request("GET", f"/api/v2/dags/{quote(dag)}")
                return
            except ApiRefused as refused:
                if refused.status != http.HTTPStatus.NOT_FOUND or time.monotonic() > until:
                    raise
            errors = self._request("GET", "/api/v2/importErrors")["import_errors"]
            if errors:
                raise ApiRefused(f"reading {errors[0]['filename']}", 500, errors[0]["stack_trace"])
            time.sleep(0.5)

    def trigger(self, dag: str, settings: Mapping[str, Any]) -> str:
        """Start a run with a filled-in form, and return its id.

        Raises:
            ApiRefused: the form is refused; says which field.

        """
        run = self._request("POST", f"/api/v2/dags/{quote(dag)}/dagRuns", {"logical_date": None, "conf": settings})
        return str(run["dag_run_id"])

    def end_unfinished(self, dag: str) -> None:
        """Give up the runs of a DAG that have not ended: what a killed Airflow left behind holds up the next run."""
        for state in ("running", "queued"):
            found = self._request("GET", f"/api/v2/dags/{quote(dag)}/dagRuns?state={state}&limit=100")
            for run in found["dag_runs"]:
                self._request("PATCH", _run_path(dag, run["dag_run_id"]), {"state": "failed"})

    def run_state(self, dag: str, run: str) -> str:
        """Return queued, running, success or failed."""
        return str(self._request("GET", _run_path(dag, run))["state"])

    def tasks(self, dag: str, run: str) -> list[TaskState]:
        """Return the state of each task of a run."""
        found = self._request("GET", _run_path(dag, run) + "/taskInstances?limit=100")["task_instances"]
        return [
            TaskState(task["task_id"], task["state"] or "", task["duration"] or 0.0, task["try_number"])
            for task in found
        ]

    def result(self, dag: str, run: str, task: str) -> Any:
        """Return what a task returned."""
        return self._request("GET", f"{_run_path(dag, run)}/taskInstances/{quote(task)}/xcomEntries/return_value")[
            "value"
        ]

    def log(self, dag: str, run: str, task: str, attempt: int) -> Iterator[dict[str, Any]]:
        """Yield the entries of a task's log: event, level, and for an exception error_detail."""
        path = f"{_run_path(dag, run)}/taskInstances/{quote(task)}/logs/{attempt}?full_content=true"
        for entry in self._request("GET", path)["content"]:
            yield entry if isinstance(entry, dict) else {"event": str(entry)}

    def asset_events(self, run: str) -> list[dict[str, Any]]:
        """Return the events of assets that a run has caused."""
        found = self._request("GET", "/api/v2/assets/events?" + urlencode({"source_run_id": run}))
        return list(found["asset_events"])

    def pools(self) -> dict[str, int]:
        """Return the pools and their slots."""
        return {pool["name"]: pool["slots"] for pool in self._request("GET", "/api/v2/pools")["pools"]}

    def _request(self, method: str, path: str, body: Any = None) -> Any:
        if not self._token:
            self._token = self._send("POST", "/auth/token", self._login)["access_token"]
        return self._send(method, path, body)

    def _send(self, method: str, path: str, body: Any) -> Any:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, headers, method=method)
        try:
            with _NO_PROXY.open(request, timeout=_TIMEOUT) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise ApiRefused(f"{method} {path}", error.code, _detail(error.read())) from None
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{self._url}: {error}") from error


def _run_path(dag: str, run: str) -> str:
    return f"/api/v2/dags/{quote(dag)}/dagRuns/{quote(run)}"


def _detail(body: bytes) -> str:
    try:
        detail = json.loads(body)["detail"]
    except (ValueError, KeyError, TypeError):
        return body.decode("utf-8", "replace")[:500]
    return detail if isinstance(detail, str) else json.dumps(detail)
