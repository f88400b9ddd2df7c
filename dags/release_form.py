"""The form of a release: Airflow Params made from ReleaseConfig's JSON schema, and the settings that come back from it.

Fields, descriptions, defaults and bounds are ReleaseConfig's alone; here they are only put as the trigger form of
Airflow's UI wants them. The file that the environment variable ``WIT_RELEASE_DEFAULTS`` names, a JSON object of
settings, replaces defaults: that is where a deployment says once who its operator is and where its store is.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow.sdk import Param

from pipelines.config import REQUESTERS, ReleaseConfig
from pipelines.errors import SettingError

DEFAULTS = "WIT_RELEASE_DEFAULTS"

_SECTIONS = {
    "image_width": "Rules for pictures",
    "drift_fewest_images": "Whether it may be published",
    "workers": "Where it runs",
}
"""Sections that the form folds away, by the field that each begins with. What comes before them stands open: what to
release, from where and as whom."""


def release_params() -> dict[str, Param]:
    """Return a Param for each field of ReleaseConfig, in its order.

    Raises:
        SettingError: the deployment's defaults are not settings.

    """
    defaults = _deployment_defaults()
    params = {}
    section = None
    for name, schema in ReleaseConfig.model_json_schema()["properties"].items():
        section = _SECTIONS.get(name, section)
        rest = {key: value for key, value in schema.items() if key not in ("default", "description", "title", "type")}
        params[name] = Param(
            defaults.get(name, schema["default"]),
            description=schema["description"],
            title=name.replace("_", " "),
            **({"section": section} if section else {}),
            # The form hands over null for a text that was emptied, and takes a type without null for a required field.
            type=["string", "null"] if schema["type"] == "string" and schema["default"] == "" else schema["type"],
            **rest,
        )
    return params


def refresh_params() -> dict[str, Param]:
    """Return the Params of a refresh: what may differ from the release before. Left empty, nothing does."""
    params = release_params()
    files = ReleaseConfig.model_fields["wit_files"].description
    wit_files = Param([], description=f"{files} Empty: those of the release before.", title="wit files", type="array")
    return {"base": params["base"], "wit_files": wit_files, "accept": params["accept"], "store": params["store"]}


def takedown_params() -> dict[str, Param]:
    """Return the Params of a takedown."""
    params = release_params()
    return {
        "files": Param(
            [],
            title="files",
            type="array",
            minItems=1,
            items={"type": "string"},
            description="Names on Commons, one in each line: File:Example.jpg.",
        ),
        "reason": Param(
            "",
            type="string",
            pattern=r"^\S.*$",
            description="Why, in one line. It becomes public with the ledger, so let it name nobody.",
        ),
        "requester": Param(
            "other", type="string", enum=[*REQUESTERS], description="What kind of person asked. Never who."
        ),
        "now": Param(False, type="boolean", description="Make the next release at once, without the files."),
        "withdraw": Param(
            False,
            type="boolean",
            description="Delete what holds the files from the releases that have them. With now: from those before the "
            "new one. Alone: at once, and from the newest as well, which is then no longer whole.",
        ),
        "base": params["base"],
        "accept": params["accept"],
        "store": params["store"],
    }


def refresh_settings(params: Mapping[str, Any], run_id: str) -> dict[str, Any]:
    """Return the settings of a refresh: the form, the deployment's defaults, the release before, in this order.

    What is left empty is no reason to forget what the release before said, but a list that the defaults leave empty is
    meant so: it is how one is given up.

    Raises:
        ReleaseError: there is no release of the base's name, or another one's work would be lost.
        StoreLocked: the same, and somebody is at that work.

    """
    from pipelines.releases.settings import settings_of_next
    from pipelines.storage.store import Store

    given = {name: value for name, value in _deployment_defaults().items() if value not in ("", None)}
    given |= {name: value for name, value in release_settings(params).items() if value}
    return settings_of_next(Store(given["store"]), run_id, given, once=True)


def own_settings(params: Mapping[str, Any], run_id: str) -> dict[str, Any]:
    """Return the settings of a release that is made by hand: the form, unless it accepts one that was begun."""
    from pipelines.releases.settings import settings_to_accept

    return settings_to_accept(release_settings(params))


_NOTED_BY_AIRFLOW = "openlineage"
"""What a run holds besides its form where another DAG triggered it and lineage is on: which run that was."""


def release_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a filled-in form stands for: a field left empty has ReleaseConfig's own default."""
    settings = {}
    for name, value in params.items():
        if name == _NOTED_BY_AIRFLOW:
            continue
        if isinstance(value, str):
            value = value.strip()
        elif isinstance(value, list):
            value = [line.strip() if isinstance(line, str) else line for line in value if line not in ("", None)]
        if value is not None:
            settings[name] = value
    return settings


def _deployment_defaults() -> dict[str, Any]:
    path = os.environ.get(DEFAULTS)
    if not path:
        return {}
    try:
        defaults = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingError(f"{DEFAULTS}={path}: {error}") from error
    if not isinstance(defaults, dict) or not defaults.keys() <= ReleaseConfig.model_fields.keys():
        raise SettingError(f"{DEFAULTS}={path}: must be a JSON object of settings of ReleaseConfig")
    return defaults
