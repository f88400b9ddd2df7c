"""describe_files: what Commons says of each file today: is it there, its checksum, its licence and its author.

It comes before the download: a file that is gone costs no request to the media servers, one that was renamed is found,
and one that is still the same need not be fetched again. Licences and authors change without the file, so every run
asks about every file; the answer also tells whether a picture is still that of the file, so that the media servers are
never asked whether something changed.

First of all it looks whether Commons has the categories and templates that mark deletion candidates: a typing error
would let candidates through, and is better found before days of download than after. One that the release before named
as well is no typing error, but was deleted or renamed since: that is worth a warning, and stops no refresh.
"""

import logging
from collections.abc import Iterator

import pyarrow as pa

from pipelines.commons.api import ApiClient
from pipelines.commons.deletion import SETTINGS, CandidateCategories, unknown_pages
from pipelines.engine.step import Needs, PartitionStep, RowStep, Task, one_key
from pipelines.errors import SettingError
from pipelines.releases.versions import context_of
from pipelines.tables import DESCRIPTIONS, IMAGES, KEY, PAGES_GONE

log = logging.getLogger(__name__)


def _look_for_pages(task: Task) -> Iterator[pa.Table]:
    config, base = task.config, task.context.base
    with ApiClient(config.commons(), task.leases("api")) as api:
        unknown = unknown_pages(api, CandidateCategories.of(config.subset(SETTINGS)))
    before = context_of(task.context.store, base).config.subset(SETTINGS) if base else None
    inherited = CandidateCategories.of(before).pages() if before else {}
    for title, setting in unknown.items():
        problem = (
            f"{setting}: there is no {title}, so it marks no file as a deletion candidate. Write the name as Commons "
            "has it, or take it off the list: among the settings of a release, or for refreshes in the deployment's "
            "defaults (WIT_RELEASE_DEFAULTS)"
        )
        if title not in inherited:
            raise SettingError(problem)
        log.warning("%s", problem)
    rows = [{"title": title, "setting": setting} for title, setting in sorted(unknown.items())]
    yield pa.Table.from_pylist(rows, schema=PAGES_GONE.schema)


def _describe(task: Task, rows: pa.Table) -> pa.Table:
    images = rows.to_pylist()
    names = [image["name"] for image in images if image["site"] == "commons"]
    with ApiClient(task.config.commons(), task.leases("api")) as api:
        described = api.describe(names)
    answers = []
    for image in images:
        answer: dict[str, object] = {KEY: image[KEY]}
        if image["site"] == "commons":
            file = described[image["name"]]
            answer |= {
                "exists": file.exists,
                "title": file.title,
                "sha1": file.sha1,
                "timestamp": file.timestamp,
                "mime": file.mime,
                "bytes": file.bytes,
                "original_width": file.width,
                "original_height": file.height,
                "licence": file.licence,
                "licence_url": file.licence_url,
                "author": file.author,
                "credit": file.credit,
                "attribution_required": file.attribution_required,
            }
        answers.append(answer)
    return pa.Table.from_pylist(answers, schema=DESCRIPTIONS.schema)


LOOK_FOR_PAGES = PartitionStep(
    writes=PAGES_GONE,
    run=_look_for_pages,
    keys=one_key,
    settings=SETTINGS,
    needs=Needs.COMMONS_API,
    observes=True,
)
DESCRIBE = RowStep(
    writes=DESCRIPTIONS,
    run=_describe,
    reads=(IMAGES.columns(KEY, "name", "site"),),
    needs=Needs.COMMONS_API,
    observes=True,
    slice_rows=500,
    revision=2,
)
STEPS = (LOOK_FOR_PAGES, DESCRIBE)
