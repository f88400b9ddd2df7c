"""An S3 server with faults: a proxy in front of a real one that, by a seed, lets a share of the requests go wrong.

A request meets an error of the server (500, 503 SlowDown), a connection that is reset before anything was done or after
all was done, or an answer that breaks off half-way. It can also be told to refuse all requests with one of S3's codes,
as S3 does: with a body that names it, but for HEAD.
"""

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import aiohttp
import s3fs
from aiohttp import web
from yarl import URL

from tests.s3 import s3_server

_HOP = frozenset({"host", "connection", "transfer-encoding", "keep-alive", "content-length"})
KINDS = ("500 InternalError", "503 SlowDown", "reset before", "reset after", "half an answer")


class FaultyS3:
    """The proxy.

    Args:
        server: URL of the real one.
        seed: of the faults.
        share: of the requests that go wrong.

    Attributes:
        met: faults by kind.
        asked: requests by method.
        refusal: asked for each request, by method and path; returns status and code to refuse it with, or None.
        chosen: asked for each request; returns the fault that it is to meet, "" for none, None to leave it to chance.

    """

    def __init__(self, server: str, seed: int, share: float) -> None:
        self.share = share
        self.met: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.refusal: Callable[[str, str], tuple[int, str] | None] = lambda method, path: None
        self.chosen: Callable[[web.Request], str | None] = lambda request: None
        self._server = server
        self._random = Random(seed)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="faulty-s3", daemon=True)
        self.url = ""

    def __enter__(self) -> "FaultyS3":
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(300)) as self._session:
            app = web.Application(client_max_size=1 << 30)
            app.router.add_route("*", "/{path:.*}", self._answer)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            self._ready.set()
            await self._end.wait()
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked[request.method] += 1
        if refused := self.refusal(request.method, request.raw_path):
            return self._refused(request, *refused)
        kind = self.chosen(request)
        if kind is None:
            kind = self._random.choice(KINDS) if self._random.random() < self.share else ""
        self.met[kind] += bool(kind)
        if kind[:3].isdigit():
            return self._refused(request, int(kind[:3]), kind[4:])
        if kind == "reset before":
            return _reset(request)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        body = await request.read()
        url = URL(self._server + request.raw_path, encoded=True)
        async with self._session.request(request.method, url, headers=headers, data=body) as answer:
            data = await answer.read()
            length = str(len(data)) if request.method != "HEAD" else answer.headers.get("Content-Length", "0")
            said = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
        if kind == "reset after":
            return _reset(request)
        response = web.StreamResponse(status=answer.status, headers={**said, "Content-Length": length})
        await response.prepare(request)
        if kind == "half an answer":
            await response.write(data[: len(data) // 2])
            return _reset(request)
        if data:
            await response.write(data)
        await response.write_eof()
        return response

    def _refused(self, request: web.Request, status: int, code: str) -> web.Response:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code} it is</Message></Error>"
        return web.Response(
            status=status, text="" if request.method == "HEAD" else body, content_type="application/xml"
        )


def _reset(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@contextmanager
def faulty_s3(seed: int = 0, share: float = 0.05) -> Iterator[tuple[str, FaultyS3]]:
    """Start a server and its proxy; give the URL of a bucket, to which the environment leads, and the proxy."""
    with s3_server() as url, FaultyS3(os.environ["AWS_ENDPOINT_URL"], seed, share) as proxy:
        direct = os.environ["AWS_ENDPOINT_URL"]
        os.environ["AWS_ENDPOINT_URL"] = proxy.url
        s3fs.S3FileSystem.clear_instance_cache()
        try:
            yield url, proxy
        finally:
            os.environ["AWS_ENDPOINT_URL"] = direct
            s3fs.S3FileSystem.clear_instance_cache()
