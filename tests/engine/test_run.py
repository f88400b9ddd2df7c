"""The engine: what is done is not done again, what is half done goes on, and what comes out does not depend on it."""

import pytest
from distributed import Client

from pipelines.engine.run import Summary, run_step
from pipelines.errors import InputError, StageFailed, StoreError
from pipelines.storage.store import Store
from tests.engine import steps


@pytest.fixture(autouse=True)
def _twenty_numbers() -> None:
    steps.reset(20)


def run_all(client: Client, store: Store, **settings: object) -> list[Summary]:
    context = steps.context(store, **settings)
    return [run_step(client, context, step) for step in steps.STEPS]


def content(store: Store) -> dict[str, str]:
    return {path: store.sha256(path) for path in store.files("")}


def test_every_partition_is_made_and_its_files_are_in_the_release(client: Client, store: Store) -> None:
    made, squared, written = run_all(client, store)
    assert (made.partitions, made.rows, squared.rows, written.rows) == (2, 20, 20, 2)
    assert squared.counts == {"done": 20}
    with store.open("releases/2026.01.01/squares/part-00001.txt") as file:
        assert file.read().split() == [str(number**2).encode() for number in range(1, 20, 2)]


def test_a_second_run_makes_nothing_and_changes_nothing(client: Client, store: Store) -> None:
    first = run_all(client, store)
    before = content(store)
    again = run_all(client, store)
    assert [summary.skipped for summary in again] == [2, 2, 2]
    assert [summary.fresh for summary in again] == [0, 0, 0]
    assert [summary.counts for summary in again] == [summary.counts for summary in first]
    assert content(store) == before


def test_two_stores_get_the_same_bytes(client: Client, store: Store, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = Store(str(tmp_path_factory.mktemp("other")))
    run_all(client, store)
    run_all(client, other)
    assert content(store) == content(other)


def test_a_changed_setting_recomputes_what_reads_it_and_nothing_else(client: Client, store: Store) -> None:
    run_all(client, store)
    made, squared, written = run_all(client, store, face_threshold=0.2, image_width=200)
    assert (made.skipped, squared.skipped, written.skipped) == (2, 0, 0)
    assert squared.fresh == 20


def test_an_input_that_came_out_the_same_changes_nothing_downstream(client: Client, store: Store) -> None:
    run_all(client, store)
    steps.notes[3] = "only a column that nobody reads"
    made, squared, _ = run_all(client, store)
    assert (made.skipped, squared.skipped) == (0, 2)


def test_new_rows_are_made_and_the_others_taken_over(client: Client, store: Store) -> None:
    run_all(client, store)
    steps.calls.clear()
    steps.numbers += [20, 21, 22]
    _, squared, _ = run_all(client, store)
    assert sorted(steps.calls) == [20, 21, 22]
    assert (squared.rows, squared.fresh) == (23, 3)


def test_rows_taken_over_give_the_same_bytes_as_rows_made_anew(
    client: Client, store: Store, tmp_path_factory: pytest.TempPathFactory
) -> None:
    del steps.numbers[5:12]
    run_all(client, store)
    steps.numbers[:] = range(20)
    run_all(client, store)
    fresh = Store(str(tmp_path_factory.mktemp("fresh")))
    run_all(client, fresh)
    assert content(store) == content(fresh)


def test_a_pending_row_is_tried_again_by_the_next_run_and_only_that_row(client: Client, store: Store) -> None:
    steps.fails[7] = "refuse"
    _, squared, _ = run_all(client, store)
    assert (squared.pending, squared.counts) == (1, {"done": 19, "pending": 1})
    steps.calls.clear()
    steps.fails.clear()
    _, squared, _ = run_all(client, store)
    assert steps.calls == [7]
    assert (squared.pending, squared.counts) == (0, {"done": 20})


def test_a_crash_in_a_partition_keeps_its_finished_slices(client: Client, store: Store) -> None:
    steps.numbers[:] = range(0, 40, 2)  # all in one partition, five slices of four
    steps.fails[30] = "crash"  # in the fourth slice
    with pytest.raises(StageFailed, match=r"squares failed on part-00000: RuntimeError: no square of 30"):
        run_all(client, store)
    assert not store.exists("work/squares/part-00000.parquet")
    assert steps.calls == [*range(0, 30, 2)][: len(steps.calls)]
    steps.calls.clear()
    steps.fails.clear()
    run_all(client, store)
    assert steps.calls == [*range(24, 40, 2)]
    assert not [path for path in store.files("work") if ".saved" in path]


def test_an_error_arrives_as_what_it_is_though_its_cause_cannot_travel(client: Client, store: Store) -> None:
    steps.fails[7] = "lock"
    with pytest.raises(StageFailed, match="no square of 7") as failure:
        run_all(client, store)
    assert type(failure.value.__cause__) is InputError


def test_a_released_file_that_was_lost_is_made_again(client: Client, store: Store) -> None:
    run_all(client, store)
    before = content(store)
    store.remove("work/files/squares/part-00000.txt")
    _, _, written = run_all(client, store)
    assert written.skipped == 1
    assert content(store) == before


def test_a_file_that_a_killed_run_replaced_is_not_taken_for_that_of_the_run_before(
    client: Client, store: Store
) -> None:
    steps.numbers[:] = [1, 2]
    run_all(client, store)
    before = content(store)
    steps.fails[steps.ITS_FILE] = "crash"
    with pytest.raises(StageFailed, match="is written, and not yet noted"):
        run_all(client, store, face_threshold=0.2)  # files of the same size
    steps.fails.clear()
    run_all(client, store)
    assert content(store) == before


def test_a_missing_input_is_named(client: Client, store: Store) -> None:
    with pytest.raises(
        StageFailed, match=r"squares needs .*work/numbers/part-0000\d.parquet: run the stage that makes it"
    ):
        run_step(client, steps.context(store), steps.SQUARE)


def test_a_damaged_table_is_named(client: Client, store: Store) -> None:
    run_all(client, store)
    store.write_text("work/numbers/part-00001.parquet", "not Parquet")
    with pytest.raises(StageFailed, match=r"work/numbers/part-00001.parquet is damaged") as failure:
        run_all(client, store)
    assert isinstance(failure.value.__cause__, StoreError)
