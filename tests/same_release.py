"""Two releases of the same state of the world, one of which follows another: what may differ between them.

Nothing but what tells of the release before: the files of ``changes/``, their section in the card and in the report,
their entries in the manifest and in croissant.json, and with them the sizes and checksums of these four documents.
"""

import difflib
import json
import re
from collections.abc import Mapping
from typing import Any

from pipelines.storage.store import Store

DOCUMENTS = ("README.md", "report.html", "croissant.json")
_CHANGES = {
    "README.md": re.compile(r"## Changes\n.*?(?=\n## )", re.DOTALL),
    "report.html": re.compile(r'<section id="changes">.*?</section>\n', re.DOTALL),
}


def told(store: Store, version: str) -> Mapping[str, Any]:
    """Return all that a release says, by file, but for what tells of the release before.

    Files are given by their sha256; of documents, their text, so that a difference can be read.
    """
    folder = f"releases/{version}"
    said: dict[str, Any] = {}
    for path in store.files(folder):
        name = path.removeprefix(f"{folder}/")
        if name.startswith("changes/"):
            continue
        if name in ("manifest.json", "croissant.json", "SHA256SUMS", *_CHANGES):
            with store.open(path) as file:
                said[name] = _but_for_changes(name, file.read().decode())
        else:
            said[name] = store.sha256(path)
    return said


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return in words what is different between what two releases say; empty: nothing."""
    found = [f"{name} is in one of them only" for name in sorted(one.keys() ^ other.keys())]
    for name in sorted(one.keys() & other.keys()):
        if one[name] != other[name]:
            texts = [json.dumps(said, indent=1).splitlines() for said in (one[name], other[name])]
            lines = difflib.unified_diff(*texts, "one", "other", lineterm="", n=1)
            found.append(f"{name}: " + "\n".join([*lines][:40]))
    return found


def _but_for_changes(name: str, text: str) -> Any:
    if name in _CHANGES:
        return re.sub(r"\n{2,}", "\n\n", _CHANGES[name].sub("", text))
    if name == "SHA256SUMS":
        lines = [line for line in text.splitlines() if "  changes/" not in line]
        return [line[66:] if line[66:] in (*DOCUMENTS, "manifest.json") else line for line in lines]
    document = json.loads(text)
    if name == "manifest.json":
        files = {path: about for path, about in document["files"].items() if not path.startswith("changes/")}
        for path in DOCUMENTS:
            files[path] = None
        counts = {key: count for key, count in document["counts"].items() if key != "changes"}
        return document | {"base": None, "counts": counts, "files": files}
    distribution = [file for file in document["distribution"] if not file["@id"].startswith("changes/")]
    for file in distribution:
        if file["@id"] in DOCUMENTS:
            del file["contentSize"], file["sha256"]
    return document | {"distribution": distribution}
