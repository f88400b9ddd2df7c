"""Files that are read from elsewhere, WIT's and SQL dumps, with the secrets that the URLs of some need.

``https://${WIT_SECRET_LOGIN}@host/a.tsv.gz?${WIT_SECRET_QUERY}`` has its password and its signature from the
environment in which it is read. The real URL is known for the time of a request; errors name the other one, and have
no cause, which would name it. A new signature does not make another file of it.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from typing import IO, Any, cast
from urllib.parse import urlsplit

import fsspec

from pipelines.errors import InputError, InputUnreachable, SettingError
from pipelines.places import PREFIX, VARIABLE
from pipelines.storage.store import identity_of

_REFUSALS = frozenset({400, 401, 403, 404, 410})
"""Answers of a server that stay what they are until a person has changed something."""


@contextlib.contextmanager
def open_input(path: str, user_agent: str = "") -> Iterator[IO[bytes]]:
    """Open a file for reading.

    Args:
        path: local, or a URL that fsspec knows.
        user_agent: to name to a web server; empty: that of the library. Wikimedia's asks for the operator's.

    Raises:
        InputError: the file is not there, or not for us.
        InputUnreachable: its server does not answer as it should; that may pass.
        SettingError: a variable of its URL is not set here.

    """
    with _told_without_secrets(path), fsspec.open(_real(path), "rb", **_naming(path, user_agent)) as file:
        yield cast(IO[bytes], file)


def identity(path: str, user_agent: str = "") -> dict[str, Any]:
    """Return what tells this version of a file from another without reading it: size, and time or entity tag.

    Args:
        path, user_agent: as `open_input` takes them.

    Raises:
        InputError, InputUnreachable, SettingError: as `open_input` does.

    """
    with _told_without_secrets(path):
        fs, full = fsspec.core.url_to_fs(_real(path), **_naming(path, user_agent))
        fs.invalidate_cache()
        return identity_of(fs.info(full))


def _naming(path: str, user_agent: str) -> dict[str, Any]:
    """Return the options of a file system that make it name the user agent, where that is HTTP's."""
    named = user_agent and urlsplit(path).scheme in ("http", "https")
    return {"client_kwargs": {"headers": {"User-Agent": user_agent}}} if named else {}


def is_gzipped(path: str) -> bool:
    """Say whether a path or URL names a gzipped file."""
    return (urlsplit(path).path if "://" in path else path).endswith(".gz")


def _real(path: str) -> str:
    """Return a path or URL with the values of its variables."""

    def value(found: re.Match[str]) -> str:
        secret = os.environ.get(found[1])
        if not found[1].startswith(PREFIX) or not secret:
            raise SettingError(f"{path}: no variable {found[1]} is set where the file is read, or it is no {PREFIX}…")
        return secret

    return re.sub(r"\$\{(\w+)\}", value, path) if "://" in path else path


@contextlib.contextmanager
def _told_without_secrets(path: str) -> Iterator[None]:
    """Say what goes wrong with a file under the name that the settings have for it."""
    from aiohttp import ClientError, ClientResponseError  # what fsspec reads URLs with

    try:
        yield
    except (OSError, ClientError) as error:
        told = _told(error, path, ClientResponseError)
        try:
            raise told from None
        finally:
            told.__context__ = None  # it names the real URL, and cannot travel between processes


def _told(error: BaseException, path: str, answered: type[BaseException]) -> InputError | InputUnreachable:
    answer: BaseException | None = error
    while answer is not None and not isinstance(answer, answered):
        answer = answer.__cause__
    if answer is not None:
        status, message = answer.status, answer.message  # type: ignore[attr-defined]  # aiohttp is loaded where it is needed
        kind = InputError if status in _REFUSALS else InputUnreachable
        return kind(f"{path}: the server says {status} {message}")
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path} is not there")
    return InputUnreachable(f"{path} cannot be read: {_hidden(str(error) or type(error).__name__, path)}")


def _hidden(text: str, path: str) -> str:
    """Return a text with the variables of a URL in place of their values."""
    for variable in re.findall(VARIABLE, path):
        secret = os.environ.get(variable[2:-1])
        text = text.replace(secret, variable) if secret else text
    return text
