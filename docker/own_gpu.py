"""Give each Dask worker of a machine a GPU to itself: a preload for its nanny.

dask worker ADDRESS --resources GPU=1 --preload-nanny docker/own_gpu.py

Compose gives each replica of a service the same GPUs, of which every worker would use the first. So a worker takes one
that no other has: until it ends, it holds a lock on a file of the cache, which the workers of a machine must share.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from distributed import Nanny


def dask_setup(nanny: Nanny) -> None:
    """Take a GPU before the worker's process starts, or end if none is left.

    Nothing is done where there is no driver, or where somebody has said which GPUs the worker may use.
    """
    if "CUDA_VISIBLE_DEVICES" in os.environ | nanny.env or shutil.which("nvidia-smi") is None:
        return
    asked = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    said = f"{answer.stdout}{answer.stderr}".strip()
    if answer.returncode:
        sys.exit(f"nvidia-smi ended with {answer.returncode}: {said}")
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder.mkdir(parents=True, exist_ok=True)
    for gpu in re.findall(r"^GPU-\S+", answer.stdout, re.MULTILINE):
        lock = os.open(folder / f"{gpu}.lock", os.O_RDWR | os.O_CREAT)  # left open: it is the worker's until it ends
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            nanny.env["CUDA_VISIBLE_DEVICES"] = gpu
            return
    sys.exit(f"no GPU is left for this worker; nvidia-smi says: {said}")
