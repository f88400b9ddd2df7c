"""What the DAGs of releases have in common: their owner, how they retry, and the task that runs a stage."""

import ast
import datetime
import logging
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from pipelines.errors import InputError, ReleaseError, SettingError, ValidationFailed, WitReleaseError
from pipelines.vision.weights_errors import WeightsError
from release_form import release_settings

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

_PERMANENT = (SettingError, InputError, ReleaseError, ValidationFailed, WeightsError)
"""Errors that stay what they are until a person has changed something."""


def run_stage(name: str, params: Mapping[str, Any], run_id: str) -> dict[str, Any]:
    """Run a stage of the release that this DAG run makes.

    Args:
        name: of the stage.
        params: the form, as it was filled in.
        run_id: of the DAG run; a task that is run again goes on with the release that its run began.

    Returns:
        ``version`` of the release and the stage's ``counts``.

    Raises:
        AirflowFailException: no retry can help.
        AirflowException: a retry may help, and goes on where this one stopped.

    """
    from pipelines.pipeline import run_one

    try:
        return run_one(name, release_settings(params), run_id)
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
