"""A store on S3 when things go wrong: requests fail, uploads are interrupted, credentials expire, clocks differ."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
import s3fs
from aiohttp import web
from distributed import Client
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from pipelines.commons.politeness import LocalLeases
from pipelines.engine.fingerprint import read_made
from pipelines.engine.partition import is_done, make_partition, standing
from pipelines.engine.step import Context, Step
from pipelines.errors import NotThere, StoreError, StoreLocked
from pipelines.pipeline import Run
from pipelines.removals.purge import pictures_held, purge_pictures
from pipelines.stages.validate import MEASURE
from pipelines.storage import lock, object_store
from pipelines.storage.lock import held
from pipelines.storage.refusals import ClockIsWrong, CredentialsExpired, StoreRefused, StoreUnreachable
from pipelines.storage.store import Store
from tests.engine import steps
from tests.faulty_s3 import KINDS, FaultyS3, faulty_s3
from tests.running import ROOT
from tests.s3 import s3_server_within

pytestmark = pytest.mark.timeout(300)

KEYS = int(os.environ.get("WIT_S3_KEYS", "3500"))
"""Listings have pages of a thousand keys; 100,000 take moto minutes."""


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, FaultyS3]]:
    with faulty_s3(seed=3, share=0) as (url, proxy):
        yield url, proxy


@pytest.fixture
def proxy(server: tuple[str, FaultyS3]) -> Iterator[FaultyS3]:
    _, proxy = server
    yield proxy
    proxy.share = 0
    proxy.refusal = lambda method, path: None
    proxy.chosen = lambda request: None


@pytest.fixture
def store(server: tuple[str, FaultyS3], request: pytest.FixtureRequest) -> Store:
    return Store(f"{server[0]}/{request.node.name}")


def test_every_twentieth_request_fails_and_nothing_is_seen_of_it(store: Store, proxy: FaultyS3) -> None:
    proxy.share = 0.05
    random = Random(1)
    contents = {f"a/{number % 7}/{number:03d}.bin": random.randbytes(random.randrange(5000)) for number in range(40)}
    for path, content in contents.items():
        with store.write(path) as written:
            written.file.write(content)
    assert store.files("a") == sorted(contents)
    assert store.folders("a") == [str(number) for number in range(7)]
    for path, content in contents.items():
        assert store.exists(path)
        assert not store.exists(f"{path}.no")
        assert store.size(path) == len(content)
        with store.open(path) as file:
            assert file.read() == content
        store.link(path, f"b/{path}")
        store.remove(path)
    assert store.files("a") == []
    assert store.files("b") == sorted(f"b/{path}" for path in contents)
    assert sum(proxy.met.values()) >= 10
    assert len(set(proxy.met) & set(KINDS)) >= 3


def test_the_lock_goes_from_one_to_the_next_while_requests_fail(store: Store, proxy: FaultyS3) -> None:
    proxy.share = 0.2
    for number in range(10):
        with held(store, f"run {number}", alone=True):
            lock.check()
    assert '"run": ""' in (store.read_text(lock.PATH) or "")


def test_only_one_of_many_has_the_lock_while_requests_fail(store: Store, proxy: FaultyS3) -> None:
    proxy.share = 0.2
    inside = 0
    most = 0
    counting = threading.Lock()

    def take(number: int) -> int:
        nonlocal inside, most
        for attempt in range(200):
            try:
                with held(store, f"run {number}", alone=True):
                    with counting:
                        inside += 1
                        most = max(most, inside)
                    time.sleep(0.2)
                    with counting:
                        inside -= 1
                return attempt
            except StoreLocked:
                time.sleep(0.05)
        raise AssertionError(f"run {number} never had its turn")

    with ThreadPoolExecutor(4) as pool:
        attempts = list(pool.map(take, range(4)))
    assert most == 1
    assert sum(attempts) > 0, "nobody had to wait: they did not try at the same time"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest part that S3 allows but for the last one: it is the same code for eleven megabytes."""
    monkeypatch.setattr(object_store, "PART", 5 << 20)


