"""Postgres from the system's binaries, with its data in a temporary folder, on loopback."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pipelines.demo.processes import stop_sessions

MISSING = (
    "Postgres' server is not on this machine. On Debian and Ubuntu: apt-get install postgresql. Elsewhere: put the "
    "folder of initdb and postgres on the PATH"
)

_STARTING = 60.0  # seconds; two are usual


class NoPostgres(Exception):
    """There are no binaries of Postgres; says how to get them."""

    def __init__(self) -> None:
        super().__init__(MISSING)


def find_binaries() -> Path:
    """Return the folder of Postgres' programs: of those on the PATH, or of the newest that Debian has put aside.

    Raises:
        NoPostgres: there is none.

    """
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(
        (folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if folder.parent.name.isdigit()),
        key=lambda folder: int(folder.parent.name),
        reverse=True,
    )
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise NoPostgres


@contextmanager
def postgres(port: int, user: str, password: str, database: str, said: Path) -> Iterator[None]:
    """Run a server for the time of a ``with`` block.

    Args:
        port: on loopback.
        user: its superuser, who must give the password.
        password: of the user.
        database: that is made.
        said: file that its output is appended to.

    """
    binaries = find_binaries()
    # Postgres refuses to run as root, and then neither sees pytest's temporary folders.
    as_whom = _somebody() if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="wit-postgres-"))
    secret = folder / "password"
    secret.write_text(password)
    try:
        if as_whom:
            for path in (folder, secret):
                os.chown(path, as_whom["user"], as_whom["group"])
        with said.open("ab") as log:
            initdb = [binaries / "initdb", "--pgdata", folder / "data", "--username", user, "--pwfile", secret]
            initdb += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"]
            subprocess.run(initdb, cwd=folder, stdout=log, stderr=log, check=True, **as_whom)
            server = _start(binaries, folder, port, log, as_whom)
            try:
                _make_database(server, port, user, password, database)
                yield
            finally:
                server.send_signal(signal.SIGINT)  # SIGTERM would wait until its clients have gone
                stop_sessions([server.pid], 3)
                server.wait()
    finally:
        shutil.rmtree(folder)


def _somebody() -> dict[str, Any]:
    """Return arguments of ``subprocess`` that make a process another user's."""
    known = {user.pw_name: user for user in pwd.getpwall()}
    user = known.get("postgres") or known["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _start(binaries: Path, folder: Path, port: int, log: IO[bytes], as_whom: dict[str, Any]) -> subprocess.Popen[bytes]:
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "fsync": "off",  # the data are thrown away
    }
    command = [binaries / "postgres", "-D", folder / "data"]
    command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True, **as_whom)


def _make_database(server: subprocess.Popen[bytes], port: int, user: str, password: str, database: str) -> None:
    import psycopg2

    end = time.monotonic() + _STARTING
    while True:
        try:
            connection = psycopg2.connect(host="127.0.0.1", port=port, user=user, password=password, dbname="postgres")
            break
        except psycopg2.OperationalError:
            if server.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.1)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{database}"')
    finally:
        connection.close()
