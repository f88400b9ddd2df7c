"""Errors travel from the workers to whoever waits for them, with what they came from as far as that can travel.

Dask pickles an error together with its causes. If one of those cannot be pickled (answers of servers often cannot), it
sends a plain ``Exception`` in place of all of them, and nobody can tell any more what kind of error it was: whether
another try may help is decided by the kind.
"""

import contextlib
import pickle
from collections.abc import Iterator

from pipelines.errors import WitReleaseError


@contextlib.contextmanager
def travelling() -> Iterator[None]:
    """Let an error of ours leave this block as what it is, without those of its causes that cannot be pickled."""
    try:
        yield
    except WitReleaseError as error:
        _let_go(error)
        raise


def _let_go(error: BaseException) -> None:
    for link in ("__cause__", "__context__"):
        origin = getattr(error, link)
        if origin is not None:
            _let_go(origin)
            if not _travels(origin):
                setattr(error, link, None)


def _travels(error: BaseException) -> bool:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever its classes raise: it is not to be sent
        return False
    return True
