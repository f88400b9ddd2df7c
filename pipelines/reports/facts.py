"""The facts of a release, gathered once from what the stages left behind; every document is made of them alone.

The same release gives the same facts, wherever its store is and whatever port a mirror listens on: nothing here names
a path, a host or a moment.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.config import ReleaseConfig
from pipelines.engine.fingerprint import Made, read_made
from pipelines.engine.step import ALL, RELEASES, Context, release_path, shard_keys, table_path
from pipelines.errors import StoreError
from pipelines.quality.collected import open_measurements
from pipelines.quality.partition import RECEIPTS
from pipelines.quality.verdict import read_verdict
from pipelines.releases.versions import MANIFEST
from pipelines.reports.checksums import SUMS
from pipelines.storage.store import Written
from pipelines.tables import (
    CHANGE_FILES,
    CHANGES,
    EMBEDDINGS,
    FACES,
    IMAGES,
    LEDGER,
    NEAR_DUPLICATES,
    PULLED,
    Change,
    Outcome,
    Table,
)
from pipelines.vision.weights import WeightsUsed, weights_used

CARD = "README.md"
CROISSANT = "croissant.json"
REPORT = "report.html"
EMBEDDED_ANEW = "embedded_anew"
"""Named beside the changes of `Change` where it is so of all images."""

_DOCUMENTS = frozenset({CARD, CROISSANT, REPORT, MANIFEST, SUMS})
"""They are made of the facts; what a killed run left of them is none."""


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """A file of the release; `path` is below the release, `rows` is None where a file has none."""

    path: str
    bytes: int
    sha256: str
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Input:
    """A WIT file: its name without what only this machine knows, and what came out of it.

    Its checksum is None where ``max_rows`` stopped before the end of the file.
    """

    name: str
    rows: int
    malformed: int
    without_image_url: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Changes:
    """Images that were added, removed, changed or embedded anew since the release before.

    Args:
        images: how many.
        by: how many of them for what: added, by what they were before; removed, by what they are now; changed, by what
            changed, where one image may count several times; embedded anew, by why.

    """

    images: int
    by: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the documents of a release are made of.

    Args:
        version: name of the release.
        base: name of the release that it follows; empty: it is the first.
        config: its settings.
        inputs: the WIT files.
        caption_rows: WIT rows of the selected images.
        outcomes: images by outcome, every outcome named.
        formats: released pictures by file format.
        licences: released pictures by licence, the most frequent first; "" stands for none stated.
        licence_urls: released pictures by where the text of the licence is, the same way.
        languages: caption rows of released images by language, the most frequent first.
        near_duplicates: released pictures that look like another one.
        models: that were used, with their weights.
        processors: pictures that each model looked at, by the processor and precision that it ran on.
        files: of the release; the documents that are made of these facts are added as they are written.
        embedding_recipe: digest of what the embeddings depend on besides the pictures: model, weights and code. Those
            of two releases can be compared while it is the same.
        changes: since the release before; empty for the first one.
        accepted: warnings in spite of which it is published, name to description.

    """

    version: str
    base: str
    config: ReleaseConfig
    inputs: tuple[Input, ...]
    caption_rows: int
    outcomes: Mapping[str, int]
    formats: Mapping[str, int]
    licences: Mapping[str, int]
    licence_urls: Mapping[str, int]
    languages: Mapping[str, int]
    near_duplicates: int
    models: tuple[WeightsUsed, ...]
    processors: Mapping[str, Mapping[str, int]]
    files: tuple[ReleaseFile, ...]
    embedding_recipe: str = ""
    changes: Mapping[str, Changes] = field(default_factory=dict)
    accepted: Mapping[str, str] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Images considered: each has one outcome."""
        return sum(self.outcomes.values())

    @property
    def released(self) -> int:
        """Pictures in the release."""
        return self.outcomes[Outcome.RELEASED]

    def with_file(self, path: str, written: Written) -> "Facts":
        """Return the facts with a document that was written just now."""
        others = [file for file in self.files if file.path != path]
        file = ReleaseFile(path, written.bytes, written.sha256)
        return replace(self, files=tuple(sorted([*others, file], key=lambda one: one.path)))


def gather(context: Context) -> Facts:
    """Gather the facts of a release whose shards are written and validated.

    Raises:
        StoreError: a table or a file is not there.
        ReleaseError: it was not validated.

    """
    outcomes, formats, licences, licence_urls = _ledger(context)
    embedding_recipe = _made(context, EMBEDDINGS.name, shard_keys(context)[0]).recipe
    return Facts(
        version=context.version,
        base=context.base,
        config=context.config,
        inputs=tuple(_input(context, number, name) for number, name in enumerate(context.config.wit_files)),
        caption_rows=sum(
            _made(context, IMAGES.name, key).counts.get("rows_of_selected_images", 0) for key in shard_keys(context)
        ),
        outcomes={outcome: outcomes[outcome] for outcome in Outcome},
        formats=_most_first(formats),
        licences=_most_first(licences),
        licence_urls=_most_first(licence_urls),
        languages=_languages(context),
        near_duplicates=sum(_made(context, NEAR_DUPLICATES.name, key).rows for key in shard_keys(context)),
        models=tuple(weights_used(name) for name in (context.config.face_model, context.config.embedding_model)),
        processors={
            context.config.face_model: _processors(context, FACES),
            context.config.embedding_model: _processors(context, EMBEDDINGS),
        },
        files=release_files(context),
        embedding_recipe=embedding_recipe,
        changes=_changes(context, outcomes[Outcome.RELEASED], embedding_recipe),
        accepted=_accepted(context),
    )


def _changes(context: Context, released: int, embedding_recipe: str) -> dict[str, Changes]:
    if not context.base:
        return {}
    images: Counter[str] = Counter()
    by: dict[str, Counter[str]] = {change: Counter() for change in Change}
    for key in shard_keys(context):
        with context.store.open(table_path(CHANGES.name, key)) as file:
            rows = pq.read_table(file, columns=["change", "what", "outcome_before", "outcome"]).to_pylist()
        for row in rows:
            images[row["change"]] += 1
            why = {
                Change.ADDED: [row["outcome_before"] or "new"],
                Change.REMOVED: [row["outcome"] or "no longer in WIT"],
                Change.CHANGED: row["what"],
            }
            by[row["change"]].update(why[Change(row["change"])])
    changes: dict[str, Changes] = {change: Changes(images[change], _most_first(by[change])) for change in Change}
    before = context.store.read_json(release_path(context.base, MANIFEST)).get("embedding_recipe", embedding_recipe)
    if before != embedding_recipe:  # which changes/ cannot tell: it is about images
        kept = released - images[Change.ADDED]
        changes[EMBEDDED_ANEW] = Changes(kept, {"another model, other weights or code": kept})
    return changes


def _accepted(context: Context) -> dict[str, str]:
    if not context.config.accept:
        return {}
    return {one.name: one.description for one in read_verdict(context.store, context.version).warnings}


def release_files(context: Context) -> tuple[ReleaseFile, ...]:
    """Return the files of a release, but for the documents that are made of the facts, sorted by path.

    Checksums of shards are those that their writers noted; validation has compared them with the files themselves.

    Raises:
        StoreError: a shard is not there.

    """
    receipts: dict[str, ReleaseFile] = {}
    written = [(table, key) for table in RECEIPTS for key in shard_keys(context)]
    for table, key in [*written, (CHANGE_FILES, ALL)]:
        with context.store.open(table_path(table.name, key)) as file:
            receipts |= {row["path"]: ReleaseFile(**row) for row in pq.read_table(file).to_pylist()}
    prefix = release_path(context.version, "")
    found = {path.removeprefix(prefix) for path in context.store.files(f"{RELEASES}/{context.version}")}
    for path in sorted(receipts.keys() - found):
        raise StoreError(f"{context.store.locate(prefix + path)} is not there; run write_shards and embed_images again")
    return tuple(receipts.get(path) or _read(context, path) for path in sorted(found - _DOCUMENTS))


def _read(context: Context, path: str) -> ReleaseFile:
    where = release_path(context.version, path)
    return ReleaseFile(path, context.store.size(where), context.store.sha256(where))


def _made(context: Context, table: str, key: str) -> Made:
    path = table_path(table, key)
    made = read_made(context.store, path)
    if made is None:
        raise StoreError(f"{context.store.locate(path)} is not there; run the stage that makes it first")
    return made


def _input(context: Context, number: int, name: str) -> Input:
    key = f"file-{number:05d}"
    made = _made(context, PULLED.name, key)
    with context.store.open(table_path(PULLED.name, key)) as file:
        (sha256,) = pq.read_table(file, filters=pc.field("partition").is_null()).column("sha256").to_pylist()
    return Input(
        name=public_name(name),
        rows=made.counts.get("rows_read", 0),
        malformed=made.counts.get("rows_malformed", 0),
        without_image_url=made.counts.get("rows_without_image_url", 0),
        sha256=sha256,
    )


def public_name(path: str) -> str:
    """Return a path or URL without folders of this machine, credentials and queries.

    ``/home/me/a.tsv`` gives ``a.tsv``; ``https://me:secret@host/x/a.tsv?token=1`` gives ``https://host/x/a.tsv``.
    """
    parts = urlsplit(path)
    if "://" not in path or parts.scheme == "file":
        return PurePosixPath(parts.path if parts.scheme == "file" else path).name
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def _ledger(context: Context) -> tuple[Counter[str], ...]:
    """Return images by outcome; and released pictures by format, licence and URL of the licence."""
    columns = ("format", "licence", "licence_url")
    outcomes, *counters = (Counter[str]() for _ in ("outcome", *columns))
    for key in shard_keys(context):
        outcomes.update(_made(context, LEDGER.name, key).counts)
        with context.store.open(table_path(LEDGER.name, key)) as file:
            table = pq.read_table(file, columns=["outcome", *columns])
        released = table.filter(pc.equal(table.column("outcome"), Outcome.RELEASED))
        for name, counter in zip(columns, counters, strict=True):
            _count(counter, released.column(name))
    return outcomes, *counters


def _processors(context: Context, table: Table) -> Mapping[str, int]:
    counter: Counter[str] = Counter()
    for key in shard_keys(context):
        counter.update(_made(context, table.name, key).counts)
    return _most_first(counter)


def _count(counter: Counter[str], column: pa.ChunkedArray) -> None:
    for value in pc.value_counts(pc.fill_null(column, "")).to_pylist():
        counter[value["values"]] += value["counts"]


def _languages(context: Context) -> Mapping[str, int]:
    counter: Counter[str] = Counter()
    with open_measurements(context.store, context.version) as file:
        measured = pq.read_table(
            file, columns=["language", "language_rows"], filters=pc.field("about") == "language"
        ).to_pylist()
    for row in measured:
        counter[row["language"] or ""] += row["language_rows"]
    return _most_first(counter)


def _most_first(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))
