"""What the store holds of each release, as the pages show it: state, numbers, verdict, files, times."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.errors import ReleaseError
from pipelines.pipeline import STAGES
from pipelines.quality.verdict import Verdict, read_verdict
from pipelines.releases.notices import Notice, read_notice
from pipelines.releases.versions import MANIFEST, Begun, latest, published, read_begun, run_path, versions
from pipelines.reports.facts import public_name
from pipelines.storage.lock import dashboard_of, is_at_work
from pipelines.storage.store import Store
from pipelines.tables import Outcome
from release_pages.places import release_file, report_of_making, web_address
from release_pages.states import MEANINGS, State, state_of

_DOCUMENTS = (("report.html", "Report"), ("quality/index.html", "Data Docs"), ("README.md", "Card (README.md)"))
_NAMES_OF_PLACES = ("store", "media_url", "api_url")  # they may hold credentials
_AIRFLOW_RUNS = ("manual__", "scheduled__", "asset_triggered__", "backfill__", "operator_triggered__")


@dataclass(frozen=True, slots=True)
class StageTime:
    """How long the last run of a stage took.

    Args:
        name: of the stage.
        seconds: by the clock.
        worker_seconds: of all workers together.
        rows: that its steps were about.
        made: those of them that were made then.
        share: of the longest stage, 0 to 1.
        effort: what else it took, see `Receipt`.

    """

    name: str
    seconds: float
    worker_seconds: float
    rows: int
    made: int
    share: float
    effort: Mapping[str, float]

    @property
    def rate(self) -> float | None:
        """Rows made in a second; None where none was made."""
        return self.made / self.seconds if self.made and self.seconds else None

    @property
    def gpu_share(self) -> float | None:
        """Share of the workers' seconds that workers with a GPU spent; None where there was none."""
        seconds = self.effort.get("gpu_seconds", 0.0)
        return seconds / self.worker_seconds if seconds and self.worker_seconds else None


