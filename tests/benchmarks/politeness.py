"""Proof of politeness and of speed under it: ``python -m tests.benchmarks.politeness``.

Four Dask workers fetch 2,000 thumbnails of 30 KB under the `wikimedia` profile from a server in a process of its own,
that logs every request and every byte and knows nothing of the client. Once it answers after 80 ms, so that the two
connections bind; once at once, so that the bandwidth binds. What two connections could give is measured too, by a
plain client that does nothing but read. The exit status says whether every limit was kept to and used to at least 95
%.
"""

import argparse
import asyncio
import http.client
import json
import logging
import multiprocessing
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from distributed import Client, LocalCluster, get_client

from pipelines.commons import names
from pipelines.commons.leases import DaskLeases
from pipelines.commons.media import Fetched, MediaRequest, fetch_all
from pipelines.commons.origin import BITS_PER_SECOND, CONNECTIONS, Origin, origin
from pipelines.commons.politeness import WINDOW

BODY = b"\xff\xd8\xff" + bytes(30_000 - 5) + b"\xff\xd9"


class Handler(asyncio.Protocol):
    """HTTP/1.1 by hand: one answer after a delay, everything logged."""

    def __init__(self, delay: float, log: list[dict[str, object]]) -> None:
        self.delay, self.log, self.pending = delay, log, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.pending += data
        while b"\r\n\r\n" in self.pending:
            head, _, self.pending = self.pending.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            agent = next((line[12:] for line in lines if line.lower().startswith("user-agent:")), "")
            seen: dict[str, object] = {"path": lines[0].split()[1], "agent": agent, "began": time.monotonic()}
            asyncio.get_running_loop().call_later(self.delay, self.answer, seen)

    def answer(self, seen: dict[str, object]) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(BODY)
        self.transport.write(head + BODY)
        self.log.append(seen | {"ended": time.monotonic(), "bytes": len(head) + len(BODY)})


def serve(delay: float, log_file: str, pipe: Connection) -> None:
    """Run the server until told to stop, then write the log."""

    async def run() -> None:
        log: list[dict[str, object]] = []
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Handler(delay, log), "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await loop.run_in_executor(None, pipe.recv)
        await asyncio.to_thread(Path(log_file).write_text, json.dumps(log))

    asyncio.run(run())


@dataclass(frozen=True)
class Measured:
    """What the server saw."""

    images_per_second: float
    most_in_flight: int
    most_megabits: float
    mean_megabits: float
    agents: frozenset[str]
    widths: frozenset[str]
    images: int


def read_log(path: Path) -> Measured:
    """Work out of the server's log what matters."""
    log = sorted(json.loads(path.read_text()), key=lambda seen: seen["ended"])
    seconds = log[-1]["ended"] - min(seen["began"] for seen in log)
    edges = sorted([(seen["began"], 1) for seen in log] + [(seen["ended"], -1) for seen in log])
    flying = most = 0
    for _, step in edges:
        flying += step
        most = max(most, flying)
    total = start = peak = 0
    for seen in log:
        total += seen["bytes"]
        while log[start]["ended"] <= seen["ended"] - WINDOW:
            total -= log[start]["bytes"]
            start += 1
        peak = max(peak, total)
    return Measured(
        images_per_second=len(log) / seconds,
        most_in_flight=most,
        most_megabits=peak * 8 / WINDOW / 1e6,
        mean_megabits=sum(seen["bytes"] for seen in log) * 8 / seconds / 1e6,
        agents=frozenset(seen["agent"].strip() for seen in log),
        widths=frozenset(seen["path"].rpartition("/")[2].partition("px-")[0] for seen in log),
        images=len(log),
    )


def fetch_partition(made: Origin, wanted: list[str]) -> int:
    """On a worker: fetch one partition."""
    leases = DaskLeases(get_client(), "media", made)
    requests = [MediaRequest(name, names.original_url(name), 1000) for name in wanted]
    return sum(isinstance(result, Fetched) for _, result in fetch_all(requests, made, leases, check))


