"""The dataset card: Hugging Face reads its head, people its sections, and nothing in it is markup of others."""

import re

import pytest
import yaml

from pipelines.reports.card import card
from pipelines.tables import Outcome
from tests.reports.making import facts


def head_of(text: str) -> dict[str, object]:
    _, head, _ = text.split("---\n", 2)
    return dict(yaml.safe_load(head))


def test_hugging_faces_parser_accepts_it() -> None:
    hub = pytest.importorskip("huggingface_hub", reason="needs the package huggingface_hub")
    parsed = hub.DatasetCard(card(facts()))
    assert parsed.data.pretty_name.endswith("2026.11.23")
    assert parsed.data.license == "other"
    assert parsed.data.size_categories == ["n<1K"]
    assert parsed.data.to_dict()["configs"][0]["data_files"] == "parquet/*.parquet"
    assert "# Wikipedia images with captions and embeddings" in parsed.text


def test_languages_are_codes_that_hugging_face_knows() -> None:
    assert head_of(card(facts()))["language"] == ["de", "en"]


@pytest.mark.parametrize(
    ("released", "size"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (6_500_000, "1M<n<10M"), (20_000_000, "10M<n<100M")],
)
def test_the_size_category_follows_the_number_of_pictures(released: int, size: str) -> None:
    outcomes = dict.fromkeys(Outcome, 0) | {Outcome.RELEASED: released}
    assert head_of(card(facts(outcomes=outcomes)))["size_categories"] == [size]


def test_it_has_a_datasheets_sections() -> None:
    sections = re.findall(r"^## (.*)$", card(facts()), re.MULTILINE)
    assert sections == [
        *("Motivation", "Composition", "Collection", "Filters", "Uses"),
        *("Known biases and limits", "Licences", "Removals", "Citation", "Contact"),
    ]


def test_every_outcome_is_counted_and_explained() -> None:
    made = facts()
    text = card(made)
    for outcome in Outcome:
        assert re.search(rf"^\| {outcome} \| {made.outcomes[outcome]:,} \| [\d.]+% \| \w.*\|$", text, re.MULTILINE)
    assert f"| **all** | **{made.images:,}** |" in text


def test_the_contact_is_the_operators() -> None:
    assert card(facts()).rstrip().endswith("Museum of Maps · https://maps.example/wit · wit@maps.example")


def test_stand_ins_are_announced_before_anything_else() -> None:
    settings = {
        "stand_in": True,
        "origin": "demo",
        "media_url": "http://127.0.0.1:1",
        "api_url": "http://127.0.0.1:1",
        "face_model": "cascade-stand-in",
    }
    text = card(facts(settings))
    assert text.index("Made with stand-in models") < text.index("## Motivation")
    assert "stand-in" in head_of(text)["tags"]  # type: ignore[operator]
    assert "Made with stand-in models" not in card(facts())


def test_markup_in_licences_shows_as_text() -> None:
    text = card(facts(licences={"<script>alert(1)</script> | [x](javascript:y)": 3}))
    assert "<script>" not in text
    assert r"&lt;script&gt;alert(1)&lt;/script&gt; \| \[x\](javascript:y)" in text


def test_long_lists_are_cut_and_add_up() -> None:
    text = card(facts(languages={f"l{number}": 100 - number for number in range(40)}))
    shown = [int(count) for count in re.findall(r"^\| l\d+ \| (\d+) \|$", text, re.MULTILINE)]
    (rest,) = re.findall(r"^\| 25 others \| ([\d,]+) \|$", text, re.MULTILINE)
    assert sum(shown) + int(rest.replace(",", "")) == sum(100 - number for number in range(40))


def test_an_operator_without_a_page_and_an_address_is_no_error() -> None:
    settings = {"origin": "mirror", "media_url": "https://mirror", "api_url": "https://mirror", "operator_url": ""}
    assert card(facts({**settings, "operator_contact": ""})).rstrip().endswith("Museum of Maps")
