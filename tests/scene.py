"""A store with two releases and the small Commons that they were made from: what removals and housekeeping act on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from distributed import Client

from pipelines.cli import main
from pipelines.config import ReleaseConfig
from pipelines.pipeline import STAGES, run_stage
from pipelines.releases.reader import open_release
from pipelines.releases.settings import settings_of_next
from pipelines.releases.versions import begin
from pipelines.storage.store import Store
from tests.published import make
from tests.searching import holding
from tests.stages.making import url_of
from tests.world import World

FIRST, SECOND = "2026.01.01", "2026.02.01"
REASON = "the person in it asked for it"
NAME = "Picture_00003.jpg"
NEW = "Picture_00010.jpg"  # in the second release only,
GONE = "Picture_00008.jpg"  # in the first one only,
MOVED, MOVED_TO = "Picture_00007.jpg", "Moved_Picture_00007.jpg"  # and in both, under two names


@dataclass(frozen=True)
class Scene:
    """The store; the folder of the Commons, which is served; and the bytes of the picture called `NAME`."""

    store: Store
    client: Client
    commons: Path
    picture: bytes

    def place(self, version: str) -> str:
        return self.store.locate(f"releases/{version}")

    def refresh(self) -> str:
        """Make the next release; return its name."""
        context = begin(ReleaseConfig.parse(settings_of_next(self.store, "refresh", {})), run="refresh")
        for name in STAGES:
            run_stage(name, context, self.client)
        return context.version

    def urls(self, version: str) -> set[str]:
        return {image.url for image in open_release(self.place(version)).images()}

    def takedown(self, *options: str, name: str = NAME) -> int:
        """Run the command; return its exit code."""
        asked = () if "--lift" in options else ("--requester", "subject")
        return main(["takedown", f"File:{name}", "--reason", REASON, *asked, "--store", self.store.url, *options])

    def held_by(self) -> set[str]:
        """Return where the picture is: the first two folders of each file that holds it."""
        return {"/".join(path.split("/")[:2]) for path in holding(self.store, "", self.picture)}


@contextmanager
def two_releases(client: Client, url: str, commons: Path) -> Iterator[Scene]:
    """Make two releases in a store; the state of Commons that the second one shows is served meanwhile."""
    world = World()
    world.upload(10)
    with world.served(commons) as settings:
        port = urlsplit(str(settings["media_url"])).port or 0
        make(client, url, {**settings, "partitions": 2, "version": FIRST})
    world.upload(1)
    world.deleted.add(GONE)
    world.move(MOVED)
    with world.served(commons, port=port) as settings:
        make(client, url, {**settings, "partitions": 2, "version": SECOND})
        store = Store(url)
        released = open_release(store.locate(f"releases/{SECOND}")).images()
        yield Scene(store, client, commons, next(one.picture for one in released if one.url == url_of(NAME)))
