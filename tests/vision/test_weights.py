"""Weights: found where they should be, downloaded whole or not at all, never used when they are the wrong ones."""

import hashlib
import http.server
import logging
import os
import pickle
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipelines.cli import main
from pipelines.vision import weights, weights_download
from pipelines.vision.checkpoint import check_architecture, load_network
from pipelines.vision.faces import load_detector
from pipelines.vision.weights_errors import (
    ChecksumMismatch,
    DamagedWeights,
    MissingWeights,
    UnknownModel,
    WeightsError,
    WrongArchitecture,
)
from pipelines.vision.weights_registry import REGISTRY, Weights, lookup
from tests.shared import shared
from tests.web import serving

CONTENT = b"weights" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Publisher(http.server.BaseHTTPRequestHandler):
    """Serves the files of a model: whole, altered, cut short, or not."""

    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        body = CONTENT[:-1] + b"!" if self.path == "/altered" else CONTENT
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:100] if self.path == "/short" else body)

    def log_message(self, *words: object) -> None: ...


@pytest.fixture(scope="module")
def publisher() -> Iterator[str]:
    with serving(Publisher) as url:
        yield url


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep this machine's own models out of the way."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("WIT_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    return tmp_path


def publish(monkeypatch: pytest.MonkeyPatch, *urls: str, sha256: str | None = DIGEST) -> Weights:
    entry = Weights("model", "model.pth", urls, sha256, len(CONTENT), "CC0", "a network")
    monkeypatch.setitem(REGISTRY, "model", entry)
    return entry


def test_a_file_is_downloaded_once_and_found_from_then_on(publisher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, f"{publisher}/whole")
    path = weights.find("model")
    assert path == weights.cache_folder() / "model.pth"
    assert path.read_bytes() == CONTENT
    publish(monkeypatch, f"{publisher}/missing")
    assert weights.find("model") == path
    assert [file.name for file in path.parent.iterdir()] == ["model.pth"]


def test_the_users_folder_comes_first_and_is_not_written_to(
    publisher: str, monkeypatch: pytest.MonkeyPatch, folders: Path
) -> None:
    publish(monkeypatch, f"{publisher}/whole")
    weights.find("model")
    (folders / "models" / "model.pth").write_bytes(CONTENT)
    assert weights.find("model") == folders / "models" / "model.pth"


def test_the_second_place_is_asked_when_the_first_has_nothing(publisher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, f"{publisher}/missing", f"{publisher}/short", f"{publisher}/whole")
    assert weights.find("model").read_bytes() == CONTENT


def test_a_file_that_no_place_has_is_missing_with_all_that_helps(
    publisher: str, monkeypatch: pytest.MonkeyPatch, folders: Path
) -> None:
    publish(monkeypatch, f"{publisher}/missing", f"{publisher}/short")
    with pytest.raises(MissingWeights) as failed:
        weights.find("model")
    for helpful in ("model.pth", f"{publisher}/missing", str(folders / "models"), "404", "100 of 7,000 bytes"):
        assert helpful in str(failed.value)
    assert not list(weights.cache_folder().iterdir())


def test_an_altered_download_is_refused_and_leaves_nothing(publisher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, f"{publisher}/altered")
    with pytest.raises(ChecksumMismatch, match=DIGEST):
        weights.find("model")
    assert not list(weights.cache_folder().iterdir())


def test_a_truncated_file_is_refused_by_its_checksum(monkeypatch: pytest.MonkeyPatch, folders: Path) -> None:
    publish(monkeypatch)
    (folders / "models" / "model.pth").write_bytes(CONTENT[:-10])
    with pytest.raises(ChecksumMismatch, match="6,990 bytes of 7,000"):
        weights.find("model")


def test_without_a_published_checksum_the_one_found_is_recorded(monkeypatch: pytest.MonkeyPatch, folders: Path) -> None:
    publish(monkeypatch, sha256=None)
    (folders / "models" / "model.pth").write_bytes(CONTENT)
    assert weights.weights_digest("model") == DIGEST
    assert weights.weights_used("model").sha256 == DIGEST


