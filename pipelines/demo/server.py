"""A small Commons over HTTP on loopback: originals, thumbnails of the standard widths, and the Action API.

    /wikipedia/commons/a/ab/Name.jpg                        an original
    /wikipedia/commons/thumb/a/ab/Name.jpg/330px-Name.jpg   a thumbnail
    /w/api.php                                              the Action API

It serves any folder in the format of ``wiki``: in the demo, in tests, and from ``python -m pipelines demo-commons``.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from aiohttp import web

from pipelines.demo.api import MAX_TITLES, ActionApi
from pipelines.demo.handlers import RequestLog, application
from pipelines.demo.media import Media
from pipelines.demo.wiki import Wiki
from pipelines.errors import WitReleaseError

logger = logging.getLogger(__name__)

_THREADS = 4
_STARTING = 30.0  # seconds to wait for the socket
_CLOSING = 2.0  # seconds that requests in progress have when the server stops


class CannotListen(WitReleaseError):
    """The address cannot be listened on; another port, or 0 for a free one, may do."""


class DemoCommons:
    """A small Commons in a thread of this process: a context manager, or ``start`` and ``stop``.

    Args:
        folder: what to serve, in the format of ``wiki``.
        host: address to listen on.
        port: 0 for a free one; ``url`` says which it is once the server has started.
        request_log: file to which each request is appended as a line of JSON, see ``RequestLog``.
        described_at_once: files that one API answer describes before it continues.
        media_delay: seconds by which the media servers answer late, as servers far away do.

    Raises:
        InputError: the folder is not in the format.

    """

    def __init__(
        self,
        folder: Path | str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        request_log: Path | None = None,
        described_at_once: int = MAX_TITLES,
        media_delay: float = 0.0,
    ) -> None:
        wiki = Wiki(Path(folder))
        self._media = Media(wiki)
        self._api = ActionApi(wiki, described_at_once)
        self._host = host
        self._port = port
        self._request_log = request_log
        self._media_delay = media_delay
        self._thread: threading.Thread | None = None
        self._started = threading.Event()
        self._failure: OSError | None = None
        self._stop: Callable[[], object] = lambda: None

    @property
    def url(self) -> str:
        """Base URL of the media servers: ``http://127.0.0.1:40123``."""
        return f"http://{self._host}:{self._port}"

    @property
    def api_url(self) -> str:
        """URL of the Action API."""
        return f"{self.url}/w/api.php"

    def start(self) -> Self:
        """Listen, and return when requests are answered.

        Raises:
            CannotListen: the address is taken or not ours.

        """
        self._started.clear()
        self._failure = None
        self._thread = threading.Thread(target=self._run, name="demo-commons", daemon=True)
        self._thread.start()
        if not self._started.wait(_STARTING) or self._failure:
            raise CannotListen(f"cannot listen on {self._host}:{self._port}: {self._failure or 'no answer'}")
        logger.info("the demo Commons listens on %s, its API on %s", self.url, self.api_url)
        return self

    def stop(self) -> None:
        """Stop listening and wait until the thread has ended. Stopping twice is no error."""
        if self._thread is not None:
            self._stop()
            self._thread.join()
            self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        requests = RequestLog(self._request_log) if self._request_log else None
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="demo-commons") as pool:
            app = application(self._media, self._api, pool, requests, self._media_delay)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSING)
            await runner.setup()
            try:
                await web.TCPSite(runner, self._host, self._port).start()
                self._port = runner.addresses[0][1]
                self._stop = lambda: loop.call_soon_threadsafe(stopping.set)
                self._started.set()
                await stopping.wait()
            finally:
                self._stop = lambda: None
                await runner.cleanup()
                if requests:
                    requests.close()


def serve(
    folder: Path | str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    log: Path | None = None,
    ready: Callable[[DemoCommons], None] | None = None,
) -> None:
    """Serve a folder until SIGINT or SIGTERM. Call it from the main thread.

    Args:
        folder: what to serve, in the format of ``wiki``.
        host: address to listen on.
        port: 0 for a free one.
        log: file for the request log, see ``RequestLog``.
        ready: called once requests are answered, for instance to show ``url``, which is logged too.

    Raises:
        InputError: the folder is not in the format.
        CannotListen: the address is taken or not ours.

    """
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with DemoCommons(folder, host=host, port=port, request_log=log) as commons:
            if ready:
                ready(commons)
            stopping.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
