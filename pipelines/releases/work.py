"""Whose tables are under ``work/``: there is one set of them, and the first stage of a release makes it its own.

Without that, a release that waited while another one was made would go on with the rows, pixels and faces of that one.
"""

from pipelines.engine.step import WORK, Context
from pipelines.errors import ReleaseError

OWNER = f"{WORK}/release.json"


def make_own(context: Context) -> None:
    """Note that the tables are those of this release from now on."""
    context.store.write_json(OWNER, {"version": context.version})


def refuse_others(context: Context) -> None:
    """Go on only with tables of this release.

    Raises:
        ReleaseError: they are another one's by now.

    """
    owner = context.store.read_json(OWNER)
    if owner is not None and owner["version"] != context.version:
        raise ReleaseError(
            f"the tables under {context.store.locate(WORK)} are those of release {owner['version']} by now. What is "
            f"still right in them is taken over if release {context.version} is made from its first stage on: clear "
            f"the task pull_rows of its run, repeat the command that began it, or trigger the DAG Make a release with "
            f"this version and a reason in accept"
        )