def test_a_published_checksum_is_known_without_the_file() -> None:
    assert weights.weights_digest("resnet50") == REGISTRY["resnet50"].sha256
    assert weights.installed("resnet50") is None


def test_a_stand_in_is_known_by_its_recipe_and_says_what_it_is() -> None:
    used = weights.weights_used("cascade-stand-in")
    assert used.stand_in
    assert len(used.sha256) == 64
    assert used.sha256 != weights.weights_digest("resnet50-stand-in")


def test_another_models_file_is_refused_by_both_names(folders: Path) -> None:
    (folders / "models" / "retinaface.pth").write_bytes(shared("models/mobilenet0.25_Final.pth").read_bytes())
    with pytest.raises(ChecksumMismatch, match=r"retinaface-mobilenet0\.25 .* not of retinaface-resnet50"):
        load_detector("retinaface-resnet50")


@pytest.fixture(scope="module")
def tensors() -> Mapping[str, Tensor]:
    loaded: Mapping[str, Tensor] = torch.load(
        shared("models/mobilenet0.25_Final.pth"), map_location="cpu", weights_only=True
    )
    return loaded


def test_weights_of_another_network_are_refused_by_both_names(tensors: Mapping[str, Tensor], folders: Path) -> None:
    path = folders / "models" / "retinaface.pth"
    torch.save(dict(tensors), path)  # the same weights in other bytes: no checksum gives them away
    with pytest.raises(WrongArchitecture, match=r"retinaface-mobilenet0\.25 .* not of retinaface-resnet50"):
        load_detector("retinaface-resnet50")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda held: held.pop("fpn.merge1.0.weight"), "has no tensor 'fpn.merge1.0.weight'"),
        (lambda held: held.update(extra=torch.zeros(1)), "too many, among them 'extra'"),
        (lambda held: held.update({"body.stage1.0.1.bias": torch.zeros(9)}), r"the shape \(9,\), not \(8,\)"),
    ],
)
def test_weights_that_fit_almost_are_refused(change, said: str, tensors: Mapping[str, Tensor], tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    held = dict(tensors)
    change(held)
    torch.save(held, tmp_path / "almost.pth")
    with pytest.raises(WrongArchitecture, match=said):
        check_architecture(lookup("retinaface-mobilenet0.25"), tmp_path / "almost.pth")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(number: float, tensors: Mapping[str, Tensor], tmp_path: Path) -> None:
    spoilt = {**tensors, "fpn.merge1.0.weight": torch.full((64, 64, 3, 3), number)}
    torch.save(spoilt, tmp_path / "spoilt.pth")
    with pytest.raises(DamagedWeights, match=r"fpn\.merge1\.0\.weight .* not finite"):
        check_architecture(lookup("retinaface-mobilenet0.25"), tmp_path / "spoilt.pth")


class Trap:
    """Would leave a trace if a file of weights could run code."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("trapped"),)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 cut short", pickle.dumps(Trap(), 2), pickle.dumps([1, 2], 2)],
    ids=["empty", "zip", "code", "list"],
)
def test_what_is_no_file_of_weights_is_refused_and_not_run(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.pth").write_bytes(content)
    with pytest.raises(DamagedWeights, match=r"other\.pth"):
        check_architecture(lookup("retinaface-mobilenet0.25"), tmp_path / "other.pth")
    assert not (tmp_path / "trapped").exists()


def test_check_tells_good_files_and_then_fails_with_every_bad_one(folders: Path) -> None:
    good = shared("models/mobilenet0.25_Final.pth")
    (folders / "models" / good.name).write_bytes(good.read_bytes())
    lines = weights.check_weights()
    assert next(lines).startswith("retinaface-mobilenet0.25: ")
    with pytest.raises(WeightsError, match=r"(?s)retinaface\.pth.*resnet50-0676ba61\.pth"):
        list(lines)


def test_list_names_file_digest_licence_and_place_of_every_model() -> None:
    listed = "\n".join(weights.list_weights())
    for entry in REGISTRY.values():
        for shown in (entry.name, entry.file, entry.sha256 or "not published", entry.licence, entry.urls[0]):
            assert shown in listed


def test_fetch_and_list_refuse_a_name_that_is_no_models() -> None:
    for command in (weights.fetch_weights, weights.list_weights):
        with pytest.raises(UnknownModel, match="resnet51"):
            list(command(["resnet51"]))


def test_a_network_is_loaded_from_the_published_file(mobilenet_weights: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIT_MODELS", str(shared("models")))
    assert sum(buffer.numel() for buffer in load_network("retinaface-mobilenet0.25").buffers()) > 400_000


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Give ``python -m pipelines weights``, in this process; its log goes with it."""
    log = logging.getLogger("pipelines")
    monkeypatch.setattr(log, "handlers", [])
    monkeypatch.setattr(log, "level", log.level)
    return lambda *words: main(["weights", *words])


def test_the_command_fetches_checks_and_tells_where_the_file_is(
    command: Callable[..., int], publisher: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(monkeypatch, f"{publisher}/whole")
    target = weights.cache_folder() / "model.pth"
    assert command("list", "model") == 0
    assert f"no; it will be downloaded to {target.parent}" in capsys.readouterr().out
    assert command("fetch", "model") == 0
    assert capsys.readouterr().out == f"model: {target}\n"
    assert target.read_bytes() == CONTENT
    assert command("list", "model") == 0
    assert f"here     {target}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "said"), [("altered", "gives another file"), ("short", "ended after 100"), ("missing", "404")]
)
def test_the_command_refuses_what_is_not_the_published_file(
    path: str,
    said: str,
    command: Callable[..., int],
    publisher: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish(monkeypatch, f"{publisher}/{path}")
    assert command("fetch", "model") == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err
    assert not list(weights.cache_folder().iterdir())


def test_the_command_checks_numbers_and_architecture_and_names_every_bad_file(
    command: Callable[..., int],
    tensors: Mapping[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
    folders: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Files whose checksums are right, or not published."""
    for name, file, change in (
        ("retinaface-mobilenet0.25", "nan.pth", {"fpn.merge1.0.weight": torch.full((64, 64, 3, 3), float("nan"))}),
        ("retinaface-resnet50", "wrong.pth", {}),
    ):
        torch.save({**tensors, **change}, folders / "models" / file)
        monkeypatch.setitem(REGISTRY, name, replace(REGISTRY[name], file=file, sha256=None))
    assert command("check") == 1
    told = capsys.readouterr()
    assert told.out == ""
    for said in ("nan.pth: fpn.merge1.0.weight holds numbers that are not finite", "resnet50-0676ba61.pth"):
        assert said in told.err
    assert re.search(r"wrong\.pth holds weights of .*mobilenet0\.25 .* not of retinaface-resnet50", told.err)


def test_the_command_says_that_a_good_file_is_good(
    command: Callable[..., int],
    mobilenet_weights: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WIT_MODELS", str(shared("models")))
    assert command("check", "retinaface-mobilenet0.25") == 0
    assert "mobilenet0.25_Final.pth is good (sha256 2979b33f" in capsys.readouterr().out


def test_a_download_shows_a_bar_on_a_terminal(publisher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, f"{publisher}/whole")
    ours, theirs = os.openpty()
    try:
        with os.fdopen(theirs, "w") as terminal:
            monkeypatch.setattr(sys, "stderr", terminal)
            monkeypatch.setenv("TERM", "xterm")
            monkeypatch.setattr(weights_download.log, "propagate", False)  # wherever other tests made logs go
            weights.find("model")
            terminal.flush()
            shown = os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)
    assert "model.pth" in shown
    assert "7.0/7.0 kB" in shown
