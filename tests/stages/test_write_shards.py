"""write_shards: shards of the released pictures alone, and what looks alike in all of them."""

import hashlib
import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.commons.names import file_page_url, original_url
from pipelines.commons.politeness import LocalLeases
from pipelines.engine.partition import Receipt, make_partition
from pipelines.engine.step import Context, Step, release_path
from pipelines.releases import shards
from pipelines.stages.write_shards import FIND_NEAR_DUPLICATES, FIND_SIMILAR, HASH, WRITE_CHANGES, WRITE_PIXELS
from pipelines.storage.store import Store
from pipelines.tables import CHANGES, FETCHED, KEY, LEDGER, NEAR_DUPLICATES, PHASHES, PIXELS, SIMILAR, Change, Outcome
from tests.stages.making import context, nulls, read_table, rows_of, write_table

PARTITIONS = 4


def picture(seed: int, quality: int = 90) -> bytes:
    """Draw soft spots; the same ones for the same seed."""
    spots = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    image = Image.fromarray(spots).resize((300, 225), Image.Resampling.BICUBIC)
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


SHOWN = {
    0: {"B.jpg": picture(1), "D.jpg": picture(2)},
    1: {"A.jpg": picture(1, quality=70), "F.jpg": picture(3)},
    2: {"C.jpg": picture(1, quality=80)},
    3: {"Flat.jpg": b""},
}


def flat() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (300, 200), "navy").save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def this(store: Store) -> Context:
    made = context(store, partitions=PARTITIONS)
    for partition, pictures in SHOWN.items():
        fill(made, partition, {name: data or flat() for name, data in pictures.items()})
    return made


def fill(this: Context, partition: int, pictures: dict[str, bytes], dropped: tuple[str, ...] = ()) -> None:
    pixels, ledger = [], []
    for name in sorted(pictures, key=original_url):
        url, digest = original_url(name), hashlib.sha256(pictures[name]).hexdigest()
        released = name not in dropped
        pixels.append({KEY: url, "status": FETCHED, "sha256": digest, "image": pictures[name]})
        outcome = Outcome.RELEASED if released else Outcome.FACE
        ledger.append(
            {KEY: url, "outcome": outcome, "image_sha256": digest if released else None}
            | {"metadata_url": file_page_url(name)}
        )
    write_table(this, PIXELS, rows_of(PIXELS, pixels), f"part-{partition:05d}")
    write_table(this, LEDGER, rows_of(LEDGER, ledger), f"part-{partition:05d}")


def run(this: Context, step: Step) -> list[Receipt]:
    return [make_partition(this, step, key, lambda rows: None, lambda kind: LocalLeases(1)) for key in step.keys(this)]


def near_duplicates(this: Context) -> dict[str, str]:
    for step in (HASH, FIND_SIMILAR, FIND_NEAR_DUPLICATES):
        run(this, step)
    rows = read_table(this, NEAR_DUPLICATES).to_pylist()
    return {name_of(row[KEY]): name_of(row["near_duplicate_of"]) for row in rows}


def name_of(url: str) -> str:
    return url.rsplit("/", 1)[-1]


def test_copies_are_found_in_whatever_shards_they_are(this: Context) -> None:
    first, *others = sorted(["A.jpg", "B.jpg", "C.jpg"], key=original_url)
    assert near_duplicates(this) == dict.fromkeys(others, first)


def test_each_partition_holds_its_own(this: Context) -> None:
    near_duplicates(this)
    for index in range(PARTITIONS):
        with this.store.open(f"work/{NEAR_DUPLICATES.name}/part-{index:05d}.parquet") as file:
            urls = pq.read_table(file).column(KEY).to_pylist()
        assert {name_of(url) for url in urls} <= set(SHOWN[index])


def test_a_flat_surface_has_no_hash_and_no_duplicates(this: Context) -> None:
    fill(this, 2, {"C.jpg": flat()})
    assert "Flat.jpg" not in near_duplicates(this)
    hashes = {name_of(row[KEY]): row["phash"] for row in read_table(this, PHASHES).to_pylist()}
    assert hashes["Flat.jpg"] is None
    assert hashes["D.jpg"] is not None


