"""Memory does not grow with the size of a partition: 20,000 pictures go through the stages in under 600 MB."""

import subprocess
import sys
from pathlib import Path

from tests.running import ROOT

PICTURES = 20_000
LIMIT = 600 << 20


def test_a_partition_of_20000_pictures_stays_under_600_megabytes(tmp_path: Path) -> None:
    """Each stage that needs no model runs over one partition: 700 MB of pictures, 400 MB of text."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.stages.large_partition", str(tmp_path), str(PICTURES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    peaks = {stage: int(peak) for stage, peak in (line.split() for line in done.stdout.splitlines())}
    assert set(peaks) == {"pull_rows", "fetch_images", "decide", "write_shards", "embed_images"}
    assert {stage: peak >> 20 for stage, peak in peaks.items() if peak > LIMIT} == {}
