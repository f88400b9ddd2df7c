"""find_deletion_candidates: which of the images are up for deletion on Commons today.

It is read after the download, which may take days: from the API, or for releases of millions from SQL dumps, which are
days old themselves. Right before publication the API is asked in any case.
"""

from collections.abc import Iterator

import pyarrow as pa

from pipelines.commons.api import ApiClient
from pipelines.commons.deletion import SETTINGS, CandidateCategories, deletion_candidates
from pipelines.commons.dumps import Dumps, deletion_candidates_from_dumps
from pipelines.engine.step import Needs, PartitionStep, Task, one_key
from pipelines.tables import CANDIDATES, DELETION_MARKS, DESCRIPTIONS, IMAGES, KEY


def _list_marks(task: Task) -> Iterator[pa.Table]:
    config = task.config
    categories = CandidateCategories.of(config.subset(SETTINGS))
    if config.deletion_dumps:
        page, links, targets = (
            f"{config.deletion_dumps}{name}.sql.gz" for name in ("page", "categorylinks", "linktarget")
        )
        dumps = Dumps(page, links, targets, config.commons().user_agent)
        marks = deletion_candidates_from_dumps(dumps, categories)
    else:
        with ApiClient(config.commons(), task.leases("api")) as api:
            marks = deletion_candidates(api, categories)
    rows = [{"name": name, "reason": reason} for name, reason in sorted(marks.items())]
    yield pa.Table.from_pylist(rows, schema=DELETION_MARKS.schema)


def _match(task: Task) -> Iterator[pa.Table]:
    marks = dict(zip(*(column.to_pylist() for column in task.table(DELETION_MARKS).columns), strict=True))
    urls, names = (task.table(IMAGES).column(column).to_pylist() for column in (KEY, "name"))
    titles = task.table(DESCRIPTIONS).column("title").to_pylist()  # null: not a file on Commons
    rows = [
        {KEY: url, "reason": marks.get(title) or marks[name]}
        for url, name, title in zip(urls, names, titles, strict=True)
        if title is not None and (title in marks or name in marks)
    ]
    yield pa.Table.from_pylist(rows, schema=CANDIDATES.schema)


LIST_MARKS = PartitionStep(
    writes=DELETION_MARKS,
    run=_list_marks,
    keys=one_key,
    settings=(*SETTINGS, "deletion_dumps"),
    needs=Needs.COMMONS_API,
    observes=True,
)
MATCH = PartitionStep(
    writes=CANDIDATES,
    run=_match,
    reads=(
        DELETION_MARKS.columns("name", "reason", keys=one_key),
        IMAGES.columns(KEY, "name"),
        DESCRIPTIONS.columns("title"),
    ),
)
STEPS = (LIST_MARKS, MATCH)
