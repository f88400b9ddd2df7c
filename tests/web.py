"""Web servers on loopback, for the time of a ``with`` block."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class _Files(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, asked: Callable[[str], object], **options: Any) -> None:
        self._asked = asked
        super().__init__(*args, **options)

    def do_GET(self) -> None:
        self._asked(self.path)
        super().do_GET()

    def list_directory(self, path: Any) -> None:
        self.send_error(HTTPStatus.FORBIDDEN)

    def log_message(self, *_: object) -> None:
        pass


def web_server(folder: Path, asked: Callable[[str], object] = str) -> AbstractContextManager[str]:
    """Serve a folder's files by name, and list none; `asked` is told the path of each before it is given."""
    return serving(partial(_Files, directory=str(folder), asked=asked))


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """Answer requests with a handler; give the server's URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
