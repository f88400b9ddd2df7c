"""What the DAGs of releases have in common: their owner, how they retry, and the task that runs a stage."""

import ast
import contextlib
import datetime
import logging
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, Metadata, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowRescheduleException

from pipelines.errors import InputError, ReleaseError, SettingError, StoreLocked, ValidationFailed, WitReleaseError
from pipelines.vision.weights_errors import WeightsError
from release_links import DataDocsLink, ReleaseLink, ReportLink, link
from release_metrics import AirflowMeter

log = logging.getLogger(__name__)

COMMONS_MEDIA = "commons_media"
"""Pool of one slot: the connections to the media servers that their operator allows, in all."""

COMMONS_API = "commons_api"
"""Pool of one slot: the connection to the Action API that its operator allows, in all."""

DEFAULT_ARGS: dict[str, Any] = {
    "owner": "wit-release",
    "retries": 3,
    "retry_delay": datetime.timedelta(seconds=30),
    "retry_exponential_backoff": 4,
    "max_retry_delay": datetime.timedelta(hours=1),
}
"""Retries after half a minute, 2 and 8 minutes: long enough for a server or a network to come back."""

WAITING = datetime.timedelta(minutes=1)
"""Until a task that found the store in use looks again."""

_PERMANENT = (SettingError, InputError, ReleaseError, ValidationFailed, WeightsError)
"""Errors that stay what they are until a person has changed something."""


RELEASE = Asset("wit_release", uri="wit-release://latest", group="wit")
"""The newest release; its event carries version and counts."""

SettingsOf = Callable[[Mapping[str, Any], str], dict[str, Any]]
"""Makes settings of a release out of a filled-in form and the name of the DAG run."""


def stages_of_a_release(settings_of: SettingsOf) -> None:
    """Add the tasks that make a release to the DAG that is being defined: the stages, in their order."""

    def stage(name: str, pool: str = "default_pool") -> Any:
        @task(task_id=name, pool=pool, doc_md=stage_docs(name))
        def run(params: Mapping[str, Any], run_id: str) -> dict[str, Any]:
            return run_stage(name, settings_of, params, run_id)

        return run()

    @task(pool=COMMONS_API, outlets=[RELEASE], doc_md=stage_docs("publish"))
    def publish(params: Mapping[str, Any], run_id: str) -> Iterator[Any]:
        """Run the last stage, and tell what waits for releases that there is a new one."""
        published = run_stage("publish", settings_of, params, run_id)
        yield Metadata(RELEASE, extra=published)
        return published

    rows = stage("pull_rows")
    described = stage("describe_files", COMMONS_API)
    pictures = stage("fetch_images", COMMONS_MEDIA)
    faces = stage("detect_faces")
    candidates = stage("find_deletion_candidates", COMMONS_API)
    ledger = stage("decide", COMMONS_MEDIA)  # it may want pictures back that an earlier release dropped
    shards = stage("write_shards")
    embeddings = stage("embed_images")
    validated = stage("validate")
    published = publish()
    link(validated, ReleaseLink(), DataDocsLink())
    link(published, ReleaseLink(), ReportLink())

    rows >> described >> pictures >> [faces, candidates] >> ledger >> shards >> embeddings >> validated >> published


def run_stage(name: str, settings_of: SettingsOf, params: Mapping[str, Any], run_id: str) -> dict[str, Any]:
    """Run a stage of the release that this DAG run makes.

    Args:
        name: of the stage.
        settings_of: makes settings out of the form.
        params: the form, as it was filled in.
        run_id: of the DAG run; a task that is run again goes on with the release that its run began.

    Returns:
        ``version`` of the release and the stage's ``counts``.

    Raises:
        AirflowFailException: no retry can help.
        AirflowRescheduleException: another run is at work in the store.
        AirflowException: a retry may help, and goes on where this one stopped.

    """
    from pipelines.pipeline import run_one

    with as_airflow_errors():
        return run_one(name, settings_of(params, run_id), run_id, AirflowMeter())


@contextlib.contextmanager
def as_airflow_errors() -> Iterator[None]:
    """Turn an error of the library into the one that tells Airflow whether to try again; the log says what it was."""
    try:
        yield
    except StoreLocked as error:
        log.warning("%s. This task looks again in %s", error, WAITING)
        raise AirflowRescheduleException(datetime.datetime.now(datetime.UTC) + WAITING) from error
    except WitReleaseError as error:
        log.error("%s: %s", type(error).__name__, error)
        kind = AirflowFailException if is_permanent(error) else AirflowException
        raise kind(str(error)) from error


def stage_docs(name: str) -> str:
    """Return what a stage's own module says about it, without importing the module."""
    source = find_spec(f"pipelines.stages.{name}")
    if source is None or source.origin is None:
        raise LookupError(f"there is no stage {name}: pipelines/stages/{name}.py is missing")
    return ast.get_docstring(ast.parse(Path(source.origin).read_text("utf-8"))) or ""


def is_permanent(error: BaseException) -> bool:
    """Say whether an error, or one that it came from, stays until a person has changed something."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, _PERMANENT):
            return True
        cause = cause.__cause__
    return False
