"""A server with faults: by a seed, so that a run can be repeated; each kind strikes 5 % of all requests."""

import asyncio
import gzip
import random
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress

from aiohttp import web

SHARE = 0.05


def huge_png(side: int = 14_143) -> bytes:
    """Return a PNG of 200 megapixels in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (side + 7) // 8)
    pixels = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def bomb(size: int) -> bytes:
    """Return gzip that unfolds to `size` zeros."""
    return gzip.compress(bytes(size), 9)


class Faulty:
    """Answers with files, or with a fault.

    Args:
        files: bodies by path; any other path is 404.
        seed: of the faults; the n-th request for a path always meets the same one.
        elsewhere: URL of another host, for redirects.
        stall: seconds of silence in the middle of a body, after which the connection is closed.

    """

    def __init__(self, files: Mapping[str, bytes], seed: int, elsewhere: str, stall: float) -> None:
        self.files = files
        self.met: Counter[str] = Counter()
        self._seed = seed
        self._elsewhere = elsewhere
        self._stall = stall
        self._count: Counter[str] = Counter()
        self._png = huge_png()
        self._bomb = bomb(64 << 20)
        self._faults: dict[str, Callable[[web.Request, bytes], object]] = {
            "throttle": lambda _, __: web.Response(status=429, headers={"Retry-After": "0"}, body=b"slow down"),
            "error 500": lambda _, __: web.Response(status=500, body=b"<html>oops</html>"),
            "error 503": lambda _, __: web.Response(status=503, body=b"overloaded"),
            "reset": self._reset,
            "short body": self._short,
            "stall": self._stalled,
            "wrong type": lambda _, body: web.Response(body=body, content_type="application/x-nonsense"),
            "redirect away": lambda _, __: web.Response(status=302, headers={"Location": self._elsewhere + "/gotcha"}),
            "gzip bomb": lambda _, __: web.Response(body=self._bomb, headers={"Content-Encoding": "gzip"}),
            "huge picture": lambda _, __: web.Response(body=self._png, content_type="image/png"),
            "endless body": self._endless,
        }

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        path = request.raw_path
        self._count[path] += 1
        body = self.files.get(path)
        if body is None:
            return web.Response(status=404, body=b"no such file")
        dice = random.Random(f"{self._seed} {path} {self._count[path]}").random()
        kinds = list(self._faults)
        if dice >= SHARE * len(kinds):
            return web.Response(body=body, content_type="image/jpeg")
        kind = kinds[int(dice / SHARE)]
        self.met[kind] += 1
        answer = self._faults[kind](request, body)
        return await answer if asyncio.iscoroutine(answer) else answer  # type: ignore[return-value]

    async def _reset(self, request: web.Request, _: bytes) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _short(self, request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        assert request.transport is not None
        request.transport.close()
        return response

    async def _stalled(self, request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[:10])
        await asyncio.sleep(self._stall)
        if request.transport is not None:
            request.transport.close()
        return response

    async def _endless(self, request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(body * (1 + (1 << 16) // len(body)))
        return response