@dataclass(frozen=True, slots=True)
class Entry:
    """A release in the list.

    Args:
        state: how far it has come.
        doing: the first stage that has not come to its end; empty when all have.
        outcomes: images by outcome; empty before they are decided.
        change: released images more than in the published release before; None where that means nothing.
        verdict: None before validation.
        dag_run: the Airflow run that makes it; empty if it is made otherwise.
        seconds: of all stages.
        dashboard: where the Dask cluster that is at work on it can be watched; empty: nowhere.
        notice: what was said of it after its publication.

    """

    version: str
    state: State
    newest: bool
    begun: Begun
    doing: str
    outcomes: Mapping[str, int]
    change: int | None
    verdict: Verdict | None
    seconds: float
    dashboard: str
    notice: Notice

    @property
    def released(self) -> int | None:
        """Pictures in the release, as far as it is known."""
        return self.outcomes.get(Outcome.RELEASED, 0) if self.outcomes else None

    @property
    def meaning(self) -> str:
        """What the state means, where its name does not say it."""
        return MEANINGS.get(self.state, "")

    @property
    def dag_run(self) -> str:
        """The Airflow run that makes it; empty if it is made otherwise."""
        return self.begun.run if self.begun.run.startswith(_AIRFLOW_RUNS) else ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of a release; sha256 is empty until the manifest is written, withdrawn says when it was, if it was."""

    path: str
    bytes: int
    sha256: str
    withdrawn: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """All about one release.

    Args:
        funnel: steps from WIT rows to released images, name to count.
        files: by folder; "" for those outside of folders.
        documents: path and title of those that are there.
        settings: name to value; places and people of this deployment are left out.
        has_report_of_making: whether the report with the working times of its run is there.
        accepted: the reason for which it was published in spite of warnings.

    """

    entry: Entry
    funnel: Mapping[str, int]
    files: Mapping[str, list[Listed]]
    documents: list[tuple[str, str]]
    settings: Mapping[str, Any]
    licences: Mapping[str, int]
    stages: list[StageTime]
    has_report_of_making: bool
    place: str
    stand_in: bool
    accepted: str


def entries(store: Store) -> list[Entry]:
    """Return all releases, newest first."""
    return [read_entry(store, version) for version in reversed(versions(store))]


def read_entry(store: Store, version: str) -> Entry:
    """Return a release as the list shows it.

    Raises:
        ReleaseError: it was never begun.

    """
    begun = read_begun(store, version)
    manifest = _manifest(store, version)
    verdict = _verdict(store, version)
    records = _records(store, version)
    outcomes = _outcomes(manifest, verdict, records)
    return Entry(
        version=version,
        state=State.PUBLISHED if manifest else state_of(verdict, is_at_work(store, begun.run)),
        newest=latest(store) == version,
        begun=begun,
        doing=next((name for name in STAGES if name not in records), ""),
        outcomes=outcomes,
        change=_change(store, version, outcomes),
        verdict=verdict,
        seconds=sum(time.seconds for time in _times(records)),
        dashboard=web_address(dashboard_of(store, begun.run)),
        notice=read_notice(store, version),
    )


def read_page(store: Store, version: str) -> Page:
    """Return all about a release.

    Raises:
        ReleaseError: it was never begun.

    """
    entry = read_entry(store, version)
    manifest = _manifest(store, version)
    records = _records(store, version)
    pulled = records.get("pull_rows", {"counts": {}})["counts"]
    funnel = {
        "WIT rows read": pulled.get("rows_read"),
        "rows of selected images": pulled.get("rows_of_selected_images"),
        "images considered": sum(entry.outcomes.values()) if entry.outcomes else pulled.get("images_rows"),
        "images released": entry.released,
    }
    documents = [(path, title) for path, title in _DOCUMENTS if release_file(store, version, path)]
    return Page(
        entry=entry,
        funnel={step: count for step, count in funnel.items() if count is not None},
        files=_files(store, version, manifest, entry.notice),
        documents=documents,
        settings=manifest["settings"] if manifest else _public(entry.begun.config),
        licences=manifest["counts"]["licences"] if manifest else {},
        stages=_times(records),
        has_report_of_making=report_of_making(store, version) is not None,
        place=store.locate(f"releases/{version}"),
        stand_in=bool(entry.begun.config.get("stand_in")),
        accepted=(manifest.get("accepted") or {}).get("reason", ""),
    )


def _manifest(store: Store, version: str) -> dict[str, Any]:
    return dict(store.read_json(f"releases/{version}/{MANIFEST}") or {})


def _verdict(store: Store, version: str) -> Verdict | None:
    try:
        return read_verdict(store, version)
    except ReleaseError:  # it was not validated yet
        return None


def _records(store: Store, version: str) -> dict[str, dict[str, Any]]:
    """Return what is recorded of each stage whose last run came to its end."""
    read = {name: store.read_json(run_path(version, f"stages/{name}.json")) for name in STAGES}
    return {name: record for name, record in read.items() if record is not None}


def _outcomes(
    manifest: Mapping[str, Any], verdict: Verdict | None, records: Mapping[str, Mapping[str, Any]]
) -> dict[str, int]:
    if manifest:
        counts = manifest["counts"]["outcomes"]
    elif verdict is not None:
        counts = verdict.outcomes
    else:
        counts = records["decide"]["counts"] if "decide" in records else {}
    return {outcome: counts.get(outcome, 0) for outcome in Outcome} if counts else {}


def _change(store: Store, version: str, outcomes: Mapping[str, int]) -> int | None:
    known = versions(store)
    earlier = [one for one in published(store) if known.index(one) < known.index(version)]
    if not earlier or not outcomes:
        return None
    before = _manifest(store, earlier[-1])["counts"]["outcomes"][Outcome.RELEASED]
    return int(outcomes[Outcome.RELEASED] - before)


def _times(records: Mapping[str, Mapping[str, Any]]) -> list[StageTime]:
    keys = ("seconds", "worker_seconds", "rows", "fresh")
    sums = {
        name: [sum(step.get(key, 0) for step in record["steps"]) for key in keys] for name, record in records.items()
    }
    longest = max((numbers[0] for numbers in sums.values()), default=0.0) or 1.0
    return [
        StageTime(name, seconds, worker_seconds, rows, made, seconds / longest, _effort(records[name]["steps"]))
        for name, (seconds, worker_seconds, rows, made) in sums.items()
    ]


def _effort(steps: list[dict[str, Any]]) -> Mapping[str, float]:
    effort: Counter[str] = Counter()
    for step in steps:
        effort.update(step.get("effort", {}))  # records of earlier versions have none
    return effort


def _files(store: Store, version: str, manifest: Mapping[str, Any], notice: Notice) -> dict[str, list[Listed]]:
    prefix = f"releases/{version}/"
    sums: Mapping[str, Any] = manifest.get("files", {})
    folders: dict[str, list[Listed]] = {"": []}
    withdrawn = {one.path: one for one in notice.withdrawn}
    there = [where.removeprefix(prefix) for where in store.files(prefix.rstrip("/"))]
    for path in sorted({*there, *withdrawn}):
        if (gone := withdrawn.get(path)) is not None:
            folder = path.rpartition("/")[0]
            folders.setdefault(folder, []).append(Listed(path, gone.bytes, gone.sha256, gone.date))
            continue
        if path not in sums and release_file(store, version, path) is None:
            continue
        listed = sums.get(path, {})
        size = listed["bytes"] if listed else store.size(prefix + path)
        folder = path.rpartition("/")[0]
        folders.setdefault(folder, []).append(Listed(path, size, listed.get("sha256", "")))
    return dict(sorted(folders.items()))


def _public(config: Mapping[str, Any]) -> dict[str, Any]:
    settings = {name: value for name, value in config.items() if name not in (*_NAMES_OF_PLACES, "agreement")}
    settings["wit_files"] = [public_name(name) for name in config.get("wit_files", ())]
    return settings
