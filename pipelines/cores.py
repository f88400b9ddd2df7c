"""The cores that this process may use."""

import dask.system


def cores() -> int:
    """Return their number: of those that it is given, as many as its container's quota is worth."""
    return dask.system.cpu_count()
