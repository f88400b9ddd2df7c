"""find_deletion_candidates: from SQL dumps, where the settings name some, without a request to anybody."""

from pathlib import Path

import pytest
from aiohttp import web
from distributed import Client

from pipelines.engine.run import run_step
from pipelines.errors import StageFailed
from pipelines.stages.find_deletion_candidates import STEPS
from pipelines.storage.store import Store
from pipelines.tables import CANDIDATES, DESCRIPTIONS, IMAGES, KEY
from tests.commons.server import serving
from tests.commons.wiki import LittleWiki
from tests.stages.making import context, read_table, rows_of, url_of, write_table

NAMES = ("Fine.jpg", "Moved.jpg", "Requested_(?).jpg", "Violation.jpg")
WIKI = LittleWiki(
    categories={
        "Copyright violations": ["File:Violation.jpg", "File:New name.jpg", "File:Of no interest.jpg"],
        "Deletion requests": ["Category:Deletion requests November 2026"],
        "Deletion requests November 2026": ["File:Requested (?).jpg"],
    },
    templates={},
)


def test_candidates_come_from_dumps(client: Client, store: Store, tmp_path: Path) -> None:
    """The API of these settings is nowhere: a request to it would fail."""
    WIKI.dump(tmp_path)
    this = context(store, partitions=1, deletion_dumps=f"{tmp_path}/")
    images = [{KEY: url_of(name), "name": name} for name in NAMES]
    write_table(this, IMAGES, rows_of(IMAGES, images))
    titles = [
        {KEY: url_of(name), "title": "New_name.jpg" if name == "Moved.jpg" else name, "exists": True} for name in NAMES
    ]
    write_table(this, DESCRIPTIONS, rows_of(DESCRIPTIONS, titles))
    for step in STEPS:
        run_step(client, this, step)
    found = {row[KEY]: row["reason"] for row in read_table(this, CANDIDATES).to_pylist()}
    assert found == {
        url_of("Moved.jpg"): "in Category:Copyright violations",
        url_of("Requested_(?).jpg"): "in Category:Deletion requests November 2026",
        url_of("Violation.jpg"): "in Category:Copyright violations",
    }


def test_dumps_that_are_not_there_are_named(client: Client, store: Store, tmp_path: Path) -> None:
    this = context(store, partitions=1, deletion_dumps=f"{tmp_path}/commonswiki-20261101-")
    with pytest.raises(StageFailed, match=r"commonswiki-20261101-linktarget\.sql\.gz is not there"):
        run_step(client, this, STEPS[0])


def test_the_operator_is_named_to_the_server_of_dumps(client: Client, store: Store, tmp_path: Path) -> None:
    WIKI.dump(tmp_path)

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(tmp_path / request.path.removeprefix("/"))

    with serving(answer) as server:
        this = context(store, partitions=1, deletion_dumps=f"{server.url}/", operator_contact="me@institute.example")
        run_step(client, this, STEPS[0])
    agents = {seen.headers["User-Agent"] for seen in server.log.requests}
    assert agents == {this.config.commons().user_agent}
    assert len({seen.path for seen in server.log.requests}) == 3
