"""The origin: where pictures come from, and what its operator allows. Politeness is a property of the origin.

Wikimedia's limits come from its robot policy and user-agent policy (https://wikitech.wikimedia.org/wiki/Robot_policy,
https://foundation.wikimedia.org/wiki/Policy:Wikimedia_Foundation_User-Agent_Policy): media at most 2 connections in all
and at most 25 Mbit/s over any 10 s; the Action API one connection without login, under 5 requests/s and 200 a minute.
A mirror and the demo are the user's own machines and have the limits that the user gives them.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from pipelines.commons.politeness import Allowance
from pipelines.errors import SettingError

Profile = Literal["wikimedia", "mirror", "demo"]

MEDIA_URL = "https://upload.wikimedia.org"
API_URL = "https://commons.wikimedia.org/w/api.php"
CONNECTIONS = 2
BITS_PER_SECOND = 25_000_000
API_CONNECTIONS = 1
API_REQUESTS_PER_SECOND = 200 / 60

_OWN_CONNECTIONS = 16
_ON_THIS_MACHINE: dict[str, Any] = {"attempts": 3, "backoff": 0.2, "backoff_limit": 2.0}  # nobody to be patient with
_MAIL = re.compile(r"[^@\s()<>;]+@[^@\s()<>;]+\.[^@\s()<>;]+")
_UNSENDABLE = re.compile(r"[^!-~]|[()\\;]")  # in the comment of a header: no blanks, nothing that ends it, ASCII alone


class PolicyError(SettingError):
    """The settings go against what the operator of the servers asks of its users; names the setting."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting}: {problem}")
        self.setting = setting
        self.problem = problem

    def __reduce__(self) -> tuple[type["PolicyError"], tuple[str, str]]:
        """Travel between processes with both arguments."""
        return PolicyError, (self.setting, self.problem)


@dataclass(frozen=True, slots=True)
class Origin:
    """Servers, and how to behave towards them. Made by `origin`, which holds the policy; limits are for all workers.

    Args:
        profile: whose servers these are.
        media_url: base of the media servers, without a slash at the end; paths below it are Wikimedia's.
        api_url: the Action API (…/w/api.php).
        user_agent: sent with every request; names the operator and how to reach them.
        connections: to the media servers, in all.
        bits_per_second: from the media servers, in all; None: no limit.
        api_connections: to the Action API, in all.
        api_requests_per_second: to the Action API, in all; None: no limit.
        api_slow_rest: seconds to rest after an API request that took over a second.
        agreement: what allows more than the policy does; None: nothing.
        thumbnail_width: of the thumbnails asked for; one of `names.STANDARD_WIDTHS`.
        max_bytes: the largest response that is read.
        connect_timeout: seconds to connect.
        read_timeout: seconds without a byte.
        total_timeout: seconds for one response.
        attempts: how often a file is asked for when the reason for failing may pass.
        backoff: seconds of the first wait between two attempts; it doubles, with jitter, up to `backoff_limit`.
        backoff_limit: seconds.
        give_up_after: seconds without a single success and with nothing but failures, after which a run stops.

    """

    profile: Profile
    media_url: str
    api_url: str
    user_agent: str
    connections: int = CONNECTIONS
    bits_per_second: int | None = BITS_PER_SECOND
    api_connections: int = API_CONNECTIONS
    api_requests_per_second: float | None = API_REQUESTS_PER_SECOND
    api_slow_rest: float = 5.0
    agreement: str | None = None
    thumbnail_width: int = 330
    max_bytes: int = 64 << 20
    connect_timeout: float = 20.0
    read_timeout: float = 30.0
    total_timeout: float = 300.0
    attempts: int = 10
    backoff: float = 1.0
    backoff_limit: float = 60.0
    give_up_after: float = 900.0

    @property
    def media_allowance(self) -> Allowance:
        """What each connection to the media servers may use: an equal share of the whole."""
        bits = None if self.bits_per_second is None else self.bits_per_second / self.connections
        return Allowance(bits_per_second=bits)

    @property
    def api_allowance(self) -> Allowance:
        """What each connection to the Action API may use."""
        requests = self.api_requests_per_second
        share = None if requests is None else requests / self.api_connections
        return Allowance(requests_per_second=share, slow_rest=self.api_slow_rest)


