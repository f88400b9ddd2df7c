"""What a setting may say of where something is: settings hold no secrets.

Settings are kept with the release, shown in Airflow's form, and stand in its database as they were typed. So a URL
with a password or a signed query is refused before it gets there; the form refuses it by the same patterns. A file that
is read from such a URL is named with a variable of the environment in which it is read, see ``inputs``.
"""

import re

PREFIX = "WIT_SECRET_"
"""Only such variables may stand in a setting: whoever fills in the form could send others to a server of theirs."""

VARIABLE = r"\$\{" + PREFIX + r"\w+\}"


def _without_secrets(before_at: str, after_question_mark: str) -> str:
    return rf"^(?!.*://{before_at}[^/]*@)(?!.*://.*\?{after_question_mark}).*$"


PLACE = _without_secrets("", "")
"""A path, or a URL without user, password and query."""

INPUT = _without_secrets(rf"(?!{VARIABLE}@)", rf"(?!{VARIABLE}$)")
"""The same, but variables may stand there."""


def refuse_secrets(place: str) -> str:
    """Return the path or URL of a server or store as it is.

    Raises:
        ValueError: it has a user, a password or a query.

    """
    if not re.match(PLACE, place):
        raise ValueError(
            "settings are kept with the release and hold no secrets: leave user, password and query out of the URL; "
            "keys of an object store belong into the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
        )
    return place


def refuse_secrets_of_input(path: str) -> str:
    """Return the path or URL of a file that is to be read as it is.

    Raises:
        ValueError: it has a user, a password or a query that is no variable.

    """
    if not re.match(INPUT, path):
        raise ValueError(
            "settings are kept with the release and hold no secrets: write all that stands before the @, or after the "
            f"?, as one variable, ${{{PREFIX}…}}, and set that variable in the environment of the workers"
        )
    return path
