"""describe_files: what Commons says of each file today: is it there, its checksum, its licence and its author.

It comes before the download: a file that is gone costs no request to the media servers, one that was renamed is found,
and one that is still the same need not be fetched again. Licences and authors change without the file, so every run
asks about every file; the answer also tells whether a picture is still that of the file, so that the media servers are
never asked whether something changed.
"""

import pyarrow as pa

from pipelines.commons.api import ApiClient
from pipelines.engine.step import Needs, RowStep, Task
from pipelines.tables import DESCRIPTIONS, IMAGES, KEY


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


DESCRIBE = RowStep(
    writes=DESCRIPTIONS,
    run=_describe,
    reads=(IMAGES.columns(KEY, "name", "site"),),
    needs=Needs.COMMONS_API,
    observes=True,
    slice_rows=500,
    revision=2,
)
STEPS = (DESCRIBE,)
