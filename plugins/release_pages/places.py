"""Which store the pages show, and which of its files they hand out: those of releases, and nothing else.

A path from a browser is not trusted: it may go up, start at the root or pass through a symbolic link that somebody has
put into a store on a local disk. The files of a release are plain files, so anything else does not exist.
"""

import json
import os
import re
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from pipelines.config import ReleaseConfig
from pipelines.errors import SettingError
from pipelines.releases.versions import run_path
from pipelines.reports.facts import REPORT
from pipelines.storage.store import Store

STORE = "WIT_RELEASE_STORE"
"""Environment variable that names the store; without it, the one that the form of the DAG is filled in with."""

DEFAULTS = "WIT_RELEASE_DEFAULTS"
"""Environment variable that names a JSON file of settings with which the form of the DAG is filled in."""

_VERSION = re.compile(ReleaseConfig.model_fields["version"].metadata[0].pattern)
_RELEASES = "releases"

_SHOWN = {
    ".html": "text/html; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".json": "application/json",
    "": "text/plain; charset=utf-8",
}
"""What browsers show; everything else is downloaded."""


def open_store() -> Store:
    """Return the store that the pages show.

    Raises:
        SettingError: the file of default settings cannot be read.

    """
    return Store(os.environ.get(STORE) or _default_store())


def _default_store() -> str:
    default = str(ReleaseConfig.model_fields["store"].default)
    path = os.environ.get(DEFAULTS)
    if not path:
        return default
    try:
        return str(json.loads(Path(path).read_text("utf-8")).get("store", default))
    except (OSError, ValueError, AttributeError) as error:
        raise SettingError(f"{DEFAULTS}={path}: {error}; correct the file, or name the store in {STORE}") from error


def is_version(text: str) -> bool:
    """Say whether a text is the name of a release: digits and full stops."""
    return text != "" and _VERSION.fullmatch(text) is not None


def release_file(store: Store, version: str, path: str) -> str | None:
    """Return where in the store a file of a release is.

    Args:
        store: the store.
        version: of the release, as the browser sent it.
        path: below the release, as the browser sent it, decoded.

    Returns:
        A path for `Store.open`; None: a release has no such file.

    """
    parts = path.split("/")
    if not is_version(version) or {"", ".", ".."} & set(parts) or re.search(r"[\\\x00-\x1f]", path):
        return None
    return _if_there(store, f"{_RELEASES}/{version}/{path}")


def report_of_making(store: Store, version: str) -> str | None:
    """Return where in the store the report with the working times of a release's run is; None: there is none."""
    return _if_there(store, run_path(version, REPORT)) if is_version(version) else None


def _if_there(store: Store, inside: str) -> str | None:
    """Return a path if it is one of a file, and no link on the way leads anywhere else."""
    if store.local is not None:
        literal = store.local.resolve() / inside
        try:
            if literal.resolve() != literal:  # a link somewhere on the way
                return None
        except (OSError, RuntimeError):  # a name too long, a loop of links
            return None
    try:
        return inside if store.exists(inside) else None
    except OSError:
        return None


def web_address(text: str) -> str:
    """Return an address that a page may link to: of the web, without a password; empty if it is none.

    Whoever can write to the store can write anything into what is read from there. A link opens in the page's
    own frame: Airflow shows pages of plugins in one that may open no windows.
    """
    try:
        parts = urlsplit(text)
        plain = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return ""
    return text if plain and text.isprintable() and " " not in text and "\\" not in text else ""


def content_type(path: str) -> tuple[str, bool]:
    """Return the media type of a file of a release, and whether a browser is to show it."""
    shown = _SHOWN.get(PurePosixPath(path).suffix)
    return (shown, True) if shown else ("application/octet-stream", False)
