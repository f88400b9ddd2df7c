"""Say whether a service is healthy, for containers that have no curl.

python docker/healthy.py URL              its answer is 200
python docker/healthy.py URL COMPONENT    ... and is Airflow's JSON, in which the component is healthy
"""

import json
import sys
from urllib.request import urlopen


def problem(url: str, component: str | None = None) -> str | None:
    """Return what is wrong in words, or None if all is well."""
    try:
        with urlopen(url, timeout=5) as answer:
            body = answer.read()
    except OSError as error:
        return f"{url}: {error}"
    if component is None:
        return None
    try:
        status = json.loads(body)[component]["status"]
    except (ValueError, KeyError, TypeError):
        return f"{url}: says nothing of {component}"
    return None if status == "healthy" else f"{component} is {status}"


if __name__ == "__main__":
    sys.exit(problem(*sys.argv[1:3]))
