"""What a store holds, for people: its releases, the state of each, and how far an unfinished one has come."""

from collections.abc import Iterator

from pipelines.pipeline import STAGES
from pipelines.releases.notices import read_notice
from pipelines.releases.versions import is_published, latest, read_begun, run_path, versions
from pipelines.storage.store import Store


def describe_store(url: str) -> Iterator[str]:
    """Describe each release in a few lines, oldest first.

    Raises:
        StoreError: the store cannot be read.
    """
    store = Store(url)
    names = versions(store)
    if not names:
        yield f"{store.url}: no releases yet"
    newest = latest(store)
    for version in names:
        begun = read_begun(store, version)
        state = "published" if is_published(store, version) else "not published"
        yield f"{version}  {state}{', latest' if version == newest else ''}  begun {begun.started} by {begun.run}"
        if said := read_notice(store, version).in_words():
            yield f"    ! {said}"
        for stage in STAGES:
            done = store.read_json(run_path(version, f"stages/{stage}.json"))
            if done is None:
                yield f"    {stage:<26} to do"
                break
            counts = ", ".join(f"{name} {count}" for name, count in sorted(done["counts"].items()))
            yield f"    {stage:<26} {counts}"
