"""Settings hold no secrets: the model refuses them, and the patterns by which the form does agree with it."""

import re

import pytest

from pipelines.config import ReleaseConfig
from pipelines.errors import SettingError
from pipelines.places import INPUT, PLACE, refuse_secrets, refuse_secrets_of_input
from tests.stages.making import NOWHERE

GOOD = [
    "store",
    "/data/what?.tsv",
    "a@b.tsv",
    "s3://bucket/prefix",
    "https://host/x@y.tsv",
    "https://host:8080/x.tsv",
    "",
]
BAD = [
    "https://me:pass@host/x.tsv",
    "https://me@host/x.tsv",
    "s3://key:secret@bucket/prefix",
    "https://host/x.tsv?X-Amz-Signature=1",
    "https://host/x.tsv?token=1#part",
    "zip://a.tsv::https://me:pass@host/x.zip",
    "x\nhttps://me:pass@host/x.tsv",
]
VARIABLES = [
    "https://${WIT_SECRET_LOGIN}@host/x.tsv",
    "https://host/x.tsv?${WIT_SECRET_QUERY}",
    "https://${WIT_SECRET_LOGIN}@host/x.tsv?${WIT_SECRET_QUERY}",
]
HALF = [
    "https://me:${WIT_SECRET_LOGIN}@host/x.tsv",
    "https://${AWS_SECRET_ACCESS_KEY}@host/x.tsv",
    "https://host/x.tsv?${WIT_SECRET_QUERY}&token=1",
    "https://host/x.tsv?token=${WIT_SECRET_QUERY}",
]


@pytest.mark.parametrize("text", GOOD)
def test_paths_and_plain_urls_are_taken(text: str) -> None:
    assert refuse_secrets(text) == refuse_secrets_of_input(text) == text


@pytest.mark.parametrize("text", VARIABLES)
def test_variables_may_stand_in_the_names_of_inputs_alone(text: str) -> None:
    assert refuse_secrets_of_input(text) == text
    with pytest.raises(ValueError, match="hold no secrets"):
        refuse_secrets(text)


@pytest.mark.parametrize("text", [*BAD, *HALF])
def test_urls_with_a_login_or_a_query_are_refused(text: str) -> None:
    for refuse, pattern in ((refuse_secrets, PLACE), (refuse_secrets_of_input, INPUT)):
        assert not re.search(pattern, text)
        with pytest.raises(ValueError, match="hold no secrets"):
            refuse(text)


@pytest.mark.parametrize("field", ["wit_files", "store", "media_url", "api_url", "deletion_dumps"])
def test_a_setting_with_a_secret_is_refused_by_name_and_without_the_secret(field: str) -> None:
    secret = "https://me:Planted@host/x"
    with pytest.raises(SettingError, match=f"^{field}.*hold no secrets") as refused:
        ReleaseConfig.parse({**NOWHERE, field: [secret] if field == "wit_files" else secret})
    assert "Planted" not in str(refused.value)
