"""Our side of the fetching benchmark, as a program: names on standard input, shards in a store.

    python -m tests.benchmarks.fetch_ours WAY URL STORE {thumbnail|original} < names

WAY is ``all``, or one of its parts, for the floor: ``fetch`` only reads, ``scale`` decodes, resizes and encodes files
that lie on this disk (URL is a folder), ``write`` writes a shard of one picture (URL is its file) over and over.
"""

import sys
import time
from pathlib import Path

from pipelines.commons import names
from pipelines.commons.media import Fetched, MediaRequest, MediaResponse, fetch_all
from pipelines.commons.origin import origin
from pipelines.commons.politeness import LocalLeases
from pipelines.releases.shards import gzip_writer, image_shard, pixel_rows
from pipelines.storage.store import Store
from pipelines.vision.pictures import release_picture

_ROWS = 64


def picture(data: bytes) -> bytes:
    """Make the released picture."""
    return release_picture(data, width=300, jpeg_quality=90).data


def fetched(url: str, wanted: list[str], width: int, process, connections: int):  # type: ignore[no-untyped-def]
    """Yield image_url and what `process` made, as files arrive."""
    made = origin(
        "mirror",
        operator_name="benchmark",
        operator_contact="",
        operator_url="",
        media_url=url,
        api_url=f"{url}/w/api.php",
        connections=connections,
    )
    requests = [MediaRequest(name, names.original_url(name), width) for name in wanted]
    leases = LocalLeases(made.connections, made.media_allowance)
    for request, result in fetch_all(requests, made, leases, process):
        if not isinstance(result, Fetched):
            raise SystemExit(f"{request.name}: {result.kind}: {result.detail}")
        yield request.name, result.value


def write(store: Store, pictures) -> None:  # type: ignore[no-untyped-def]
    """Write one shard of pictures, as the pipeline does: base64, tab separated, gzip."""
    with store.write(image_shard("part-00000")) as written, gzip_writer(written) as file:
        held: list[tuple[str, bytes]] = []
        for item in pictures:
            held.append(item)
            if len(held) == _ROWS:
                flush(file, held)
        flush(file, held)


def flush(file, held: list[tuple[str, bytes]]) -> None:  # type: ignore[no-untyped-def]
    urls = [names.original_url(name) for name, _ in held]
    file.write(pixel_rows(urls, [data for _, data in held], [names.file_page_url(name) for name, _ in held]))
    held.clear()


def main() -> None:
    """Run one way and print the seconds that it took, without start-up."""
    way, url, folder, kind, connections = sys.argv[1:]
    wanted = sys.stdin.read().split()
    width = 200 if kind == "original" else 1000  # which of the two is asked for
    store = Store(folder)
    began = time.monotonic()
    if way == "all":

        def process(response: MediaResponse) -> bytes:
            return picture(response.data)

        write(store, fetched(url, wanted, width, process, int(connections)))
    elif way == "fetch":
        for _ in fetched(url, wanted, width, lambda response: None, int(connections)):
            pass
    elif way == "scale":
        place = names.original_path if kind == "original" else lambda name: names.thumbnail_path(name, 330)
        for name in wanted:
            picture((Path(url) / place(name).lstrip("/")).read_bytes())
    elif way == "write":
        body = picture(Path(url).read_bytes())
        write(store, ((name, body) for name in wanted))
    print(time.monotonic() - began)


if __name__ == "__main__":
    main()
