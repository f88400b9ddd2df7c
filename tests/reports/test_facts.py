"""What the documents tell of embeddings: whether those of two releases can be compared."""

import shutil
from pathlib import Path

import pytest
from distributed import Client

from pipelines.engine.step import Context, release_path
from pipelines.reports.card_texts import RENEWED
from pipelines.storage.store import Store
from pipelines.vision.weights_registry import STAND_INS
from tests.published import commons, make


def test_embeddings_of_other_weights_are_a_change_of_all_images(
    published: Context, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """changes/ lists none of them, so whoever keeps an index would mix what cannot be compared."""
    folder = shutil.copytree(published.store.url, tmp_path / "store")
    first, store = release_path(published.version, "manifest.json"), Store(str(folder))
    unknown = {name: said for name, said in store.read_json(first).items() if name != "embedding_recipe"}
    store.write_json(first, unknown)  # what nobody knows is not told
    with commons() as settings:
        same = make(client, folder, {**settings, "version": "2026.02.01"})
        monkeypatch.setitem(STAND_INS, "resnet50-stand-in", "ResNet-50 with seeded weights, revision 0")
        other = make(client, folder, {**settings, "version": "2026.03.01"})
    for context, anew in ((same, False), (other, True)):
        told = context.store.read_json(release_path(context.version, "manifest.json"))["counts"]
        count = told["outcomes"]["released"]
        everything = {"images": count, "by": {"another model, other weights or code": count}}
        assert told["changes"].get("embedded_anew") == (everything if anew else None)
        assert [told["changes"][change]["images"] for change in ("added", "removed", "changed")] == [0, 0, 0]
        card = context.store.read_text(release_path(context.version, "README.md")) or ""
        report = context.store.read_text(release_path(context.version, "report.html")) or ""
        assert (RENEWED in card, "embedded_anew" in report) == (anew, anew)
