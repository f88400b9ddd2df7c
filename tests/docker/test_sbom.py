"""make sbom: a bill of materials with everything that is pinned for the images."""

import json
import subprocess
from pathlib import Path

from tests.docker.files import DOCKER, ROOT

PINS = (ROOT / "requirements.lock", *sorted(DOCKER.glob("requirements-*.txt")))


def test_the_bill_of_materials_holds_every_pin(tmp_path: Path):
    bill = tmp_path / "sbom.json"
    subprocess.run(["make", "--silent", "sbom", f"SBOM={bill}"], cwd=ROOT, check=True, capture_output=True)
    found = json.loads(bill.read_text("utf-8"))
    lines = [line.split("#")[0].strip() for path in PINS for line in path.read_text("utf-8").splitlines()]
    wanted = {"pkg:pypi/" + line.replace("==", "@") for line in lines if line}
    assert len(wanted) > 200
    assert {component["purl"] for component in found["components"]} == wanted
    assert found["metadata"]["component"]["name"] == "wit-release"


def test_it_is_kept_out_of_git():
    ignored = subprocess.run(["git", "check-ignore", "--quiet", "build/sbom.json"], cwd=ROOT, check=False)
    assert ignored.returncode == 0