def test_a_dropped_picture_is_neither_hashed_nor_a_duplicate(this: Context) -> None:
    fill(this, 0, SHOWN[0], dropped=("B.jpg",))
    found = near_duplicates(this)
    assert "B.jpg" not in {*found, *found.values()}
    assert len(found) == 1


def test_another_partitions_change_leaves_the_rest_as_it_is(this: Context) -> None:
    near_duplicates(this)
    fill(this, 3, {"Flat.jpg": flat(), "New.jpg": picture(9)})
    assert [receipt.skipped for receipt in run(this, HASH)] == [True, True, True, False]
    assert [receipt.skipped for receipt in run(this, FIND_SIMILAR)] == [False]
    assert [receipt.skipped for receipt in run(this, FIND_NEAR_DUPLICATES)] == [True, True, True, False]


def test_a_release_without_pictures_has_no_duplicates(store: Store) -> None:
    this = context(store, partitions=1)
    fill(this, 0, {})
    assert near_duplicates(this) == {}
    with this.store.open(f"work/{SIMILAR.name}/all.parquet") as file:
        assert pq.read_table(file).num_rows == 0


def test_pixel_shards_hold_the_released_pictures_in_the_order_of_their_urls(this: Context) -> None:
    fill(this, 0, SHOWN[0], dropped=("B.jpg",))
    run(this, WRITE_PIXELS)
    found = {}
    for index in range(PARTITIONS):
        path = release_path(this.version, shards.image_shard(f"part-{index:05d}"))
        with this.store.open(path) as file:
            rows = list(shards.read_pixels(file))
        assert [row.url for row in rows] == sorted(row.url for row in rows)
        found |= {name_of(row.url): row for row in rows}
    assert set(found) == {"A.jpg", "C.jpg", "D.jpg", "F.jpg", "Flat.jpg"}
    assert found["D.jpg"].picture == SHOWN[0]["D.jpg"]
    assert found["D.jpg"].page == file_page_url("D.jpg")


CHANGED_IN_EACH = 16_000


@pytest.fixture
def changed(store: Store) -> tuple[Context, pa.Table]:
    """Give a release in which most of many images changed, and its changes in the order of their URLs."""
    this = replace(context(store, partitions=PARTITIONS), base="2025.12.01")
    parts = []
    for index in range(PARTITIONS):
        digests = [hashlib.sha256(f"{index} {number}".encode()).hexdigest() for number in range(CHANGED_IN_EACH)]
        urls = pa.array(sorted(original_url(f"{digest}.jpg") for digest in digests))
        kinds = pa.array([Change.ADDED if url[-5] == "0" else Change.CHANGED for url in urls.to_pylist()])
        what = pa.array([["picture"]] * len(urls), CHANGES.schema.field("what").type)
        columns = {KEY: urls, "change": kinds, "what": what, "reason": pc.binary_repeat(urls, 12)}
        parts.append(nulls(CHANGES, **columns))
        write_table(this, CHANGES, parts[-1], f"part-{index:05d}")
    return this, pa.concat_tables(parts).sort_by(KEY)


def test_changes_are_one_list_of_each_kind_in_the_order_of_their_urls(changed: tuple[Context, pa.Table]) -> None:
    this, every = changed
    run(this, WRITE_CHANGES)
    for change in Change:  # nothing was removed
        whole = pa.BufferOutputStream()
        of_it = every.filter(pc.equal(every.column("change"), change)).drop_columns("change")
        pq.write_table(of_it, whole, compression="ZSTD", row_group_size=8192)
        with this.store.open(release_path(this.version, f"changes/{change}.parquet")) as file:
            assert file.read() == whole.getvalue().to_pybytes(), change


def test_what_changed_is_never_whole_in_memory(changed: tuple[Context, pa.Table]) -> None:
    this, every = changed
    pool = pa.default_memory_pool()
    measured = pa.proxy_memory_pool(pool)
    pa.set_memory_pool(measured)
    try:
        run(this, WRITE_CHANGES)
    finally:
        pa.set_memory_pool(pool)
    assert 0 < measured.max_memory() < every.nbytes
