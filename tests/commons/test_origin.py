"""Profiles of origins: the policy binds unless its makers agreed to something else."""

import pickle
import re
from typing import Any
from urllib.parse import unquote

import pytest

from pipelines.commons.origin import API_URL, MEDIA_URL, Origin, PolicyError, origin
from pipelines.errors import SettingError

WHO = {
    "operator_name": "Example Institute",
    "operator_contact": "data@institute.example",
    "operator_url": "https://institute.example/wit",
}
OWN = {"media_url": "http://127.0.0.1:1/", "api_url": "http://127.0.0.1:1/w/api.php"}


def made(profile: str = "wikimedia", **settings: Any) -> Origin:
    return origin(profile, **{**WHO, **settings})  # type: ignore[arg-type]


def test_wikimedia_has_its_policy_s_limits() -> None:
    commons = made()
    assert (commons.media_url, commons.api_url) == (MEDIA_URL, API_URL)
    assert (commons.connections, commons.bits_per_second, commons.api_connections) == (2, 25_000_000, 1)
    assert commons.api_requests_per_second is not None
    assert commons.api_requests_per_second * 60 <= 200
    assert commons.api_requests_per_second < 5
    assert commons.api_slow_rest == 5
    assert commons.media_allowance.bits_per_second == 12_500_000
    assert commons.thumbnail_width == 330


def test_the_user_agent_names_the_operator_and_how_to_reach_them() -> None:
    pattern = (
        r"Example-Institute/\S+ \(https://institute\.example/wit; data@institute\.example\) wit-release/\S+ aiohttp/\S+"
    )
    assert re.fullmatch(pattern, made().user_agent)


@pytest.mark.parametrize("contact", ["", "nobody", "nobody@nowhere", "a b@c.de", "x@y.z\r\nX-Injected: 1"])
def test_without_a_contact_of_the_operator_nothing_starts(contact: str) -> None:
    with pytest.raises(PolicyError, match="operator_contact") as caught:
        made(operator_contact=contact)
    assert caught.value.setting == "operator_contact"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("contact", ["info@müller.example", "info@institute.example"])
@pytest.mark.parametrize("url", ["https://müller.example/über-uns", "https://x.example/A_(b);c?d=%20e#f"])
def test_whom_a_header_cannot_name_is_not_named_as_somebody_else(contact: str, url: str) -> None:
    agent = made(operator_contact=contact, operator_url=url).user_agent
    assert agent.isascii()
    named = agent.partition("(")[2].partition(")")[0].split("; ")
    assert [unquote(part) for part in named] == [unquote(url), contact]


@pytest.mark.parametrize("name", ["A\r\nX: 1", "Über Institut", "a(b)c;", "///"])
def test_no_setting_can_put_a_second_header_into_a_request(name: str) -> None:
    agent = made("mirror", **OWN, operator_name=name, operator_url="https://x.example/\r\nX: 1 (;)").user_agent
    assert agent.isascii()
    assert agent.isprintable()
    assert agent.count("(") == agent.count(")") == 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [("connections", 3), ("bits_per_second", 25_000_001), ("api_connections", 2), ("api_requests_per_second", 5.0)],
)
def test_the_policy_is_loosened_only_by_naming_an_agreement(setting: str, value: float) -> None:
    with pytest.raises(PolicyError, match=f"{setting}: .* above .*bot-traffic@wikimedia.org") as caught:
        made(**{setting: value})
    assert caught.value.setting == setting
    assert getattr(made(**{setting: value}, agreement="T351677#99"), setting) == value


@pytest.mark.parametrize(
    ("setting", "value"), [("connections", 1), ("bits_per_second", 1_000_000), ("api_requests_per_second", 1.0)]
)
def test_less_than_the_policy_allows_needs_no_agreement(setting: str, value: float) -> None:
    assert getattr(made(**{setting: value}), setting) == value


def test_calling_wikimedia_s_servers_a_mirror_loosens_nothing() -> None:
    api = {"api_url": OWN["api_url"]}
    with pytest.raises(PolicyError, match="connections"):
        made("mirror", media_url="https://upload.wikimedia.org", connections=64, **api)
    with pytest.raises(PolicyError, match="operator_contact"):
        made("mirror", media_url="https://upload.wikimedia.org", operator_contact="", **api)
    assert made("mirror", media_url="https://upload.wikimedia.org", **api).connections == 2


def test_a_mirror_has_its_own_limits() -> None:
    mirror = made("mirror", **OWN, operator_contact="", connections=64)
    assert (mirror.connections, mirror.bits_per_second, mirror.api_requests_per_second) == (64, None, None)
    assert mirror.media_url == "http://127.0.0.1:1"
    assert mirror.api_slow_rest == 0


@pytest.mark.parametrize("missing", ["media_url", "api_url"])
def test_a_mirror_needs_servers(missing: str) -> None:
    with pytest.raises(SettingError, match=missing):
        made("mirror", **{**OWN, missing: None})


@pytest.mark.parametrize("url", ["upload.example", "file:///etc/passwd", "ftp://x.example", "http://", "http://a/?q=1"])
def test_a_server_is_http(url: str) -> None:
    with pytest.raises(SettingError, match="media_url"):
        made("mirror", **{**OWN, "media_url": url})


def test_a_limit_below_zero_is_refused() -> None:
    with pytest.raises(PolicyError, match="below zero"):
        made(connections=-1)
