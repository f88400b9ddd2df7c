"""Make docker/.env from docker/.env.example: each empty secret gets a random value. An existing .env is left alone.

python3 docker/make_env.py          needs nothing but Python
"""

import base64
import os
import secrets
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECRETS = (
    "POSTGRES_PASSWORD",
    "AIRFLOW_ADMIN_PASSWORD",
    "AIRFLOW_JWT_SECRET",
    "AIRFLOW_API_SECRET_KEY",
    "S3_ACCESS_KEY",
    "S3_SECRET_KEY",
)
FERNET_KEY = "AIRFLOW_FERNET_KEY"


def fill(example: str) -> str:
    """Return the text of an .env: the example's, with a fresh value for each secret that it leaves empty."""
    lines = []
    for line in example.splitlines():
        name, equals, value = line.partition("=")
        if equals and not value and name in SECRETS:
            line = f"{name}={secrets.token_hex(32)}"  # hex: it stands in a URL and in shells without quoting
        elif equals and not value and name == FERNET_KEY:
            line = f"{name}={base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def main(folder: Path = HERE) -> int:
    """Write the file with the permissions of a secret; return 1 and say so if it is there already."""
    target = folder / ".env"
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(f"{target} is there already, and is left as it is", file=sys.stderr)
        return 1
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(fill((folder / ".env.example").read_text("utf-8")))
    print(f"{target} is written; the password of the user admin is in it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
