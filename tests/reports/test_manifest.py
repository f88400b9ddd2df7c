"""The manifest: everything that a release depends on, and nothing else of the machine on which it was made."""

import json
from hashlib import sha256

import pytest

from pipelines.engine.step import Context, release_path
from pipelines.reports.checksums import format_sums, parse_sums
from pipelines.reports.facts import public_name
from pipelines.reports.manifest import manifest
from pipelines.vision.devices import processor_for
from tests.reports.making import facts
from tests.shared import shared


def test_it_is_the_same_on_every_machine() -> None:
    """Stores, servers and numbers of workers differ from machine to machine."""
    here = {"store": "/home/me/store", "origin": "mirror", "media_url": "http://10.0.0.7:81", "api_url": "http://a/api"}
    there = {"store": "s3://bucket/x", "origin": "mirror", "media_url": "http://mirror", "api_url": "http://b/api"}
    files = {"wit_files": ["/data/wit/sample.tsv.gz"]}, {"wit_files": ["./sample.tsv.gz"]}
    first = manifest(facts({**here, **files[0], "workers": 3, "connections": 9}))
    assert first == manifest(facts({**there, **files[1], "workers": 1}))
    text = json.dumps(first)
    for private in ("/home/me", "10.0.0.7", "/data/wit", "workers", "media_url"):
        assert private not in text


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/home/me/a.tsv", "a.tsv"),
        ("relative/a.tsv.gz", "a.tsv.gz"),
        ("file:///home/me/a.tsv", "a.tsv"),
        ("https://me:secret@host.example/x/a.tsv?token=1#y", "https://host.example/x/a.tsv"),
        ("s3://key:secret@bucket/a.tsv", "s3://bucket/a.tsv"),
        ("https://host:8080/a.tsv", "https://host:8080/a.tsv"),
    ],
)
def test_names_of_inputs_hold_no_secrets_and_no_folders(path: str, name: str) -> None:
    assert public_name(path) == name


def test_another_setting_is_another_manifest() -> None:
    assert manifest(facts({"face_threshold": 0.2})) != manifest(facts())


def test_software_and_weights_are_named() -> None:
    made = manifest(facts())
    assert made["software"]["pyarrow"]
    assert made["models"] == [
        {
            "name": "retinaface-resnet50",
            "sha256": "cd" * 32,
            "licence": "for non-commercial research",
            "stand_in": False,
            "processors": {"cuda bf16": 700, "cpu fp32": 100},
        }
    ]


def test_manifest_and_card_name_the_processors_that_last_digits_depend_on(published: Context) -> None:
    store, version = published.store, published.version
    made = store.read_json(release_path(version, "manifest.json"))
    released = made["counts"]["outcomes"]["released"]
    faces, features = (model["processors"] for model in made["models"])
    assert features == {str(processor_for("cpu")): released}
    (looked_at,) = faces.values()
    assert looked_at >= released
    assert f"| {released} {processor_for('cpu')} |" in (store.read_text(release_path(version, "README.md")) or "")


def test_it_names_every_file_with_size_checksum_and_rows(published: Context) -> None:
    store, version = published.store, published.version
    made = store.read_json(release_path(version, "manifest.json"))
    found = {path.removeprefix(release_path(version, "")) for path in store.files(f"releases/{version}")}
    assert set(made["files"]) == found - {"manifest.json", "SHA256SUMS"}
    for path, entry in made["files"].items():
        with store.open(release_path(version, path)) as file:
            data = file.read()
        assert (entry["bytes"], entry["sha256"]) == (len(data), sha256(data).hexdigest()), path
    pixels = sum(entry["rows"] for path, entry in made["files"].items() if path.startswith("image_pixels/"))
    assert pixels == made["counts"]["outcomes"]["released"]


def test_the_inputs_checksum_is_that_of_the_file(published: Context) -> None:
    made = published.store.read_json(release_path(published.version, "manifest.json"))
    data = shared("wit/commons_sample.tsv.gz").read_bytes()
    assert [(one["name"], one["sha256"]) for one in made["inputs"]] == [
        ("commons_sample.tsv.gz", sha256(data).hexdigest())
    ]
    assert made["inputs"][0]["rows"] == 33


def test_sums_are_written_and_read() -> None:
    sums = {"b/c d.csv.gz": "0" * 64, "a": "f" * 64}
    assert format_sums(sums) == f"{'f' * 64}  a\n{'0' * 64}  b/c d.csv.gz\n"
    assert parse_sums(format_sums(sums)) == sums