def write_large(store: Store, path: str) -> str:
    with store.write(path) as written:
        written.file.write(Random(2).randbytes(11 << 20))
    return written.sha256


@pytest.mark.usefixtures("small_parts")
def test_an_upload_in_parts_survives_failing_requests(store: Store, proxy: FaultyS3) -> None:
    proxy.share = 0.1
    # Whose beginning was answered in vain is begun again; housekeeping ends the first one, which nobody knows.
    proxy.chosen = lambda request: "" if "uploads" in request.query else None
    digests = {name: write_large(store, name) for name in ("a.bin", "b.bin", "c.bin")}
    proxy.share = 0
    assert {name: store.sha256(name) for name in store.files("")} == digests
    assert store.unfinished_uploads(0) == {}


@pytest.mark.usefixtures("small_parts")
def test_an_upload_whose_last_answer_is_lost_is_there(store: Store, proxy: FaultyS3) -> None:
    completed: list[str] = []

    def lose_the_first(request: web.Request) -> str:
        if request.method != "POST" or "uploadId" not in request.query:
            return ""
        completed.append(request.raw_path)
        return "reset after" if len(completed) == 1 else ""

    proxy.chosen = lose_the_first
    digest = write_large(store, "a.bin")
    assert len(completed) > 1
    assert store.sha256("a.bin") == digest


@pytest.mark.usefixtures("small_parts")
def test_an_upload_that_is_refused_half_way_shows_nothing_and_leaves_nothing(store: Store, proxy: FaultyS3) -> None:
    store.write_text("a.bin", "old")
    proxy.refusal = lambda method, path: (403, "AccessDenied") if "partNumber=2" in path else None
    with pytest.raises(StoreRefused, match=r"AccessDenied.*s3-policy\.json"):
        write_large(store, "a.bin")
    assert store.read_text("a.bin") == "old"
    assert store.files("") == ["a.bin"]
    assert store.unfinished_uploads(0) == {}


UPLOAD = """
import sys
from pipelines.storage import object_store
from pipelines.storage.store import Store
object_store.PART = 5 << 20
with Store(sys.argv[1]).write("killed.bin") as written:
    written.file.write(bytes(11 << 20))
"""


def test_an_upload_that_was_killed_shows_nothing_and_can_be_aborted(store: Store, proxy: FaultyS3) -> None:
    under_way = threading.Event()

    def see_a_part(request: web.Request) -> str:
        if "partNumber" in request.query and "killed.bin" in request.path:
            under_way.set()
        return ""

    proxy.chosen = see_a_part
    with subprocess.Popen([sys.executable, "-c", UPLOAD, store.url], cwd=ROOT, start_new_session=True) as process:
        try:
            assert under_way.wait(120)
        finally:
            os.kill(process.pid, signal.SIGKILL)
    assert store.files("") == []
    assert not store.exists("killed.bin")
    ((path, upload),) = store.unfinished_uploads(0)
    assert path == "killed.bin"
    store.end_upload(path, upload)  # what housekeeping does
    assert store.unfinished_uploads(0) == {}


def test_all_keys_are_listed() -> None:
    wanted = [f"releases/{number % 200:05d}/part-{number:06d}" for number in range(KEYS)]
    with s3_server_within() as url:
        backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        for path in wanted:
            backend.put_object(url.removeprefix("s3://"), f"keys/{path}", b"")
        store = Store(f"{url}/keys")
        assert store.files("") == sorted(wanted)
        assert store.folders("releases") == [f"{number:05d}" for number in range(200)]
        assert store.files("releases/00042") == sorted(path for path in wanted if "/00042/" in path)


