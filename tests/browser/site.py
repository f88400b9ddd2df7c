"""A running Airflow with a small Commons behind it, and a first release that was made from hostile words and a face."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from pipelines.demo.airflow import Airflow
from pipelines.demo.airflow_api import AirflowApi
from pipelines.demo.server import DemoCommons
from tests.dags.parse import ROOT
from tests.running import command, options
from tests.stages.making import url_of, write_wit

DAG = "wit_release"
FIRST = "2026.01.01"
HOSTILE = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>'
"""What must show as these letters wherever it comes from."""

QUOTED = "Quoted_'onclick='hit()'_&amp;.png"
FACE = "Astronaut.png"
ALIKE = ("Coffee.png", "Cup_of_coffee.jpg")


@dataclass(frozen=True)
class Site:
    """What runs: Airflow, its API, the store of its releases, and the settings that its form is filled in with."""

    airflow: Airflow
    api: AirflowApi
    store: Path
    settings: dict[str, Any]

    @property
    def url(self) -> str:
        return self.airflow.url

    def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.airflow.check()
            time.sleep(0.5)

    def ended(self, run: str) -> str:
        """Wait for the end of a run of the DAG; return its state."""
        self.until(lambda: self.api.run_state(DAG, run) in ("success", "failed"))
        return self.api.run_state(DAG, run)

    def release(self, version: str) -> Path:
        return self.store / "releases" / version


def make_commons(folder: Path) -> list[str]:
    """Draw pictures; return the names of the files."""
    from skimage import data

    originals = folder / "originals"
    originals.mkdir(parents=True)
    names = [f"Colour_{number:02d}.{'png' if number % 3 else 'jpg'}" for number in range(16)] + [QUOTED]
    for number, name in enumerate(names):
        picture = Image.linear_gradient("L").resize((360 + 20 * number, 300))
        colours = [
            picture.point([(value * factor + 40 * number) % 256 for value in range(256)]) for factor in (1, 2, 3)
        ]
        Image.merge("RGB", colours).save(originals / name)
    coffee = Image.fromarray(data.coffee())
    for name, width in zip(ALIKE, (600, 500), strict=True):
        coffee.resize((width, width * 2 // 3)).save(originals / name)
    Image.fromarray(data.astronaut()[:220, 120:340]).resize((440, 440)).save(originals / FACE)
    licence = {"LicenseShortName": HOSTILE.replace("<", "&lt;").replace(">", "&gt;"), "Artist": HOSTILE}
    about = {"licences": {f"File:{names[2]}": licence}, "categories": {"Copyright violations": [f"File:{names[0]}"]}}
    (folder / "catalogue.json").write_text(json.dumps(about))
    return [*names, *ALIKE, FACE]


@contextmanager
def running(folder: Path) -> Iterator[Site]:
    """Start everything, make the first release, and stop everything at the end."""
    names = make_commons(folder / "commons")
    caption = "caption_reference_description"
    rows = [{"image_url": url_of(name), "language": "en", caption: f"{name} {HOSTILE}"} for name in names]
    defaults = folder / "defaults.json"
    with DemoCommons(folder / "commons") as commons:
        settings: dict[str, Any] = {
            "wit_files": [write_wit(folder / "wit.tsv", *rows)],
            "store": str(folder / "store"),
            "origin": "demo",
            "media_url": commons.url,
            "api_url": commons.api_url,
            "face_model": "cascade-stand-in",
            "embedding_model": "resnet50-stand-in",
            "stand_in": True,
            "partitions": 2,
            "workers": 1,
        }
        defaults.write_text(json.dumps(settings))
        with (
            subprocess.Popen(command("run", *options(settings | {"version": FIRST})), cwd=ROOT) as first,
            Airflow(ROOT, state=folder / "state", extra={"WIT_RELEASE_DEFAULTS": str(defaults)}) as airflow,
        ):
            site = Site(airflow, airflow.api(), folder / "store", settings)
            site.api.wait_for_dag(DAG)
            assert first.wait() == 0
            yield site
