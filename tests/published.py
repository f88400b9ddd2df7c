"""A small published release over the real pictures of ../shared/data/commons, made inside this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed import Client

from pipelines.config import ReleaseConfig
from pipelines.demo.server import DemoCommons
from pipelines.engine.step import Context
from pipelines.pipeline import STAGES, run_stage
from pipelines.releases.versions import begin
from tests.shared import shared

VERSION = "2026.01.01"


@contextmanager
def commons(folder: Path | None = None) -> Iterator[dict[str, object]]:
    """Serve a small Commons; give the settings of a release made from it."""
    with DemoCommons(folder or shared("commons")) as served:
        yield {
            "wit_files": [str(shared("wit/commons_sample.tsv.gz"))],
            "version": VERSION,
            "partitions": 3,
            "origin": "demo",
            "operator_contact": "someone@example.org",
            "media_url": served.url,
            "api_url": served.api_url,
            "face_model": "cascade-stand-in",
            "embedding_model": "resnet50-stand-in",
            "stand_in": True,
        }


def make(client: Client, store: Path | str, settings: dict[str, object], until: str = "publish") -> Context:
    """Run the stages of a release, up to and including one."""
    context = begin(ReleaseConfig.parse({**settings, "store": str(store)}), run="test")
    for name in STAGES[: STAGES.index(until) + 1]:
        run_stage(name, context, client)
    return context