def user_agent(name: str, contact: str, url: str) -> str:
    """Return ``Name/Version (https://operator…; contact) library/version``: the contact is the operator's own.

    What a header cannot hold is written with percent signs, as URLs and addresses have it (RFC 3986, 6068).
    """
    try:
        release = version("wit-release")
    except PackageNotFoundError:
        release = "0"
    product = re.sub(r"[^A-Za-z0-9!#$%&'*+.^_`|~-]+", "-", name).strip("-") or "wit-release"
    about = "; ".join(_UNSENDABLE.sub(lambda found: quote(found[0]), part) for part in (url, contact) if part)
    comment = f" ({about})" if about else ""
    return f"{product}/{release}{comment} wit-release/{release} aiohttp/{version('aiohttp')}"


def origin(
    profile: Profile,
    *,
    operator_name: str,
    operator_contact: str,
    operator_url: str,
    media_url: str | None = None,
    api_url: str | None = None,
    inputs: Collection[str] = (),
    agreement: str | None = None,
    connections: int | None = None,
    bits_per_second: int | None = None,
    api_connections: int | None = None,
    api_requests_per_second: float | None = None,
) -> Origin:
    """Return the origin of a profile; an argument that is None (or empty, or 0) takes the profile's own value.

    Args:
        inputs: what else is read under the user agent; files on Wikimedia's servers need a contact, too.

    Raises:
        PolicyError: Wikimedia without a contact of the operator, or limits above its policy without an agreement.
        SettingError: a mirror or the demo without the URLs of its servers, or a URL that is none.

    """
    wikimedia = profile == "wikimedia"
    media_url = _server("media_url", profile, media_url or (MEDIA_URL if wikimedia else None)).rstrip("/")
    api_url = _server("api_url", profile, api_url or (API_URL if wikimedia else None))
    policy = wikimedia or any(_wikimedias(url) for url in (media_url, api_url))
    if (policy or any(map(_wikimedias, inputs))) and not _MAIL.fullmatch(operator_contact):
        raise PolicyError(
            "operator_contact",
            "Wikimedia's user-agent policy asks for an address at which the operator can be reached; "
            f"{operator_contact!r} is no e-mail address. Give your own before the first request: among the settings of "
            "a release, or for refreshes in the deployment's defaults (WIT_RELEASE_DEFAULTS)",
        )
    limits: dict[str, tuple[float | None, float | None, float]] = {
        "connections": (connections, None if policy else _OWN_CONNECTIONS, CONNECTIONS),
        "bits_per_second": (bits_per_second, None, BITS_PER_SECOND),
        "api_connections": (api_connections, None if policy else 2, API_CONNECTIONS),
        "api_requests_per_second": (api_requests_per_second, None, API_REQUESTS_PER_SECOND),
    }
    chosen = {
        setting: _limit(setting, asked, allowed if policy else None, own, agreement)
        for setting, (asked, own, allowed) in limits.items()
    }
    bits = chosen["bits_per_second"]
    return Origin(
        profile=profile,
        media_url=media_url,
        api_url=api_url,
        user_agent=user_agent(operator_name, operator_contact, operator_url),
        connections=int(chosen["connections"] or 1),
        bits_per_second=None if bits is None else int(bits),
        api_connections=int(chosen["api_connections"] or 1),
        api_requests_per_second=chosen["api_requests_per_second"],
        api_slow_rest=5.0 if policy else 0.0,
        agreement=agreement or None,
        **(_ON_THIS_MACHINE if profile == "demo" else {}),
    )


def _limit(
    setting: str, asked: float | None, allowed: float | None, own: float | None, agreement: str | None
) -> float | None:
    """Return the limit to keep: what was asked for, or else what the policy allows, or else the profile's own."""
    if asked is not None and asked < 0:
        raise PolicyError(setting, f"{asked} is below zero")
    if not asked:
        return own if allowed is None else allowed
    if allowed is not None and asked > allowed and not agreement:
        raise PolicyError(
            setting,
            f"{asked:g} is above the {allowed:g} that Wikimedia's robot policy allows. Ask bot-traffic@wikimedia.org "
            "for more, and name what they agreed to in the setting agreement",
        )
    return asked


def _server(setting: str, profile: str, url: str | None) -> str:
    if not url:
        raise SettingError(f"{setting}: origin {profile} has no servers of its own; give their URL")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise SettingError(f"{setting}: {url!r} is not the URL of a server (http:// or https://, no query)")
    return url


def _wikimedias(url: str) -> bool:
    """Say whether a server is Wikimedia's, whatever the profile calls it: the policy binds there all the same."""
    host = urlsplit(url).hostname or ""
    return bool(re.search(r"(^|\.)(wikimedia|wikipedia|wikimediausercontent)\.org$", host))
