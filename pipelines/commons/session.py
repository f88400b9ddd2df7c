"""One polite conversation with an Action API: a lease, a connection, and an answer to each question in the end.

What may pass is waited for and asked again: a lag of the database (``maxlag``), throttling, server errors, lost
connections, and trouble with the database, which MediaWiki tells with status 200 and the name of an exception. After a
slow answer the policy asks for a rest, which the governor keeps. Synchronous for its callers, with an event loop of its
own.
"""

import asyncio
import json
import logging
import random
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
from yarl import URL

from pipelines.commons.origin import Origin
from pipelines.commons.politeness import Governor, Lease, Leases
from pipelines.commons.traffic import BYTES_RECEIVED, LEASE_WAIT, REQUESTS, RETRIES, THROTTLES
from pipelines.commons.verdict import UserAgentRefused, readable, retry_after
from pipelines.errors import WitReleaseError

_PATIENCE = 0.5
_LONGEST_URL = 4000  # as it is sent; longer queries are posted: servers and proxies refuse long URLs
_MAX_ANSWER = 64 << 20
_MAXLAG = "5"  # seconds, as https://www.mediawiki.org/wiki/Manual:Maxlag_parameter recommends
_SILENCING = frozenset({"maxlag", "ratelimited", "readonly", "timeout"})
_DATABASE = ("internal_api_error_DB", "internal_api_error_ReadOnly")  # what the codes of its exceptions begin with
_LAG_PAUSE = 5.0

log = logging.getLogger(__name__)

Json = dict[str, Any]


class ApiError(WitReleaseError):
    """The API refuses a query; `code` is its word for why."""

    def __init__(self, code: str, info: str) -> None:
        super().__init__(f"the Action API refuses the query: {code}: {info}")
        self.code = code
        self.info = info

    def __reduce__(self) -> tuple[type["ApiError"], tuple[str, str]]:
        """Travel between processes with both arguments."""
        return ApiError, (self.code, self.info)


class ApiUnavailable(WitReleaseError):
    """The API kept failing; what it said before is kept, and the next run goes on from there."""


class _Passing(Exception):
    """A failure that may pass; `pause` is how long the server wants silence (seconds), if it says so."""

    def __init__(self, detail: str, pause: float | None = None) -> None:
        super().__init__(detail)
        self.pause = pause


class ApiSession:
    """A connection to the API, opened with the first question and kept until `close`."""

    def __init__(self, origin: Origin, leases: Leases) -> None:
        self._origin = origin
        self._leases = leases
        self._runner = asyncio.Runner()
        self._lease: Lease | None = None
        self._governor: Governor
        self._http: aiohttp.ClientSession | None = None

    def close(self) -> None:
        """Close the connection and hand the lease on."""
        try:
            self._runner.run(self._hang_up())
        finally:
            self._runner.close()

    def ask(self, parameters: Mapping[str, str]) -> Json:
        """Return the answer to a query.

        Raises:
            ApiError: the API refuses it.
            ApiUnavailable: it failed `origin.attempts` times, or still asked for silence after `origin.give_up_after`
                seconds of it.
            UserAgentRefused: the servers refuse this operator.

        """
        failures, silence = 0, 0.0
        while True:
            try:
                return self._runner.run(self._ask(parameters))
            except _Passing as problem:
                failures += problem.pause is None
                if failures >= self._origin.attempts or silence >= self._origin.give_up_after:
                    raise ApiUnavailable(
                        f"{self._origin.api_url} failed {failures} times, and asked for {silence:.0f} s of silence, "
                        f"lastly: {problem}. What it said before is kept; start the run again when it is back"
                    ) from problem
                if problem.pause is None:
                    backoff = min(self._origin.backoff * 2.0 ** (failures - 1), self._origin.backoff_limit)
                    time.sleep(backoff * random.uniform(0.5, 1.5))
                else:
                    pause = max(problem.pause, self._origin.backoff)
                    silence += pause
                    self._leases.announce_pause(pause)
                    self._leases.traffic.add(THROTTLES)
                self._leases.traffic.add(RETRIES)
                log.info("asking the Action API again: %s", problem)

    async def _ask(self, parameters: Mapping[str, str]) -> Json:
        http = await self._pick_up()
        while wait := max(self._governor.start_delay(time.monotonic()), self._leases.paused_for()):
            await asyncio.sleep(min(wait, 1.0))
        query = {**parameters, "maxlag": _MAXLAG}
        self._governor.started(time.monotonic())
        self._leases.traffic.add(REQUESTS)
        try:
            api = URL(self._origin.api_url)
            url = api.with_query(query)
            post = len(str(url)) > _LONGEST_URL
            asking = http.post(api, data=query, allow_redirects=False) if post else http.get(url, allow_redirects=False)
            async with asking as response:
                body = await _read(response)
                self._leases.traffic.add(BYTES_RECEIVED, len(body))
        except TimeoutError:
            raise _Passing("timed out") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _Passing(f"{type(error).__name__}: {error}") from error
        finally:
            self._governor.finished(time.monotonic())
        return self._understand(response.status, response.headers, body)

    def _understand(self, status: int, headers: Mapping[str, str], body: bytes) -> Json:
        wait = retry_after(headers)
        if status == 403:
            raise UserAgentRefused(self._origin.api_url, readable(body))
        if status == 429 or status >= 500:
            raise _Passing(f"{status}: {readable(body)}", wait if wait is not None or status != 429 else _LAG_PAUSE)
        if status != 200:
            raise ApiError(str(status), readable(body) or "no explanation")
        try:
            answer = json.loads(body)
        except ValueError as error:
            raise _Passing(f"the answer is not JSON: {readable(body)}") from error
        if not isinstance(answer, dict):
            raise _Passing(f"the answer is no object: {readable(body)}")
        refusal = answer.get("error")
        if not refusal:
            return answer
        code, info = str(refusal.get("code")), str(refusal.get("info"))
        if code in _SILENCING:
            raise _Passing(f"{code}: {info}", _LAG_PAUSE if wait is None else wait)
        if code.startswith(_DATABASE):
            raise _Passing(f"{code}: {info}", wait)
        raise ApiError(code, info)

    async def _pick_up(self) -> aiohttp.ClientSession:
        """Return the open connection under a valid lease, after opening it where needed."""
        if self._lease is not None and not self._lease.valid():
            await self._hang_up()
        if self._http is not None:
            return self._http
        asked = time.monotonic()
        while (lease := await asyncio.to_thread(self._leases.acquire, _PATIENCE)) is None:
            pass
        self._leases.traffic.add(LEASE_WAIT, time.monotonic() - asked)
        self._lease = lease
        self._governor = Governor(self._leases.allowance, time.monotonic())
        timeout = aiohttp.ClientTimeout(
            total=self._origin.total_timeout,
            sock_connect=self._origin.connect_timeout,
            sock_read=self._origin.read_timeout * 2,
        )
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1),
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._origin.user_agent, "Accept-Encoding": "gzip"},
        )
        return self._http

    async def _hang_up(self) -> None:
        http, self._http = self._http, None
        lease, self._lease = self._lease, None
        if http is not None:
            await http.close()
        if lease is not None:
            try:
                await asyncio.sleep(self._governor.settle_delay(time.monotonic()))
            finally:
                await asyncio.to_thread(lease.release)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read an answer, decompressed; one above `_MAX_ANSWER` is a failure, not a file to keep."""
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > _MAX_ANSWER:
            response.close()
            raise _Passing(f"the answer is larger than {_MAX_ANSWER} bytes")
    return b"".join(chunks)
