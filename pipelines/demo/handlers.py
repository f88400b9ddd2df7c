"""The HTTP side of a small Commons: requests to answers, conditional requests, and the request log."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiohttp import web

from pipelines.demo.api import ActionApi
from pipelines.demo.media import Media, Reply

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RequestLog:
    """A file of JSON lines, one for each request, written when it has been answered.

    ``t`` (seconds since 1970 when it came in), ``seconds`` it took, ``method``, ``path``, ``query``,
    ``user_agent``, ``status``, ``bytes``, and ``in_flight`` (requests in progress when it came in, itself
    included).
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._in_flight = 0

    @web.middleware
    async def middleware(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Note one request and its answer."""
        self._in_flight += 1
        came, clock, in_flight = time.time(), time.perf_counter(), self._in_flight
        status, size = 0, 0  # 0: the client went away, or the handler failed
        try:
            response = await handler(request)
            status, size = response.status, response.content_length or 0
            return response
        finally:
            self._in_flight -= 1
            entry = {
                "t": round(came, 4),
                "seconds": round(time.perf_counter() - clock, 4),
                "method": request.method,
                "path": request.rel_url.raw_path,
                "query": request.query_string,
                "user_agent": request.headers.get("User-Agent", ""),
                "status": status,
                "bytes": size,
                "in_flight": in_flight,
            }
            self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def application(
    media: Media, api: ActionApi, pool: ThreadPoolExecutor, log: RequestLog | None, media_delay: float
) -> web.Application:
    """Return the aiohttp application; reading and drawing happen in ``pool``, so that no request waits for another."""

    async def answer_media(request: web.Request) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(media_delay)
        return _response(request, await loop.run_in_executor(pool, media.answer, request.rel_url.raw_path))

    async def answer_api(request: web.Request) -> web.StreamResponse:
        params = dict(request.query)
        if request.method == "POST":
            params |= {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(pool, api.answer, params, str(request.url.origin()))
        headers = {"MediaWiki-API-Error": answer["error"]["code"]} if "error" in answer else {}
        return web.json_response(answer, headers=headers)

    app = web.Application(middlewares=[log.middleware] if log else [], client_max_size=10_000_000)
    app.router.add_get("/w/api.php", answer_api)
    app.router.add_post("/w/api.php", answer_api)
    app.router.add_get("/{path:.*}", answer_media)
    return app


def _response(request: web.Request, reply: Reply) -> web.Response:
    headers = {**reply.headers, "Content-Type": reply.content_type}
    etag = reply.headers.get("ETag")
    if etag and etag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=reply.headers)
    return web.Response(status=reply.status, body=reply.body, headers=headers)