def check(response: object) -> bool:
    """Stand for decoding; this benchmark is about the connections."""
    return True


def plain_rate(url: str, images: int) -> float:
    """Return the images/s of two connections that only read."""
    host = urlsplit(url)

    def read(share: int) -> None:
        connection = http.client.HTTPConnection(host.hostname or "", host.port)
        for number in range(images // CONNECTIONS):
            connection.request("GET", f"/plain/{share}-{number}")
            connection.getresponse().read()
        connection.close()

    began = time.monotonic()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(read, range(CONNECTIONS)))
    return images / (time.monotonic() - began)


def under(delay: float, client: Client, images: int, partitions: int) -> tuple[Measured, float]:
    """Fetch everything from a server with this delay; return what it saw, and the plain client's images/s."""
    spawn = multiprocessing.get_context("spawn")
    with TemporaryDirectory() as folder:
        results, rate = [], 0.0
        for plain in (True, False):
            log = Path(folder) / f"{plain}.json"
            ours, theirs = spawn.Pipe()
            server = spawn.Process(target=serve, args=(delay, str(log), theirs), daemon=True)
            server.start()
            url = f"http://127.0.0.1:{ours.recv()}"
            if plain:
                rate = plain_rate(url, min(images, 400))
            else:
                made = origin(
                    "wikimedia",
                    operator_name="politeness benchmark",
                    operator_contact="operator@example.org",
                    operator_url="https://operator.example/about",
                    media_url=url,
                )
                wanted = [f"Image_{number}.jpg" for number in range(images)]
                parts = [wanted[part::partitions] for part in range(partitions)]
                futures = client.map(fetch_partition, [made] * partitions, parts, pure=False)
                assert sum(client.gather(futures)) == images
            ours.send("stop")
            server.join(30)
            results.append(log)
        return read_log(results[1]), rate


def main() -> int:
    """Run both proofs and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--partitions", type=int, default=8)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    failures = []
    cluster = LocalCluster(n_workers=4, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None)
    with cluster, Client(cluster) as client:
        slow, possible = under(0.08, client, options.images, options.partitions)
        fast, unbound = under(0.0, client, options.images, options.partitions)
    bound = BITS_PER_SECOND / 1e6
    rows = [
        ("images", slow.images, fast.images, ""),
        ("requests in flight, most", slow.most_in_flight, fast.most_in_flight, f"≤ {CONNECTIONS}"),
        ("Mbit/s over any 10 s, most", slow.most_megabits, fast.most_megabits, f"≤ {bound:g}"),
        ("Mbit/s, mean", slow.mean_megabits, fast.mean_megabits, ""),
        ("images/s", slow.images_per_second, fast.images_per_second, ""),
        ("images/s of two connections that only read", possible, unbound, ""),
        ("share of 2 / 80 ms, of 25 Mbit/s", slow.images_per_second / 25, fast.mean_megabits / bound, "≥ 0.95"),
        ("share of what two connections can give", slow.images_per_second / possible, float("nan"), "≥ 0.95"),
        ("thumbnail widths", ",".join(slow.widths), ",".join(fast.widths), "330"),
    ]
    print(f"{'':44} {'80 ms':>12} {'no delay':>12}   limit")
    for label, first, second, limit in rows:
        shown = [value if isinstance(value, (str, int)) else f"{value:.3f}" for value in (first, second)]
        print(f"{label:44} {shown[0]:>12} {shown[1]:>12}   {limit}")
    print("user agent:", *(slow.agents | fast.agents))
    for seen in (slow, fast):
        if seen.most_in_flight > CONNECTIONS or seen.most_megabits > bound or seen.widths != {"330"}:
            failures.append("a limit was broken")
        if any("operator@example.org" not in agent for agent in seen.agents):
            failures.append("the operator's contact is not in the user agent")
    if slow.images_per_second / possible < 0.95 or fast.mean_megabits / bound < 0.95:
        failures.append("less than 95 % of what is allowed was used")
    print("FAILED: " + "; ".join(failures) if failures else "every limit was kept to, and used to at least 95 %")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
