"""A media server for tests: it answers as it is told and logs every request, and knows nothing of the client."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from pipelines.commons.origin import Origin, origin

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Seen:
    """One request: when it came and went (seconds), and what it asked."""

    path: str
    headers: dict[str, str]
    began: float
    query: dict[str, str]
    peer: tuple[str, int]
    ended: float = 0.0
    sent: int = 0


@dataclass
class Log:
    """Everything a server saw."""

    requests: list[Seen] = field(default_factory=list)
    sends: list[tuple[float, int]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    open_connections: int = 0

    @property
    def paths(self) -> list[str]:
        return [seen.path for seen in self.requests]

    def most_bytes_in(self, window: float) -> int:
        """Return the most bytes that were sent in any window of so many seconds."""
        most = total = start = 0
        for at, size in self.sends:
            total += size
            while self.sends[start][0] <= at - window:
                total -= self.sends[start][1]
                start += 1
            most = max(most, total)
        return most


@dataclass
class Server:
    """A running server."""

    url: str
    log: Log

    def origin(self, **changes: object) -> Origin:
        """An origin of this server's own, without limits and with short waits."""
        made = origin(
            "demo",
            operator_name="tests",
            operator_contact="operator@example.org",
            operator_url="https://operator.example/about",
            media_url=self.url,
            api_url=f"{self.url}/w/api.php",
        )
        quick = {"attempts": 10, "backoff": 0.01, "backoff_limit": 0.05, "read_timeout": 5.0, "connections": 2}
        return replace_in(made, **(quick | changes))


def replace_in(made: Origin, **changes: object) -> Origin:
    from dataclasses import replace

    return replace(made, **changes)  # type: ignore[arg-type]


@contextmanager
def serving(answer: Answer) -> Iterator[Server]:
    """Run a server in a thread for the time of a ``with`` block."""
    log = Log()
    started = threading.Event()
    address: list[int] = []
    stop: list[Callable[[], None]] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen = Seen(
            request.raw_path,
            dict(request.headers),
            time.monotonic(),
            {**request.query, **(await request.post() if request.method == "POST" else {})},  # type: ignore[dict-item]
            request.transport.get_extra_info("peername") if request.transport else ("", 0),
        )
        log.requests.append(seen)
        log.in_flight += 1
        log.most_in_flight = max(log.most_in_flight, log.in_flight)
        try:
            response = await answer(request)
            if isinstance(response, web.Response) and isinstance(response.body, bytes):
                seen.sent = len(response.body)
                log.sends.append((time.monotonic(), seen.sent))
            return response
        finally:
            log.in_flight -= 1
            seen.ended = time.monotonic()

    async def run() -> None:
        application = web.Application(client_max_size=1 << 24)
        application.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address.append(runner.addresses[0][1])
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(done.set) and None)
        started.set()
        await done.wait()
        await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield Server(f"http://127.0.0.1:{address[0]}", log)
    finally:
        stop[0]()
        thread.join(10)


async def trickle(request: web.Request, log: Log, body: bytes, chunk: int = 1 << 14) -> web.StreamResponse:
    """Send a body in pieces, each logged as the socket takes it."""
    response = web.StreamResponse(headers={"Content-Length": str(len(body))})
    await response.prepare(request)
    with suppress(ConnectionResetError):
        for start in range(0, len(body), chunk):
            piece = body[start : start + chunk]
            await response.write(piece)
            log.sends.append((time.monotonic(), len(piece)))
    return response


def peak_memory(process: int | str = "self") -> int:
    """Return the most memory that a process has had so far, in bytes (Linux)."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")