REFUSALS = {
    (400, "ExpiredToken"): (CredentialsExpired, "credentials have expired.*Renew them.*goes on where it stopped"),
    (403, "RequestTimeTooSkewed"): (ClockIsWrong, "the clock of this machine is 0 minutes off.*NTP"),
    (403, "InvalidAccessKeyId"): (StoreRefused, "refuses these credentials.*InvalidAccessKeyId"),
    (503, "SlowDown"): (StoreUnreachable, "answers with errors, however often it is asked.*503|SlowDown"),
}


@pytest.mark.parametrize(("refusal", "expected"), REFUSALS.items(), ids=[code for _, code in REFUSALS])
def test_every_operation_says_why_it_was_refused(
    store: Store,
    proxy: FaultyS3,
    refusal: tuple[int, str],
    expected: tuple[type[StoreError], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a store refuses to tell is not taken for something that is not there."""
    store.write_text("a.txt", "text")
    if refusal[0] == 503:  # no waiting between tries that all fail
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        s3fs.S3FileSystem.clear_instance_cache()
        store = Store(store.url)
        store._fs.retries = 1
    with store.open("a.txt") as file:
        proxy.refusal = lambda method, path: refusal
        operations = {
            "exists": lambda: store.exists("a.txt"),
            "size": lambda: store.size("a.txt"),
            "identity": lambda: store.identity("a.txt"),
            "open": lambda: store.open("a.txt"),
            "read": lambda: file.read(),
            "read_text": lambda: store.read_text("a.txt"),
            "read_json": lambda: store.read_json("a.txt"),
            "files": lambda: store.files(""),
            "sizes": lambda: store.sizes("releases"),
            "folders": lambda: store.folders("releases"),
            "write": lambda: store.write_text("b.txt", "text"),
            "swap": lambda: store.swap_text("c.txt", None, "text"),
            "link": lambda: store.link("a.txt", "d.txt"),
            "remove": lambda: store.remove("a.txt"),
        }
        told = {name: refused(operation) for name, operation in operations.items()}
    for name, error in told.items():
        assert isinstance(error, expected[0]), name
        assert str(error).startswith(store.url), name
        assert re.search(expected[1], str(error)), name


def make(context: Context, step: Step) -> None:
    make_partition(context, step, "part-00000", lambda rows: None, lambda kind: LocalLeases(1))


def test_a_table_that_may_not_be_asked_for_is_not_taken_for_one_that_was_never_made(
    store: Store, proxy: FaultyS3, client: Client
) -> None:
    context = steps.context(store)
    with pytest.raises(NotThere, match=r"squares needs .*: run the stage that makes it first"):
        make(context, steps.SQUARE)
    steps.reset(4)
    make(context, steps.MAKE_NUMBERS)
    make(context, steps.SQUARE)
    steps.calls.clear()
    proxy.refusal = lambda method, path: (400, "ExpiredToken")
    operations = {
        "read_made": lambda: read_made(store, "work/numbers/part-00000.parquet"),
        "is_done": lambda: is_done(context, steps.SQUARE, "part-00000"),
        "standing": lambda: standing(context, steps.SQUARE, "part-00000"),
        "make_partition": lambda: make(context, steps.SQUARE),
        "what validate measures": lambda: MEASURE.depends and MEASURE.depends(context, "part-00000"),
        "pictures_held": lambda: pictures_held(store, "part-00000", {"https://…"}),
        "each_shard": lambda: Run(context, client).each_shard(purge_pictures),
    }
    told = {name: type(refused(operation)) for name, operation in operations.items()}
    assert told == dict.fromkeys(operations, CredentialsExpired)
    # The input can be read, and what was made of it cannot: it is not made again.
    proxy.refusal = lambda method, path: None if "/work/numbers/" in path else (400, "ExpiredToken")
    assert type(refused(lambda: make(context, steps.SQUARE))) is CredentialsExpired
    assert steps.calls == []


def refused(operation: Callable[[], object]) -> Exception | None:
    """Return the error that an operation ends with; None: it took no notice."""
    try:
        operation()
    except Exception as error:
        return error
    return None
