"""Prepare a deployment: its database, its pools, the password of its user, its bucket. Safe to repeat.

It runs in the airflow image before anything else starts, and again with each new version of the image.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
USER = "admin"


def write_password(file: Path, password: str) -> None:
    """Write the file from which Airflow's SimpleAuthManager knows its user, readable by nobody else."""
    partial = file.with_name(file.name + ".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as target:
        json.dump({USER: password}, target)
    partial.replace(file)


def make_bucket(store: str) -> None:
    """Make the bucket of an s3:// store if it is not there; other stores need nothing."""
    parts = urlsplit(store)
    if parts.scheme != "s3":
        return
    import s3fs

    objects = s3fs.S3FileSystem()
    if not objects.exists(parts.netloc):
        objects.mkdir(parts.netloc)


def main() -> int:
    """Prepare everything; return 0, or say on stderr what is missing."""
    missing = [name for name in ("AIRFLOW_HOME", "AIRFLOW_ADMIN_PASSWORD") if not os.environ.get(name)]
    if missing:
        print(f"not set: {', '.join(missing)}; see docker/.env.example", file=sys.stderr)
        return 1
    write_password(Path(os.environ["AIRFLOW_HOME"], ".airflow", "passwords.json"), os.environ["AIRFLOW_ADMIN_PASSWORD"])
    defaults = os.environ.get("WIT_RELEASE_DEFAULTS")
    if defaults:
        make_bucket(str(json.loads(Path(defaults).read_text("utf-8")).get("store", "")))
    subprocess.run(["airflow", "db", "migrate"], check=True)
    subprocess.run(["airflow", "pools", "import", str(HERE / "pools.json")], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
