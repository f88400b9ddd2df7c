"""A file is taken down by one name, and stays out whatever it, or a copy of it, is called later."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from distributed import Client

from pipelines.cli import main
from pipelines.releases.notices import ReleaseSuperseded, read_notice
from pipelines.releases.reader import open_release
from pipelines.releases.versions import latest
from pipelines.removals.takedowns import read_takedowns
from pipelines.stages import publish
from pipelines.storage.store import Store
from tests.published import make
from tests.scene import FIRST, SECOND
from tests.stages.making import url_of
from tests.world import World

THIRD = "2026.03.01"
OTHER, MOVED, TWICE, COPY = (f"Picture_{number:05d}.jpg" for number in range(4))
"""An ordinary file; one that was moved; one uploaded twice, and the other upload of it."""


@dataclass
class Changing:
    """A store, and a Commons that is served as it is at the time of each release."""

    client: Client
    store: Store
    folder: Path
    world: World
    port: int = 0

    def release(self, version: str) -> set[str]:
        """Make a release; return the names that are in the URLs of its images."""
        with self.world.served(self.folder / "commons", port=self.port) as settings:
            self.port = urlsplit(str(settings["media_url"])).port or 0
            make(self.client, self.store.url, {**settings, "partitions": 2, "version": version})
        images = open_release(self.store.locate(f"releases/{version}")).images()
        return {image.url.rpartition("/")[2] for image in images}

    def take_down(self, name: str, *options: str) -> None:
        asked = ("--reason", "asked for", "--requester", "subject", "--store", self.store.url)
        assert main(["takedown", f"File:{name}", *asked, *options]) == 0

    def marked(self, version: str) -> dict[str, tuple[tuple[str, ...], str]]:
        return {one.file: (one.images, one.by) for one in read_notice(self.store, version).superseded}


@pytest.fixture
def changing(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Changing:
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", client.scheduler.address)
    world = World()
    world.upload(4)
    world.files[COPY].seed = world.files[TWICE].seed
    world.moved[MOVED] = "Jane_Doe.jpg"
    return Changing(client, Store(str(tmp_path / "store")), tmp_path, world)


def test_a_file_that_is_renamed_after_its_takedown_stays_out(changing: Changing) -> None:
    assert changing.release(FIRST) == {OTHER, MOVED, TWICE, COPY}
    changing.take_down("Jane_Doe.jpg")
    changing.world.moved[MOVED] = "Woman_in_a_street.jpg"
    for version in (SECOND, THIRD):
        assert changing.release(version) == {OTHER, TWICE, COPY}
    assert changing.marked(FIRST) == {"Jane_Doe.jpg": ((url_of(MOVED),), SECOND)}
    assert changing.marked(SECOND) == changing.marked(THIRD) == {}


def test_a_name_that_is_unknown_at_first_is_known_by_its_url_as_soon_as_a_release_saw_it(changing: Changing) -> None:
    changing.take_down("Jane_Doe.jpg")
    assert changing.release(FIRST) == {OTHER, TWICE, COPY}
    assert read_takedowns(changing.store)["Jane_Doe.jpg"]["images"] == [url_of(MOVED)]
    changing.world.moved[MOVED] = "Woman_in_a_street.jpg"
    assert changing.release(SECOND) == {OTHER, TWICE, COPY}


def test_the_same_bytes_under_another_name_go_as_well(changing: Changing, capsys: pytest.CaptureFixture[str]) -> None:
    changing.release(FIRST)
    changing.take_down(COPY, "--withdraw")
    said = capsys.readouterr().out
    assert f"the same picture as File:{COPY}, byte for byte, is {url_of(TWICE)}; it stays out, too" in said
    assert changing.marked(FIRST) == {COPY: (tuple(sorted((url_of(TWICE), url_of(COPY)))), "")}
    with pytest.warns(ReleaseSuperseded, match="9 of its files were withdrawn"):
        left = {image.url for image in open_release(changing.store.locate(f"releases/{FIRST}")).images()}
    assert left.isdisjoint({url_of(TWICE), url_of(COPY)})
    assert changing.release(SECOND) == {OTHER, MOVED}
    assert changing.marked(FIRST)[COPY][1] == SECOND
    changing.world.upload_again(TWICE)
    assert changing.release(THIRD) == {OTHER, MOVED, TWICE}, "another picture now, of which nobody complained"
    assert changing.marked(THIRD) == {}


class Killed(BaseException):
    """What no code expects to catch: as if the process had ended here."""


def test_a_release_without_it_that_was_killed_when_it_was_out_is_concluded_by_the_same_command(
    changing: Changing, monkeypatch: pytest.MonkeyPatch
) -> None:
    changing.release(FIRST)

    def killed(*_: object) -> None:
        raise Killed

    with changing.world.served(changing.folder / "commons", port=changing.port):
        with monkeypatch.context() as patched:
            patched.setattr(publish, "_point_to_newest", killed)
            with pytest.raises(Killed):
                changing.take_down(OTHER, "--now")
        assert latest(changing.store) == FIRST
        changing.take_down(OTHER, "--now")
    newest = latest(changing.store)
    assert newest != FIRST
    assert changing.marked(FIRST) == {OTHER: ((url_of(OTHER),), newest)}
