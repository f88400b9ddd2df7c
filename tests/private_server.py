"""A web server on loopback that gives its files only to who knows its secrets, for the time of a ``with`` block."""

import base64
from collections.abc import Mapping
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.web import serving

LOGIN = "reader:Planted-login-48151623"
QUERY = "X-Amz-Signature=Planted-signature-42108"
VARIABLES = {"WIT_SECRET_LOGIN": LOGIN, "WIT_SECRET_QUERY": QUERY}
"""What the environment of a program holds that may read."""


def named(url: str) -> str:
    """Return the URL as settings have it."""
    return url.replace("://", "://${WIT_SECRET_LOGIN}@") + "?${WIT_SECRET_QUERY}"


class _Private(BaseHTTPRequestHandler):
    files: Mapping[str, bytes]

    def do_GET(self) -> None:
        self._answer(self.command == "GET")

    do_HEAD = do_GET

    def _answer(self, with_body: bool) -> None:
        given = self.headers.get("Authorization", "")
        address = urlsplit(self.path)
        body = self.files.get(address.path)
        if given != "Basic " + base64.b64encode(LOGIN.encode()).decode():
            status = 401
        elif address.query != QUERY:
            status = 403
        elif body is None:
            status = 404
        else:
            status = 200 if body else 503
        data = body if status == 200 and body else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if with_body:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def private_server(files: Mapping[str, bytes]) -> AbstractContextManager[str]:
    """Serve these files by their paths; an empty one stands for a server in trouble."""
    return serving(type("Handler", (_Private,), {"files": files}))
