"""What the fetching benchmark needs around it: pictures, nginx, a server that answers late, the peer's environment."""

import asyncio
import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from pipelines.commons import names
from tests.benchmarks.pictures import photographs, pillow_jpeg

PEER = "img2dataset==1.47.0"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "wit-release-benchmarks"

_CONFIG = """
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  sendfile on;
  keepalive_requests 1000000;
  types {{ image/jpeg jpg; }}
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port} backlog=512; root {root}; }}
}}
"""


def peer_program() -> Path:
    """Return img2dataset, installed into an environment of its own on first use."""
    program = CACHE / PEER / "bin" / "img2dataset"
    if not program.exists():
        print(f"installing {PEER} into {CACHE / PEER} …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(CACHE / PEER)], check=True)
        pip = [str(CACHE / PEER / "bin" / "python"), "-m", "pip", "install", "-q"]
        subprocess.run([*pip, PEER, "pandas<3"], check=True)
    return program


def nginx_program() -> Path:
    """Return nginx: the one that is installed, or Debian's package unpacked into the cache, which needs no root."""
    if installed := shutil.which("nginx"):
        return Path(installed)
    program = CACHE / "nginx" / "usr" / "sbin" / "nginx"
    if not program.exists():
        print("fetching nginx from Debian …", flush=True)
        (CACHE / "deb").mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-q", "nginx"], cwd=CACHE / "deb", check=True, capture_output=True)
        package = max((CACHE / "deb").glob("nginx_*.deb"))
        subprocess.run(["dpkg", "-x", str(package), str(CACHE / "nginx")], check=True)
    return program


@contextlib.contextmanager
def nginx(root: Path, folder: Path) -> Iterator[str]:
    """Serve a folder for the time of a ``with`` block; yields the URL."""
    folder.mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "nginx.conf"
    user = "user root root;" if os.geteuid() == 0 else ""  # else the workers could not read a private folder
    config.write_text(_CONFIG.format(folder=folder, port=port, root=root, user=user))
    command = [str(nginx_program()), "-c", str(config), "-p", str(folder), "-g", "daemon off;", "-e", "stderr"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def thumbnails(root: Path, number: int) -> list[str]:
    """Write real-like thumbnails of 330 px under their paths; return their names."""
    bodies = []
    for image in photographs():
        for place in itertools.product((0.0, 0.2, 0.4), repeat=2):
            left, upper = int(image.width * place[0]), int(image.height * place[1])
            crop = image.crop((left, upper, left + int(image.width * 0.6), upper + int(image.height * 0.6)))
            bodies.append(_jpeg(crop, 330, 87))
    return _spread(root, bodies, number, "Thumbnail", lambda name: names.thumbnail_path(name, 330))


def originals(root: Path, number: int) -> list[str]:
    """Write originals of 2 to 8 megapixels under their paths; return their names."""
    bodies = [
        _jpeg(image, round((megapixels * 1e6 * image.width / image.height) ** 0.5), 90)
        for image in photographs()
        for megapixels in (2, 3.5, 5, 8)
    ]
    return _spread(root, bodies, number, "Original", names.original_path)


def _jpeg(image: Image.Image, width: int, quality: int) -> bytes:
    height = max(1, round(image.height * width / image.width))
    return pillow_jpeg(image.resize((width, height), Image.Resampling.LANCZOS), quality)


def _spread(root: Path, bodies: list[bytes], number: int, word: str, path: Callable[[str], str]) -> list[str]:
    made = []
    for count, body in zip(range(number), itertools.cycle(bodies), strict=False):
        name = f"{word}_{count}.jpg"
        file = root / path(name).lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
        made.append(name)
    return made


class _Late(asyncio.Protocol):
    """Answers every request with the same picture, after a delay."""

    def __init__(self, delay: float, body: bytes) -> None:
        self.delay, self.pending = delay, b""
        head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.answer = head + body

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.pending += data
        while b"\r\n\r\n" in self.pending:
            self.pending = self.pending.partition(b"\r\n\r\n")[2]
            asyncio.get_running_loop().call_later(self.delay, self.transport.write, self.answer)


@contextlib.contextmanager
def late_server(delay: float, body: bytes) -> Iterator[str]:
    """Serve one picture under every path, each answer after `delay` seconds; yields the URL."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(loop.create_server(lambda: _Late(delay, body), "127.0.0.1", 0), loop)
    try:
        yield f"http://127.0.0.1:{server.result(10).sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(server.result().close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
