"""A refresh is worth a full run: whatever happened meanwhile, the release is the one that would be made from nothing.

The world changes by scripts, a release after each of their chapters; then one is made from nothing at the state that
the last chapter left. With ``WIT_SLOW_TESTS`` that is one script, with all that belongs to a release.
``WIT_REFRESH_SCRIPTS`` says how many random ones follow, ``WIT_REFRESH_SEED`` which: without Great Expectations
and the report page, which take nine tenths of the time of a release this small, and see only the files compared.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from distributed import Client
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from pipelines.engine.step import Context, release_path
from pipelines.quality.verdict import Verdict
from pipelines.removals.takedowns import add_takedown
from pipelines.reports.facts import REPORT, Facts
from pipelines.stages import publish, validate
from pipelines.storage.store import Store, Written
from tests.published import make
from tests.same_release import differences, told
from tests.world import LICENCES, World

pytestmark = pytest.mark.timeout(900)

SCRIPTS = int(os.environ.get("WIT_REFRESH_SCRIPTS", "0"))
FIRST_FILES = 7
SETTINGS: dict[str, object] = {"partitions": 2, "max_fetch_failed_share": 1.0}

Event = Callable[[World, Random], None]


def _of(world: World, random: Random) -> str:
    return random.choice(sorted(world.files))


def _relicense(world: World, random: Random) -> None:
    world.files[_of(world, random)].licence = random.choice(LICENCES)


def _recaption(world: World, random: Random) -> None:
    world.files[_of(world, random)].caption += 1


def _move(world: World, random: Random) -> None:
    name = _of(world, random)
    world.moved[name] = f"Moved_{random.randrange(2)}_{name}"


def _is_known_twice(world: World, random: Random) -> None:
    if world.moved:
        world.known_twice.add(random.choice(sorted(world.moved)))


def _in_and_out(field: str) -> tuple[Event, Event]:
    def put_in(world: World, random: Random) -> None:
        getattr(world, field).add(_of(world, random))

    def take_out(world: World, random: Random) -> None:
        if there := sorted(getattr(world, field)):
            getattr(world, field).discard(random.choice(there))

    return put_in, take_out


def _move_back(world: World, random: Random) -> None:
    if world.moved:
        del world.moved[random.choice(sorted(world.moved))]


_delete, _undelete = _in_and_out("deleted")
_nominate, _withdraw = _in_and_out("nominated")
_forget, _remember = _in_and_out("forgotten")
_lose_captions, _find_captions = _in_and_out("uncaptioned")

EVENTS: dict[str, Event] = {
    "upload": lambda world, random: world.upload(random.randrange(1, 3)) and None,
    "upload another picture": lambda world, random: world.upload_again(_of(world, random)),
    "upload a portrait": lambda world, random: world.upload_again(_of(world, random), face=True),
    "upload rubbish": lambda world, random: world.upload_again(_of(world, random), damaged=True),
    "revert": lambda world, random: world.revert(_of(world, random)),
    "move": _move,
    "move back": _move_back,
    "delete": _delete,
    "undelete": _undelete,
    "nominate": _nominate,
    "withdraw the nomination": _withdraw,
    "relicense": _relicense,
    "recaption": _recaption,
    "WIT forgets": _forget,
    "WIT remembers": _remember,
    "WIT loses captions": _lose_captions,
    "WIT finds captions": _find_captions,
    "WIT knows both names": _is_known_twice,
}
TAKE_DOWN = "take down"
SETTING_CHANGES: dict[str, dict[str, object]] = {
    "faces do not matter": {"face_threshold": 1.0},
    "faces matter": {"face_threshold": 0.1},
    "smaller files": {"jpeg_quality": 80},
}

Chapter = list[tuple[str, int]]
chapters: st.SearchStrategy[Chapter] = st.lists(
    st.tuples(st.sampled_from([*EVENTS, TAKE_DOWN, *SETTING_CHANGES]), st.integers(0, 1 << 16)), max_size=10
)


Script = list[Chapter]
scripts: st.SearchStrategy[Script] = st.lists(chapters.filter(bool), min_size=1, max_size=3)

LONG: Script = [
    [("upload", 1), ("upload a portrait", 2), ("upload rubbish", 3), ("move", 4), ("nominate", 5), ("recaption", 6)],
    [("withdraw the nomination", 7), ("faces do not matter", 0), ("delete", 8), ("WIT knows both names", 9)],
    [("revert", 2), ("move back", 10), ("undelete", 11), ("relicense", 12), (TAKE_DOWN, 13), ("WIT forgets", 14)],
]
"""A script in which nearly everything happens."""


def tell(client: Client, script: Script) -> None:
    """Live through a script; compare the last of its releases with one that is made from nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        refreshed, fresh = Store(str(folder / "refreshed")), Store(str(folder / "fresh"))
        world, chosen = World(), dict(SETTINGS)
        world.upload(FIRST_FILES)

        def release(store: Store, version: str, catalogue: str) -> None:
            with world.served(folder / catalogue) as served:
                make(client, store.url, {**served, **chosen, "version": version})

        release(refreshed, "2026.01.01", "1")
        version = ""
        for number, chapter in enumerate(script, start=2):
            for event, seed in chapter:
                random = Random(seed)
                if event == TAKE_DOWN:
                    taken = _of(world, random)
                    for store in (refreshed, fresh):
                        add_takedown(store, taken, "the person in it asked for it", "subject")
                elif event in SETTING_CHANGES:
                    chosen |= SETTING_CHANGES[event]
                else:
                    EVENTS[event](world, random)
            version = f"2026.01.{number:02d}"
            release(refreshed, version, str(number))
        release(fresh, version, "fresh")
        assert differences(told(refreshed, version), told(fresh, version)) == []


@pytest.mark.skipif(not os.environ.get("WIT_SLOW_TESTS"), reason="takes minutes: set WIT_SLOW_TESTS=1")
def test_a_refresh_is_the_release_that_would_be_made_from_nothing(client: Client) -> None:
    tell(client, LONG)


def _accept(context: Context) -> Verdict:
    return Verdict(context.version, (), {}, "")


def _no_report(context: Context, facts: Facts) -> Written:
    return context.store.write_text(release_path(context.version, REPORT), "")


@pytest.mark.skipif(not SCRIPTS, reason="takes minutes: set WIT_REFRESH_SCRIPTS to their number")
@pytest.mark.timeout(0)
def test_so_it_is_after_any_other_script(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validate, "judge", _accept)
    monkeypatch.setattr(publish, "write_report", _no_report)

    @seed(int(os.environ.get("WIT_REFRESH_SEED", "0")))
    @settings(
        max_examples=SCRIPTS,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # to make one smaller would take an hour; what differs is told
        suppress_health_check=[*HealthCheck],
    )
    @given(script=scripts)
    def any_script(script: Script) -> None:
        print(script, flush=True)
        tell(client, script)

    any_script()
