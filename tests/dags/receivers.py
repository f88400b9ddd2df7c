"""Who listens to an Airflow: a StatsD server and a web server that takes webhooks, both on loopback."""

import json
import socket
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.web import serving


@dataclass
class Metrics:
    """What came over StatsD: sums of counters, the values of gauges in their order, milliseconds of times."""

    port: int
    counters: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    gauges: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def take(self, datagram: bytes) -> None:
        for line in datagram.decode().splitlines():
            name, _, rest = line.partition(":")
            value, kind = rest.split("|")[:2]
            if kind == "c":
                self.counters[name] += float(value)
            elif kind == "g":
                self.gauges[name].append(float(value))
            else:
                self.times[name].append(float(value))


@contextmanager
def statsd() -> Iterator[Metrics]:
    """Listen for metrics on a free UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        receiver.bind(("127.0.0.1", 0))
        metrics = Metrics(receiver.getsockname()[1])

        def listen() -> None:
            while datagram := receiver.recv(65535):
                metrics.take(datagram)

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield metrics
        finally:
            receiver.sendto(b"", receiver.getsockname())
            thread.join()


@dataclass
class Webhook:
    """Where messages are posted to, and what was posted."""

    url: str
    messages: list[dict[str, Any]] = field(default_factory=list)

    def told(self, event: str, run: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if (message["event"], message["run"]) == (event, run)]


@contextmanager
def webhook() -> Iterator[Webhook]:
    """Take messages at an address with a secret in it."""
    secret = "/hook/s3cret-0f-the-w3bhook"

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            known = self.path == secret and self.headers["Content-Type"] == "application/json"
            if known:
                taken.messages.append(json.loads(body))
            self.send_response(204 if known else 403)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with serving(Handler) as url:
        taken = Webhook(f"{url}{secret}")
        yield taken
