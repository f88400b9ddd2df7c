"""One table of all measurements: what the expectations are held against, and what the report draws from."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pandas.util import hash_array

from pipelines.engine.step import Context, release_path, table_path
from pipelines.quality.drift import Drift, Summed, compare, sum_up
from pipelines.quality.measured import File, as_tables
from pipelines.quality.partition import measured_paths
from pipelines.releases import joined, shards
from pipelines.releases.versions import run_path
from pipelines.storage.store import Store
from pipelines.tables import KEY, MEASUREMENTS

_FOLDERS = (
    shards.LEDGER_FOLDER,
    shards.PIXELS_FOLDER,
    shards.EMBEDDINGS_FOLDER,
    shards.CAPTIONS_FOLDER,
    joined.FOLDER,
)
_ENOUGH_ROWS = 100
"""Rows in a shard from which on its size says something: below, chance alone moves it by tens of percent."""


def measurements_path(version: str) -> str:
    """Return where the measurements of a release are kept in the store."""
    return run_path(version, "measurements.parquet")


def open_measurements(store: Store, version: str) -> IO[bytes]:
    """Open the measurements of a release.

    Raises:
        StoreError: it was not validated.

    """
    return store.open(measurements_path(version))


def kept_summary(store: Store, version: str) -> Summed | None:
    """Return a release summed up as it was when it was validated; None: nothing is kept of that."""
    kept = store.read_json(_summary_path(version))
    if kept is not None:
        return Summed.from_json(kept)
    if not store.exists(measurements_path(version)):
        return None
    with open_measurements(store, version) as file:  # an earlier program kept nothing else
        return sum_up([file])


def _summary_path(version: str) -> str:
    return run_path(version, "summary.json")


def collect(context: Context, keys: Sequence[str]) -> int:
    """Bring the measurements of all partitions together, add what only shows over all of them, and keep their summary.

    Args:
        context: of the run.
        keys: the partitions.

    Returns:
        Rows of the table.

    """
    means = _mean_sizes(context, keys)
    scattered = _scattered(context, keys)
    summed = _summed(context, keys)
    context.store.write_json(_summary_path(context.version), summed.as_json())
    with (
        context.store.write(measurements_path(context.version)) as written,
        pq.ParquetWriter(pa.PythonFile(written.file, mode="w"), MEASUREMENTS.schema, compression="ZSTD") as sink,
    ):
        for key in keys:
            with context.store.open(table_path(MEASUREMENTS.name, key)) as file:
                for batch in pq.ParquetFile(file, pre_buffer=False).iter_batches():
                    table = _with_size_ratio(pa.Table.from_batches([batch]), means)
                    table = _with_partitions_of_url(table, scattered)
                    sink.write_table(table)
                    written.rows += table.num_rows
        for table in (*as_tables(_strays(context, keys), ""), *as_tables(_drift(context, summed), "")):
            sink.write_table(table)
            written.rows += table.num_rows
    return written.rows


def _drift(context: Context, summed: Summed) -> list[Drift]:
    """Compare the release with the one that it follows, where what was measured of that one is known."""
    before = kept_summary(context.store, context.base) if context.base else None
    return [] if before is None else compare(before, summed, context.config.drift_fewest_images)


def _summed(context: Context, keys: Sequence[str]) -> Summed:
    def files() -> Iterator[IO[bytes]]:
        for key in keys:
            with context.store.open(table_path(MEASUREMENTS.name, key)) as file:
                yield file

    return sum_up(files())


def _mean_sizes(context: Context, keys: Sequence[str]) -> dict[str, float]:
    """Return the mean size in bytes of each folder's files, where there are enough rows in them."""
    rows: Counter[str] = Counter()
    sizes: defaultdict[str, list[int]] = defaultdict(list)
    for key in keys:
        with context.store.open(table_path(MEASUREMENTS.name, key)) as file:
            files = pq.read_table(file, columns=["folder", "rows", "bytes"], filters=pc.field("about") == "file")
        for measured in files.to_pylist():
            rows[measured["folder"]] += measured["rows"] or 0
            sizes[measured["folder"]] += [measured["bytes"]] if measured["bytes"] is not None else []
    return {
        folder: sum(values) / len(values)
        for folder, values in sizes.items()
        if values and rows[folder] >= _ENOUGH_ROWS * len(keys)
    }


def _with_size_ratio(table: pa.Table, means: dict[str, float]) -> pa.Table:
    ratios = [
        size / means[folder] if size is not None and folder in means else None
        for folder, size in zip(table.column("folder").to_pylist(), table.column("bytes").to_pylist(), strict=True)
    ]
    return _filled(table, "size_ratio", ratios)


def _filled(table: pa.Table, name: str, values: Sequence[float | None]) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(place), pa.array(values, table.schema.field(place).type))


def _urls(context: Context, keys: Sequence[str]) -> Iterator[np.ndarray]:
    """Yield the URLs of each partition's images; each is there once."""
    for key in keys:
        with context.store.open(table_path(MEASUREMENTS.name, key)) as file:
            urls = pq.read_table(file, columns=[KEY]).column(KEY)
        yield urls.drop_null().to_numpy()


def _scattered(context: Context, keys: Sequence[str]) -> Counter[str]:
    """Return the URLs that stand in several partitions, and in how many.

    They are looked for by hashes of eight bytes, and then looked at: six million URLs and a table of them would take
    more than a gigabyte.
    """
    hashes = np.sort(np.concatenate([hash_array(urls) for urls in _urls(context, keys)]))
    seen_again = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    counts: Counter[str] = Counter()
    if len(seen_again):
        for urls in _urls(context, keys):
            counts.update(urls[np.isin(hash_array(urls), seen_again)].tolist())
    return Counter({url: count for url, count in counts.items() if count > 1})


def _with_partitions_of_url(table: pa.Table, scattered: Mapping[str, int]) -> pa.Table:
    urls = table.column(KEY).to_pylist()
    return _filled(table, "partitions_of_url", [None if url is None else scattered.get(url, 1) for url in urls])


def _strays(context: Context, keys: Sequence[str]) -> list[File]:
    """Return the files in the release's folders that no stage wrote."""
    expected = {release_path(context.version, path) for key in keys for path in measured_paths(key)}
    prefix = release_path(context.version, "")
    found = [
        path
        for folder in _FOLDERS
        for path in context.store.files(release_path(context.version, folder))
        if path not in expected
    ]
    return [
        File(path.removeprefix(prefix), path.removeprefix(prefix).split("/")[0], present=True, expected=False)
        for path in found
    ]
