"""Reads a release, for those who download it: rows, images, embeddings, captions and the ledger, lazily.

    from pipelines.releases.reader import open_release

    release = open_release("https://… or s3://… or a folder")
    for image in release.images():
        image.url, image.picture
    for row in release.rows(languages=["de"]):
        row.url, row.picture, row.embedding, row.captions

Everything is read shard by shard as it is asked for, so memory stays small whatever the size of the release. The
manifest says which shards there are: those that were withdrawn are passed over, and the warning on opening says so; one
that a copy lacks otherwise is an error, not a smaller release. The same code reads the files of the 2021 release,
which have the same columns.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import IO, Any, TypeVar

import numpy as np
import pyarrow.parquet as pq

from pipelines.errors import NotThere, ReleaseError
from pipelines.releases import shards
from pipelines.releases.changes import changes_file
from pipelines.releases.notices import Notice, notice_beside, warn_if_superseded
from pipelines.releases.shards import PixelRow
from pipelines.releases.versions import MANIFEST
from pipelines.storage.store import Store
from pipelines.tables import KEY, Change, Outcome

T = TypeVar("T")

_REMOVED = (Outcome.TAKEN_DOWN, Outcome.DELETION_CANDIDATE, Outcome.MISSING)


@dataclass(frozen=True, slots=True)
class Row:
    """An image and all that the release has of it.

    Args:
        url: of the original; it is the key of every file.
        page: the file page on Commons.
        picture: JPEG or PNG.
        embedding: (2048,) float32.
        captions: its WIT rows, column to text; empty text where WIT has none.

    """

    url: str
    page: str
    picture: bytes
    embedding: np.ndarray
    captions: tuple[dict[str, str], ...]


class Release:
    """A release, opened for reading. Made by `open_release`, which says what `whole` is."""

    def __init__(
        self, store: Store, manifest: dict[str, Any], notice: Notice | None = None, *, whole: bool = True
    ) -> None:
        self._store = store
        self._whole = whole
        self.manifest = manifest
        self.notice = notice or Notice(self.version)
        """What was said of it after its publication: whether another one is to be used, and what was withdrawn."""

    @property
    def version(self) -> str:
        """Its name; empty for files that came without a manifest."""
        return str(self.manifest.get("version", ""))

    def _files(self, path: str) -> list[str]:
        """Return the files that the release has below a path, or of that name."""
        if not self._whole:
            return [file for file in self._store.files(path) if not file.rsplit("/", 1)[-1].startswith((".", "_"))]
        withdrawn = {one.path for one in self.notice.withdrawn}
        return sorted(file for file in self.manifest["files"].keys() - withdrawn if f"{file}/".startswith(f"{path}/"))

    def _rows(self, path: str, read: Callable[[IO[bytes]], Iterator[T]]) -> Iterator[T]:
        for name in self._files(path):
            with self._open(name) as file:
                try:
                    yield from read(file)
                except shards.DAMAGE as error:
                    raise ReleaseError(f"{self._store.locate(name)}: {error}") from error

    def _open(self, name: str) -> IO[bytes]:
        try:
            return self._store.open(name)
        except NotThere as error:
            raise ReleaseError(
                f"{error}, so this is no whole copy of release {self.version}. python -m pipelines verify says what "
                f"else it lacks, and sync brings it; open_release(…, published=False) reads what there is"
            ) from None

    def images(self) -> Iterator[PixelRow]:
        """Yield every picture, shard by shard.

        Raises:
            ReleaseError: a shard is missing or damaged; names file and line.

        """
        return self._rows(shards.PIXELS_FOLDER, shards.read_pixels)

    def embeddings(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield URL and embedding, (2048,) float32, of every picture, shard by shard.

        Raises:
            ReleaseError: a shard is missing or damaged; names file and line.

        """
        return self._rows(shards.EMBEDDINGS_FOLDER, shards.read_embeddings)

    def captions(self, languages: Collection[str] | None = None) -> Iterator[dict[str, str]]:
        """Yield the WIT rows of the released images: column to text, empty where WIT has none.

        Args:
            languages: WIT's codes of the languages that are wanted; None: all.

        Raises:
            ReleaseError: a shard is missing or damaged; names the file.

        """
        for row in self._rows(shards.CAPTIONS_FOLDER, shards.read_captions):
            if languages is None or row["language"] in languages:
                yield row

    def ledger(self, outcomes: Collection[str] | None = None) -> Iterator[dict[str, Any]]:
        """Yield what became of each image that was considered.

        Args:
            outcomes: those that are wanted; None: all.

        """
        for row in self._rows(shards.LEDGER_FOLDER, _read_table):
            if outcomes is None or row["outcome"] in outcomes:
                yield row

    def removals(self) -> Iterator[dict[str, Any]]:
        """Yield the ledger's rows of images that are gone, or that somebody wants to be gone, with the reason."""
        return self.ledger(_REMOVED)

    def changes(self, change: Change | str) -> Iterator[dict[str, Any]]:
        """Yield the images that were added, removed or changed since the release before, with the reason.

        Args:
            change: ``added``, ``removed`` or ``changed``.

        Raises:
            ValueError: it is none of these.

        """
        return self._rows(changes_file(Change(change)), _read_table)  # the first release has no such file

    def rows(self, languages: Collection[str] | None = None) -> Iterator[Row]:
        """Yield every image with its embedding and its captions.

        Args:
            languages: of the captions; images without a caption in one of them are left out. None: all.

        Raises:
            ReleaseError: the folders have different images, or a shard is missing or damaged.

        """
        by_url = itemgetter(KEY)
        captions = groupby(self.captions(languages), key=by_url)
        captioned = next(captions, None)
        embeddings = self.embeddings()
        for image in self.images():
            url, embedding = next(embeddings, ("", np.empty(0)))
            if url != image.url:
                raise ReleaseError(f"{self._store.url}: {image.url} has no embedding at its place")
            if captioned is not None and captioned[0] == image.url:
                yield Row(url, image.page, image.picture, embedding, tuple(captioned[1]))
                captioned = next(captions, None)
        if captioned is not None:
            raise ReleaseError(f"{self._store.url}: {captioned[0]} has captions and no picture, or at another place")


def _read_table(file: IO[bytes]) -> Iterator[dict[str, Any]]:
    for batch in pq.ParquetFile(file).iter_batches(batch_size=1024):
        yield from batch.to_pylist()


def open_release(url: str, *, published: bool = True) -> Release:
    """Open a release. Warns (`notices.ReleaseSuperseded`) if it holds what was taken down since, or did.

    Args:
        url: of the release's folder: a path, or any URL that fsspec knows.
        published: it must have a manifest, as every finished release has, and all that this names; False reads what is
            there, be it the 2021 release's or some of the shards.

    Raises:
        ReleaseError: it has no manifest.
        StoreError: it cannot be read.

    """
    store = Store(url)
    manifest = store.read_json(MANIFEST)
    if manifest is None and published:
        raise ReleaseError(f"{store.url} is no finished release: it has no {MANIFEST}")
    notice = notice_beside(store)
    warn_if_superseded(notice)
    return Release(store, manifest or {}, notice, whole=published)
