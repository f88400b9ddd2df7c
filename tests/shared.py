"""Real data for tests, kept beside the checkout in ``../shared/data``; where it is absent, tests of it are skipped."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared(relative: str) -> Path:
    """Return the path of a shared file or folder, or skip the calling test and say what is missing."""
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"needs ../shared/data/{relative}, which is not on this machine")
    return path
