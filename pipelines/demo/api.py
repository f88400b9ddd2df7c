"""The Action API over a Wiki: what /w/api.php answers, in formatversion 2. No HTTP here: parameters in, JSON out.

It answers as the real one does where a client can tell: titles are normalised and redirects resolved in lists of
their own, deleted files are pages with ``missing``, over 50 titles are refused, long answers continue, a title
whose thumbnail parameters cannot be normalised fails the whole query, the thumbnail URL has a query string and is
of the next standard width while ``thumbwidth`` repeats the width that was asked for.
"""

from collections.abc import Mapping
from typing import Any

from pipelines.commons.names import (
    STANDARD_WIDTHS,
    MalformedUrl,
    file_name,
    file_page_url,
    original_path,
    thumbnail_path,
)
from pipelines.demo.wiki import FileInfo, Wiki, title_of

MAX_TITLES = 50
MAX_MEMBERS = 500
_THUMB_MIME = {"image/svg+xml": "image/png", "image/webp": "image/png", "image/tiff": "image/jpeg"}

Json = dict[str, Any]


class ApiError(Exception):
    """An error that the API reports with status 200 and a code."""

    def __init__(self, code: str, info: str) -> None:
        super().__init__(info)
        self.code = code
        self.info = info


class ActionApi:
    """Answers queries over a wiki.

    Args:
        wiki: what there is to know.
        described_at_once: how many files one answer describes before it continues. The real limit depends on the
            answer's size and on thumbnails (50); a smaller one makes clients follow ``continue``.

    """

    def __init__(self, wiki: Wiki, described_at_once: int = MAX_TITLES) -> None:
        self._wiki = wiki
        self._at_once = described_at_once
        self._pages = {name: number for number, name in enumerate(sorted(wiki.names), start=1)}

    def answer(self, params: Mapping[str, str], base: str) -> Json:
        """Return the answer to a request; errors too are answers.

        Args:
            params: of the query string or form.
            base: URL of the media servers, for the URLs in the answer.

        """
        try:
            if params.get("action") != "query":
                raise ApiError("badvalue", f'Unrecognized value for parameter "action": {params.get("action", "")}.')
            if params.get("format", "json") != "json" or params.get("formatversion", "2") != "2":
                raise ApiError("badvalue", "this Commons speaks format=json&formatversion=2 only")
            return self._query(params, base)
        except ApiError as error:
            return {"error": {"code": error.code, "info": error.info}, "servedby": "demo"}

    def _query(self, params: Mapping[str, str], base: str) -> Json:
        query: Json = {}
        answer: Json = {"batchcomplete": True}
        proceed: Json = {}
        if "titles" in params:
            proceed |= self._titles(params, base, query)
        for listing in filter(None, params.get("list", "").split("|")):
            if listing == "categorymembers":
                proceed |= self._category(params, query)
            elif listing == "embeddedin":
                proceed |= self._embedded(params, query)
            else:
                raise ApiError("badvalue", f'Unrecognized value for parameter "list": {listing}.')
        if proceed:
            answer = {"continue": proceed} if "iistart" in proceed else answer | {"continue": proceed}
        return answer | {"query": query}

    def _titles(self, params: Mapping[str, str], base: str, query: Json) -> Json:
        titles = list(dict.fromkeys(filter(None, params["titles"].split("|"))))
        if len(titles) > MAX_TITLES:
            raise ApiError(
                "toomanyvalues", f'Too many values supplied for parameter "titles". The limit is {MAX_TITLES}.'
            )
        pages: dict[str, Json] = {}
        for title in titles:
            self._resolve(title, "redirects" in params, query, pages)
        found = [page for page in pages.values() if "pageid" in page]
        wanted = _wanted_width(params)
        imageinfo = "imageinfo" in params.get("prop", "").split("|")
        for page in found if imageinfo else ():
            if self._wiki.spoils(page["_name"], thumbnails=bool(wanted)):
                raise ApiError("urlparamnormal", f"Could not normalize image parameters for {page['_name']}.")
        start = _number(params, "iistart", 0)
        described = found[start : start + self._at_once] if imageinfo else []
        props = params.get("iiprop", "timestamp|user").split("|")
        for page in described:
            if info := self._wiki.info(self._wiki.target(page["_name"])):
                page["imageinfo"] = [self._imageinfo(info, props, wanted, base)]
        query["pages"] = [{key: value for key, value in page.items() if key != "_name"} for page in pages.values()]
        after = start + self._at_once
        more = imageinfo and after < len(found)
        return {"iistart": str(after), "continue": "||"} if more else {}

    def _resolve(self, title: str, follow: bool, query: Json, pages: dict[str, Json]) -> None:
        if title.startswith(("Category:", "Template:")):
            there: Json = {} if self._wiki.has_page(title) else {"missing": True}
            pages[title] = {"ns": 14 if title.startswith("Category:") else 10, "title": title, **there}
            return
        try:
            name = file_name(title)
        except MalformedUrl as error:
            pages[title] = {"title": title, "invalidreason": error.reason, "invalid": True}
            return
        if not title.lower().startswith(("file:", "image:")):
            pages[title] = {"ns": 0, "title": title, "missing": True}
            return
        if title_of(name) != title:
            query.setdefault("normalized", []).append({"fromencoded": False, "from": title, "to": title_of(name)})
        target = self._wiki.target(name)
        if follow and target != name:
            query.setdefault("redirects", []).append({"from": title_of(name), "to": title_of(target)})
            name = target
        page: Json = {"ns": 6, "title": title_of(name), "_name": name}
        if target in self._pages:
            page = {"pageid": self._pages[target], **page, "imagerepository": "local"}
        else:
            page |= {"missing": True, "imagerepository": ""}
        pages[page["title"]] = page

    def _imageinfo(self, info: FileInfo, props: list[str], wanted: int, base: str) -> Json:
        said: Json = {}
        if "timestamp" in props:
            said["timestamp"] = info.timestamp
        if "size" in props:
            said |= {"size": info.size, "width": info.width, "height": info.height}
        if "url" in props:
            said |= _thumbnail(info, wanted, base) if wanted and info.width else {}
            said |= {"url": base + original_path(info.name), "descriptionurl": file_page_url(info.name)}
        if "sha1" in props:
            said["sha1"] = info.sha1
        if "mime" in props:
            said["mime"] = info.mime
        if "thumbmime" in props and wanted:
            said["thumbmime"] = _THUMB_MIME.get(info.mime, info.mime)
        if "extmetadata" in props:
            said["extmetadata"] = self._extmetadata(info.name)
        return said

    def _extmetadata(self, name: str) -> Json:
        fields = {"ObjectName": name.rpartition(".")[0].replace("_", " "), **self._wiki.licence(name)}
        fields["Categories"] = "|".join(self._wiki.categories_of(name))
        return {field: {"value": value, "source": "commons-desc-page", "hidden": ""} for field, value in fields.items()}

    def _category(self, params: Mapping[str, str], query: Json) -> Json:
        title = params.get("cmtitle", "")
        if not title.startswith("Category:"):
            raise ApiError("invalidcategory", f'The category name you entered is not valid: "{title}".')
        kinds = params.get("cmtype", "page|subcat|file").split("|")
        members = self._wiki.members(title.removeprefix("Category:"), kinds)
        shown, proceed = _slice(members, params, "cmlimit", "cmcontinue")
        query["categorymembers"] = [self._entry(title) for title in shown]
        return proceed

    def _embedded(self, params: Mapping[str, str], query: Json) -> Json:
        title = params.get("eititle", "").replace("_", " ")
        if not title.startswith("Template:"):
            raise ApiError("invalidtitle", f'Bad title "{title}".')
        files = self._wiki.transcluding(title.removeprefix("Template:"))
        if "6" not in params.get("einamespace", "6").split("|"):
            files = []
        shown, proceed = _slice(files, params, "eilimit", "eicontinue")
        query["embeddedin"] = [self._entry(title) for title in shown]
        return proceed

    def _entry(self, title: str) -> Json:
        number = self._pages.get(title.removeprefix("File:").replace(" ", "_"), 0)
        return {"pageid": number, "ns": 6 if title.startswith("File:") else 14, "title": title}


