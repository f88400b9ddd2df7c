"""pull_rows beside readers of CSV: ``python -m tests.benchmarks.wit_rows [--rows 400000] [--files 2]``.

All read the same made-up WIT files in one run. ``zcat | wc -l`` only inflates; DuckDB and Polars parse, and add up the
bytes of every column, which touches each cell; ``read_wit`` parses and checks; ``pull_rows`` does all that
is to be done with the rows: it finds out each image's file, digests the rows, deals them out to 200 partitions (so far
``deal_out``) and makes one row of each image with a caption, over as many workers as there are cores. "Polars, dealing
out" is the peer of ``deal_out``: it writes the rows to 200 files as well, packed with LZ4, by a hash of the URL as it
stands, without digests and checks.

Whether a reader is right is told by the standard library's csv module: rows, bytes and nulls of every column. Polars is
installed into an environment of its own on first use. Take the ratios, not the figures.
"""

import argparse
import csv
import json
import logging
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pyarrow.compute as pc

from pipelines.config import ReleaseConfig
from pipelines.engine.cluster import open_client
from pipelines.engine.run import run_step
from pipelines.stages.pull_rows import STEPS
from pipelines.storage.store import Store
from pipelines.tables import WIT_COLUMNS
from pipelines.wit import read_wit
from tests.benchmarks.fetch import Cost, measured
from tests.benchmarks.fetch_servers import CACHE
from tests.benchmarks.synthetic_wit import Wit
from tests.stages.making import context

_ROWS_PER_IMAGE = 37 / 11.5
_POLARS = "polars==2.1.0"
_EXACT = tuple(
    name for name in WIT_COLUMNS if not name.startswith(("original_", "is_", "attribution_", "page_changed"))
)
"""Columns that every reader leaves as they are."""

_DEALS = "Polars, dealing out"
_PEER = {
    "DuckDB": """
        import duckdb
        duckdb.sql(f"SET threads = {threads}; SET enable_progress_bar = false")
        columns = ", ".join(f"sum(strlen({name})), count({name})" for name in names)
        found = [int(value) for value in duckdb.sql(
            f"SELECT count(*), {columns} FROM read_csv({files}, delim='\\t', header=true, quote='\\"', escape='\\"', "
            f"all_varchar=true, max_line_size=4000000)"
        ).fetchall()[0]]
    """,
    "Polars": """
        import os
        os.environ["POLARS_MAX_THREADS"] = str(threads)
        import polars as pl
        rows = pl.scan_csv(files, separator="\\t", quote_char='"', infer_schema=False)
        wanted = [pl.len().alias("rows")]
        for name in names:
            wanted += [pl.col(name).str.len_bytes().sum().alias(name), pl.col(name).count().alias(f"{name}_count")]
        found = list(rows.select(wanted).collect(engine="streaming").row(0))
    """,
    _DEALS: """
        import os
        os.environ["POLARS_MAX_THREADS"] = str(threads)
        import polars as pl
        rows = pl.scan_csv(files, separator="\t", quote_char='"', infer_schema=False)
        parts = pl.PartitionBy(store, key=(pl.col("image_url").hash() % 200).alias("part"), include_key=False)
        rows.sink_ipc(parts, compression="lz4", mkdir=True, engine="streaming")
        found = {"rows_read": pl.scan_ipc(f"{store}/**/*.ipc").select(pl.len()).collect().item()}
    """,
}


