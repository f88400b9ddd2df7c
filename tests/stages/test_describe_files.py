"""describe_files: the pages that mark deletion candidates are looked for before anything is fetched."""

import logging

import pytest
from distributed import Client

from pipelines.engine.run import run_step
from pipelines.engine.step import ALL, Context, table_path
from pipelines.errors import StageFailed
from pipelines.stages.describe_files import LOOK_FOR_PAGES
from pipelines.storage.store import Store
from pipelines.tables import PAGES_GONE
from tests.commons.server import serving
from tests.commons.wiki import LittleWiki
from tests.releases.making import published
from tests.stages.making import context

BASE = "2025.12.01"
NAMED = ["Duplicate", "Renamed since"]


def looked(client: Client, this: Context) -> int:
    """Return how many pages were found missing; what was found is kept."""
    found = run_step(client, this, LOOK_FOR_PAGES)
    assert this.store.exists(table_path(PAGES_GONE.name, ALL))
    return found.rows


def test_a_page_that_only_this_release_names_is_refused_with_its_setting_and_where_to_change_it(
    client: Client, store: Store
) -> None:
    published(store, "before", version=BASE, deletion_categories=["Duplicate"])
    for base in ("", BASE):
        with serving(LittleWiki()) as server:
            this = context(store, api_url=f"{server.url}/w/api.php", deletion_categories=NAMED)
            this = Context(this.config, this.version, store, this.observation, base)
            with pytest.raises(StageFailed, match=r"deletion_categories: .* Category:Renamed since.*_DEFAULTS"):
                looked(client, this)


def test_one_that_the_release_before_named_too_is_a_warning_and_counted(
    client: Client, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    published(store, "before", version=BASE, deletion_categories=NAMED)
    with serving(LittleWiki()) as server, caplog.at_level(logging.WARNING, "pipelines"):
        this = context(store, api_url=f"{server.url}/w/api.php", deletion_categories=NAMED)
        assert looked(client, Context(this.config, this.version, store, this.observation, BASE)) == 1
    assert "deletion_categories: there is no Category:Renamed since" in caplog.text
