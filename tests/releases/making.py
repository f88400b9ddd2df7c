"""Releases that are begun, under way or published, as far as the store can tell."""

from pipelines.config import ReleaseConfig
from pipelines.releases.versions import begin
from pipelines.storage.store import Store
from tests.stages.making import NOWHERE


def begun(store: Store, run: str, **settings: object) -> str:
    return begin(ReleaseConfig.parse({**NOWHERE, "store": store.url, **settings}), run).version


def published(store: Store, run: str, **settings: object) -> str:
    """Begin a release and leave it as if it had been published."""
    version = begun(store, run, **settings)
    store.write_json(f"releases/{version}/manifest.json", {})
    store.write_json(f"runs/{version}/stages/publish.json", {})
    return version


def worked_on(store: Store, run: str, **settings: object) -> str:
    """Begin a release and leave it as if its rows had been read."""
    version = begun(store, run, **settings)
    store.write_json(f"runs/{version}/stages/pull_rows.json", {})
    return version