def main() -> None:
    """Write the files, run everything over them, print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.wit_rows", description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=400_000, help="37,000,000 are all of WIT's")
    parser.add_argument("--files", type=int, default=2)
    parser.add_argument("--without", nargs="*", default=[], help="peers to leave out")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--paths", nargs="*", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        _WAYS[options.way]([str(path) for path in options.paths], options.store)
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), options.rows, options.files, options.without)


def compare(folder: Path, rows: int, files: int, without: list[str]) -> None:
    paths, size = _write(folder / "all", rows, files)
    few, _ = _write(folder / "few", 10 * files, files)
    packed = sum(path.stat().st_size for path in paths)
    print(f"{rows:,} rows in {files} files: {size / 1e6:,.0f} MB of TSV, {packed / 1e6:,.0f} MB gzipped\n")
    print("| way | MB/s of TSV | MB/s of gz | CPU s | … of which start-up | TSV MB per CPU s | peak MB | right |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |", flush=True)
    truth = json.loads(measured([*_ours("csv"), "--paths", *map(str, paths)]).said)
    starting = _commands(few, folder / "few", without)
    rates: dict[str, tuple[float, float]] = {}
    for name, command in _commands(paths, folder / "all", without).items():
        start, cost = measured(starting[name]), measured(command)
        right = _is_right(name, cost, truth)
        mb_per_cpu = size / 1e6 / max(cost.cpu - start.cpu, 0.01)
        if right != "no":
            rates[name] = size / 1e6 / cost.wall, mb_per_cpu
        print(
            f"| {name} | {size / 1e6 / cost.wall:.0f} | {packed / 1e6 / cost.wall:.0f} | {cost.cpu:.1f} "
            f"| {start.cpu:.1f} | {mb_per_cpu:.0f} | {cost.memory / 1e6:,.0f} | {right} |",
            flush=True,
        )
    for unit, what in enumerate(("by the clock", "by CPU time less start-up")):
        fastest = max((rates[name][unit], name) for name in rates if name in _PEER and name != _DEALS)
        shown = ", ".join(f"{way} {rates[way][unit] / fastest[0]:.2f}" for way in ("read_wit", "deal_out", "pull_rows"))
        print(f"\nOf the fastest reader that parses it correctly ({fastest[1]}), {what}: {shown}")
        if _DEALS in rates:
            print(f"Of {_DEALS}, {what}: deal_out {rates['deal_out'][unit] / rates[_DEALS][unit]:.2f}")
    print(f"\nload average at the end: {os.getloadavg()[0]:.1f}")


def _write(folder: Path, rows: int, files: int) -> tuple[list[Path], int]:
    folder.mkdir()
    wit = Wit(rows, max(1, round(rows / _ROWS_PER_IMAGE)))
    paths = [folder / f"wit-{number}.tsv.gz" for number in range(files)]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return paths, sum(pool.map(wit.write, paths, range(files), [files] * files))


def _commands(paths: list[Path], folder: Path, without: list[str]) -> dict[str, list[str]]:
    listed = " ".join(map(str, paths))
    found = {"zcat, wc -l": ["bash", "-c", f"zcat {listed} | wc -l"]}
    threads = len(os.sched_getaffinity(0))
    for name, program in _PEER.items():
        if name in without:
            continue
        store = str(folder / "polars")
        given = f"names, files, threads, store = {_EXACT!r}, {[str(path) for path in paths]!r}, {threads}, {store!r}"
        text = f"import json\n{given}\n{textwrap.dedent(program)}\nprint(json.dumps(found))"
        found[name] = [str(sys.executable if name == "DuckDB" else polars()), "-c", text]
    for way in ("read_wit", "deal_out", "pull_rows"):
        found[way] = [*_ours(way), "--store", str(folder / way), "--paths", *map(str, paths)]
    return found


def _ours(way: str) -> list[str]:
    return [sys.executable, "-m", "tests.benchmarks.wit_rows", "--way", way]


def polars() -> Path:
    """Return the Python of an environment that holds Polars, made on first use."""
    python = CACHE / _POLARS / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(CACHE / _POLARS)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", _POLARS], check=True)
    return python


def _is_right(name: str, cost: Cost, truth: Mapping[str, list[int]]) -> str:
    if name == "zcat, wc -l":
        return "does not parse"
    said = json.loads(cost.said.splitlines()[-1])
    if isinstance(said, dict):
        return "yes" if said == {key: truth[key] for key in said} else "no"
    return "yes" if said == truth["cells"] else "no"


# What runs in a process of its own: each prints what it found


def by_the_standard_library(paths: list[str], store: str) -> None:
    import gzip

    csv.field_size_limit(sys.maxsize)
    rows, sizes, counts = 0, dict.fromkeys(WIT_COLUMNS, 0), dict.fromkeys(WIT_COLUMNS, 0)
    captioned: set[str] = set()
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
            for row in csv.DictReader(text, delimiter="\t"):
                rows += 1
                for name, cell in row.items():
                    sizes[name] += len(cell.encode())
                    counts[name] += cell != ""
                if row["caption_reference_description"].strip():
                    captioned.add(_image(row["image_url"]))
    selected = len(captioned)
    cells = [rows, *(value for name in _EXACT for value in (sizes[name], counts[name]))]
    print(json.dumps({"cells": cells, "rows_read": rows, "images": selected}))


def _image(url: str) -> str:
    return url.rpartition("/")[2].replace("%C3%89", "É")


def by_read_wit(paths: list[str], store: str) -> None:
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        parts = list(pool.map(_read, paths))
    print(json.dumps([sum(values) for values in zip(*parts, strict=True)]))


def _read(path: str) -> list[int]:
    cells = [0] * (1 + 2 * len(_EXACT))
    for batch in read_wit(path):
        found = [batch.rows.num_rows]
        for name in _EXACT:
            column = batch.rows.column(name)
            found += [pc.sum(pc.binary_length(column)).as_py() or 0, len(column) - column.null_count]
        cells = [old + new for old, new in zip(cells, found, strict=True)]
    return cells


def by_pull_rows(paths: list[str], store: str, steps: int = len(STEPS)) -> None:
    logging.getLogger("pipelines").setLevel(logging.WARNING)
    this = context(Store(store), *paths, partitions=200)
    with open_client(ReleaseConfig.parse(this.config.model_dump())) as client:
        done = [run_step(client, this, step) for step in STEPS[:steps]]
    found = {"rows_read": done[0].counts["rows_read"]}
    if steps == len(STEPS):
        found["images"] = done[-1].rows
    print(json.dumps(found))


def by_dealing_out(paths: list[str], store: str) -> None:
    by_pull_rows(paths, store, steps=1)


_WAYS = {
    "csv": by_the_standard_library,
    "read_wit": by_read_wit,
    "deal_out": by_dealing_out,
    "pull_rows": by_pull_rows,
}


if __name__ == "__main__":
    main()
