"""The pages and files under ``wit-releases/``: routes, who may see them, and what browsers are told about them.

Airflow does not guard the routes of plugins, so the application asks Airflow's own authentication for each of them,
addresses that do not exist included. The pages need no scripts, and the browser is told to run none.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse

from pipelines.errors import WitReleaseError

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent
_CHUNK = 1 << 20

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}
"""Of every answer. Inline styles: the report and the Data Docs are files that carry their style with them."""


def make_app() -> FastAPI:
    """Return the application; every route of it answers 401 to who is not signed in."""
    app = FastAPI(title="Releases", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(get_user)])

    @app.middleware("http")
    async def tell_browsers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers.update(HEADERS)
        return response

    app.get("/")(show_list)
    app.get("/compare")(show_comparison)
    app.get("/static/style.css")(style)
    app.get("/release/{version}/")(show_release)
    app.get("/files/{version}/{path:path}")(send_file)
    app.get("/making/{version}/report.html")(send_report_of_making)
    app.api_route("/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])(nothing)
    return app


def show_list() -> HTMLResponse:
    """Show all releases."""
    from release_pages.places import open_store
    from release_pages.shelf import entries

    try:
        store = open_store()
        return _page("list.html", "", entries=entries(store), place=store.url)
    except WitReleaseError as error:
        return _problem(str(error), "")


def show_release(version: str) -> HTMLResponse:
    """Show one release."""
    try:
        return _page("release.html", "../../", page=_read(version))
    except WitReleaseError as error:
        return _problem(str(error), "../../")


def show_comparison(before: str = "", after: str = "") -> HTMLResponse:
    """Show what differs between two releases."""
    from release_pages.comparison import compare

    try:
        return _page("compare.html", "", comparison=compare(_read(before), _read(after)))
    except WitReleaseError as error:
        return _problem(str(error), "")


def send_file(version: str, path: str) -> StreamingResponse:
    """Send a file of a release, piece by piece."""
    from pipelines.releases.notices import read_notice
    from release_pages.places import is_version, open_store, release_file

    store = open_store()
    inside = release_file(store, version, path)
    if is_version(version):
        for one in read_notice(store, version).withdrawn:
            if one.path == path:
                raise HTTPException(410, f"Withdrawn on {one.date}: File:{one.file} was taken down: {one.reason}")
    if inside is None:
        raise HTTPException(404, "There is no such file in a release.")
    return _send(store, inside)


def send_report_of_making(version: str) -> StreamingResponse:
    """Send the report that shows what making a release took: it is kept with the run, as no two runs take the same."""
    from release_pages.places import open_store, report_of_making

    store = open_store()
    inside = report_of_making(store, version)
    if inside is None:
        raise HTTPException(404, "There is no such report: the run did not come to its end, or its records are pruned.")
    return _send(store, inside)


def _send(store: Any, inside: str) -> StreamingResponse:
    from release_pages.places import content_type

    kind, shown = content_type(inside)
    name = quote(PurePosixPath(inside).name)
    headers = {"Content-Length": str(store.size(inside))}
    if not shown:
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"

    def pieces() -> Iterator[bytes]:
        with store.open(inside) as file:
            while piece := file.read(_CHUNK):
                yield piece

    return StreamingResponse(pieces(), media_type=kind, headers=headers)


def style() -> Response:
    """Send the style of the pages."""
    return Response((_HERE / "static" / "style.css").read_text("utf-8"), media_type="text/css")


def nothing(path: str) -> None:
    """Answer for every other address: 404, but only to who is signed in."""
    raise HTTPException(404, "There is no such page.")


def _read(version: str) -> Any:
    from release_pages.places import is_version, open_store
    from release_pages.shelf import read_page

    store = open_store()
    if not is_version(version) or not store.exists(f"runs/{version}/begun.json"):
        raise HTTPException(404, "There is no such release.")
    return read_page(store, version)


def _page(template: str, up: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Fill in a template.

    Args:
        template: its file.
        up: from the page's address to that of the list, so that no page needs to know where it is mounted.
        status: of the answer.
        values: for the template.

    """
    from release_pages.templating import render

    return HTMLResponse(render(template, up=up, **values), status)


def _problem(message: str, up: str) -> HTMLResponse:
    log.error("%s", message)
    return _page("problem.html", up, 503, message=message)
