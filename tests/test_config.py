"""ReleaseConfig: what is out of range is refused by name, and every field explains itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import ReleaseConfig
from pipelines.errors import SettingError

DEMO = {"origin": "demo", "media_url": "http://127.0.0.1:1", "api_url": "http://127.0.0.1:1/w/api.php"}


def test_every_field_has_a_description_and_a_default() -> None:
    for name, field in ReleaseConfig.model_fields.items():
        assert field.description, name
        assert not field.is_required(), name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("face_threshold", 1.5),
        ("face_threshold", "many"),
        ("partitions", 0),
        ("image_width", 500),
        ("jpeg_quality", 0),
        ("max_rows", -1),
        ("version", "latest"),
        ("version", "../../etc"),
        ("origin", "elsewhere"),
        ("wit_files", []),
        ("face_model", "haar"),
        ("no_such_setting", 1),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(SettingError, match=rf"(^|; ){field}: "):
        ReleaseConfig.parse({**DEMO, field: value})


def test_all_wrong_settings_are_named_at_once() -> None:
    with pytest.raises(SettingError, match=r"partitions: .*; .*jpeg_quality: "):
        ReleaseConfig.parse({**DEMO, "partitions": 0, "jpeg_quality": 1})


@pytest.mark.parametrize("contact", ["", "me", "me@localhost", "a b@c.de"])
def test_wikimedia_without_the_operators_contact_is_refused(contact: str) -> None:
    with pytest.raises(SettingError, match=r"operator_contact: .*WIT_RELEASE_DEFAULTS"):
        ReleaseConfig.parse({"origin": "wikimedia", "operator_contact": contact}).commons()


@pytest.mark.parametrize(
    ("field", "place"),
    [
        ("wit_files", ["a.tsv", "https://analytics.wikimedia.org/published/wit.tsv.gz"]),
        ("deletion_dumps", "https://dumps.wikimedia.org/commonswiki/latest/commonswiki-latest-"),
    ],
)
def test_files_on_wikimedias_servers_need_the_operators_contact_whatever_the_origin(field: str, place: object) -> None:
    with pytest.raises(SettingError, match=r"^operator_contact: "):
        ReleaseConfig.parse({**DEMO, field: place}).commons()
    config = ReleaseConfig.parse({**DEMO, field: place, "operator_contact": "me@example.org"})
    assert config.commons().bits_per_second is None, "the limits are those of the media servers"


@pytest.mark.parametrize(("field", "value"), [("media_url", "ftp://files.example"), ("api_url", "no-url")])
def test_servers_that_are_none_are_refused(field: str, value: str) -> None:
    with pytest.raises(SettingError, match=rf"^{field}: "):
        ReleaseConfig.parse({**DEMO, "origin": "mirror", field: value}).commons()


def test_wikimedia_with_a_contact_has_wikimedias_limits() -> None:
    origin = ReleaseConfig.parse({"operator_contact": "me@example.org"}).commons()
    assert (origin.connections, origin.bits_per_second, origin.api_connections) == (2, 25_000_000, 1)
    assert "me@example.org" in origin.user_agent


def test_limits_above_the_policy_need_an_agreement() -> None:
    settings = {"operator_contact": "me@example.org", "connections": 8}
    with pytest.raises(SettingError, match=r"^connections: "):
        ReleaseConfig.parse(settings).commons()
    assert ReleaseConfig.parse({**settings, "agreement": "ticket 123"}).commons().connections == 8


@pytest.mark.parametrize("field", ["media_url", "api_url"])
def test_a_mirror_needs_its_urls(field: str) -> None:
    with pytest.raises(SettingError, match=rf"^{field}: "):
        ReleaseConfig.parse({**DEMO, "origin": "mirror", field: ""}).commons()


def test_stand_ins_need_to_be_asked_for_and_are_for_the_demo_alone() -> None:
    with pytest.raises(SettingError, match="stand_in"):
        ReleaseConfig.parse({**DEMO, "face_model": "cascade-stand-in"})
    with pytest.raises(SettingError, match="stand_in"):
        ReleaseConfig.parse({**DEMO, "origin": "mirror", "stand_in": True})
    assert ReleaseConfig.parse({**DEMO, "face_model": "cascade-stand-in", "stand_in": True}).stand_in


def test_categories_and_templates_may_be_given_as_commons_shows_them() -> None:
    config = ReleaseConfig.parse(
        DEMO
        | {
            "deletion_categories": ["Category:Copyright violations", ":category: Duplicate", "Category talk", "Other"],
            "deletion_dated_categories": ["CATEGORY:Deletion_requests"],
            "deletion_templates": ["Template:Delete", "template:Category:Odd"],
        }
    )
    assert config.deletion_categories == ["Copyright violations", "Duplicate", "Category talk", "Other"]
    assert config.deletion_dated_categories == ["Deletion_requests"]
    assert config.deletion_templates == ["Delete", "Category:Odd"]


@pytest.mark.parametrize("name", ["", " ", "Category:", "category: _"])
def test_a_category_without_a_name_is_refused(name: str) -> None:
    with pytest.raises(SettingError, match=r"^deletion_categories\.1: a name is needed"):
        ReleaseConfig.parse({**DEMO, "deletion_categories": ["Duplicate", name]})


@given(st.floats(min_value=0, max_value=1), st.integers(min_value=1, max_value=1000))
def test_settings_survive_a_round_trip(threshold: float, partitions: int) -> None:
    config = ReleaseConfig.parse({**DEMO, "face_threshold": threshold, "partitions": partitions})
    assert ReleaseConfig.parse(config.model_dump(mode="json")) == config
