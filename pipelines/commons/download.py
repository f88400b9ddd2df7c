"""One request to the media servers over a kept connection: streamed, capped, paced, and never to another host.

The client asks for the bytes as they are (no content coding), keeps to the origin's host on redirects, and stops
reading where a response is larger than allowed. What goes wrong comes back as a `Verdict`, not as an exception.
"""

import asyncio
import socket
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from pipelines.commons.origin import Origin
from pipelines.commons.politeness import Governor
from pipelines.commons.results import Answer
from pipelines.commons.traffic import BYTES_RECEIVED, REQUESTS, Traffic
from pipelines.commons.verdict import FailureKind, Verdict, judge

_READ_BUFFER = 32 << 10
_SOCKET_BUFFER = 128 << 10  # bytes in flight for 12.5 Mbit/s over 80 ms; all of them escape the governor's count
_REDIRECTS = 3
_ERROR_BODY = 16 << 10


@asynccontextmanager
async def connection(origin: Origin, paced: bool) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a session that keeps one connection at most.

    Args:
        origin: for its user agent and timeouts.
        paced: whether the bandwidth is limited; then little may wait unread in the socket.

    """

    def small_buffer(address: Any) -> socket.socket:
        made = socket.socket(family=address[0], type=address[1], proto=address[2])
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER)
        return made

    connector = aiohttp.TCPConnector(limit=1, ttl_dns_cache=300, socket_factory=small_buffer if paced else None)
    timeout = aiohttp.ClientTimeout(
        total=origin.total_timeout, sock_connect=origin.connect_timeout, sock_read=origin.read_timeout
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"User-Agent": origin.user_agent, "Accept-Encoding": "identity", "Accept": "*/*"},
        read_bufsize=_READ_BUFFER if paced else 1 << 18,
    ) as session:
        yield session


async def download(
    session: aiohttp.ClientSession, origin: Origin, governor: Governor, traffic: Traffic, path: str
) -> Answer | Verdict:
    """Fetch the file under a path of the media servers.

    Raises:
        UserAgentRefused: the servers refuse this operator.

    """
    url = origin.media_url + path
    try:
        for _ in range(_REDIRECTS + 1):
            governor.started(time.monotonic())
            traffic.add(REQUESTS)
            try:
                result = await _get(session, origin, governor, traffic, url)
            finally:
                governor.finished(time.monotonic())
            if not isinstance(result, str):
                return result
            url = result
            await asyncio.sleep(governor.start_delay(time.monotonic()))
        return _passing(f"more than {_REDIRECTS} redirects")
    except _Stopped as stopped:
        return stopped.verdict
    except TimeoutError:
        return _passing("timed out")
    except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a header that makes no sense
        return _passing(f"{type(error).__name__}: {error}"[:200])


async def _get(
    session: aiohttp.ClientSession, origin: Origin, governor: Governor, traffic: Traffic, url: str
) -> Answer | Verdict | str:
    """Send one request; a text that comes back is the URL of a redirect to follow."""
    async with session.get(URL(url, encoded=True), allow_redirects=False) as response:
        headers = response.headers
        if governor.paced:
            governor.received(time.monotonic(), 20 + sum(len(k) + len(v) + 4 for k, v in response.raw_headers))
        if response.status in (301, 302, 303, 307, 308):
            return _redirect(origin, url, headers.get("Location", ""))
        error = response.status != 200
        announced = headers.get("Content-Length", "")
        if not error and announced.isdecimal() and int(announced) > origin.max_bytes:
            return Verdict(FailureKind.TOO_LARGE, f"{announced} bytes; at most {origin.max_bytes} are read")
        limit = _ERROR_BODY if error else origin.max_bytes
        data = await _read(response, governor, traffic, limit, cut=error)
    data = _plain(data, headers.get("Content-Encoding", ""), origin.max_bytes, cut=error)
    verdict = judge(url, response.status, headers, data[:_ERROR_BODY], strict_403=origin.profile != "mirror")
    return verdict or Answer(
        data, url, headers.get("Content-Type", ""), headers.get("ETag", ""), headers.get("Last-Modified", "")
    )


async def _read(response: aiohttp.ClientResponse, governor: Governor, traffic: Traffic, limit: int, cut: bool) -> bytes:
    """Read a body at the governor's pace; above the limit it is `cut` off, or refused."""
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        governor.received(time.monotonic(), len(chunk))
        traffic.add(BYTES_RECEIVED, len(chunk))
        if size > limit:
            response.close()
            if cut:
                break
            raise _Stopped(Verdict(FailureKind.TOO_LARGE, f"more than {limit} bytes", again=True))
        if delay := governor.read_delay(time.monotonic()):
            await asyncio.sleep(delay)
    return b"".join(chunks)


def _plain(data: bytes, coding: str, limit: int, cut: bool) -> bytes:
    """Undo a content coding that was not asked for, up to the limit: a small answer can unfold to gigabytes."""
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return data
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise _Stopped(_passing(f"content coding {coding[:20]!r}, which was not asked for"))
    unfold = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        plain = unfold.decompress(data, limit + 1)
    except zlib.error as error:
        raise _Stopped(_passing(f"damaged {coding}: {error}")) from error
    if len(plain) > limit and not cut:
        raise _Stopped(Verdict(FailureKind.TOO_LARGE, f"unfolds to more than {limit} bytes", again=True))
    if not unfold.eof and not cut:
        raise _Stopped(_passing(f"{coding} cut short"))
    return plain


def _redirect(origin: Origin, url: str, location: str) -> Verdict | str:
    """Return the URL to go to, if it is on the origin's own host."""
    target = urljoin(url, location)
    try:
        here, there = urlsplit(origin.media_url), urlsplit(target)
        same = (here.scheme, here.hostname, here.port) == (there.scheme, there.hostname, there.port)
    except ValueError:
        same = False
    if not location or not same or "@" in there.netloc:
        return _passing(f"redirect to {location[:100]!r}, which is not on {origin.media_url}")
    return target


def _passing(detail: str) -> Verdict:
    return Verdict(FailureKind.TEMPORARY, detail, again=True)


class _Stopped(Exception):
    """Carries a verdict out of the middle of a response."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.detail)
        self.verdict = verdict