def _slice(titles: list[str], params: Mapping[str, str], limit: str, proceed: str) -> tuple[list[str], Json]:
    size = MAX_MEMBERS if params.get(limit) == "max" else min(MAX_MEMBERS, _number(params, limit, 10))
    start = _number(params, proceed, 0)
    more = {proceed: str(start + size), "continue": "-||"} if start + size < len(titles) else {}
    return titles[start : start + size], more


def _wanted_width(params: Mapping[str, str]) -> int:
    return max(0, _number(params, "iiurlwidth", 0))


def _number(params: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(params.get(name, default))
    except ValueError:
        raise ApiError("badinteger", f'Invalid value "{params[name]}" for integer parameter "{name}".') from None


def _thumbnail(info: FileInfo, wanted: int, base: str) -> Json:
    width = next((standard for standard in STANDARD_WIDTHS if standard >= wanted), STANDARD_WIDTHS[-1])
    enlarges = width >= info.width and info.mime != "image/svg+xml"
    path = original_path(info.name) if enlarges else thumbnail_path(info.name, width)
    shown = min(wanted, info.width) if enlarges else wanted
    height = max(1, round(info.height * shown / info.width))
    query = "?utm_source=demo&utm_campaign=api&utm_content=thumbnail"
    return {"thumburl": base + path + query, "thumbwidth": shown, "thumbheight": height}
