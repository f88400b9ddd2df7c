"""The demo: a whole release on this machine, made as it is made in earnest, by Airflow, from a small Commons.

python -m pipelines.demo.run demo           make a release and show how it goes
python -m pipelines.demo.run ui             keep Airflow and the small Commons running, for a browser
python -m pipelines.demo.run stop           stop what either of them left behind
python -m pipelines.demo.run environment    shell lines that make the airflow command work by hand
"""

import argparse
import contextlib
import json
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from pipelines.demo.airflow import Airflow, AirflowFailed, stop_leftovers
from pipelines.demo.airflow_state import USER
from pipelines.demo.catalogue import Catalogue, make_catalogue
from pipelines.demo.models import demo_models
from pipelines.demo.server import CannotListen, DemoCommons
from pipelines.demo.watch import Watch
from pipelines.errors import WitReleaseError
from pipelines.tables import Outcome

DAG = "wit_release"
ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".airflow"
STORE = ROOT / "store" / "demo"
CATALOGUE = ROOT / "build" / "demo-commons"

DEFAULTS = "WIT_RELEASE_DEFAULTS"
"""Environment variable that names a JSON file of settings which fill in the DAG's form."""

_COMMONS_PORT = 8765
_DEFAULTS = STATE / "demo-defaults.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0, or 1 after saying on stderr what failed."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.demo.run", description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=_COMMANDS)
    command = _COMMANDS[parser.parse_args(arguments).command]
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(highlight=False, soft_wrap=True)
    try:
        return command(console)
    except WitReleaseError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _demo(console: Console) -> int:
    began = time.monotonic()
    with _running(console) as (airflow, settings):
        api = airflow.api()
        api.wait_for_dag(DAG)
        api.end_unfinished(DAG)
        run = api.trigger(DAG, settings)
        console.print(f"Triggered {DAG}: {airflow.url}/dags/{DAG}/runs/{run}")
        watch = Watch(api, DAG, run, _stages(), console)
        if not watch.until_end(airflow.check):
            for problem in watch.problems():
                print(f"failed: {problem}", file=sys.stderr)
            return 1
        published = api.result(DAG, run, "publish")
        _show_release(console, published["version"], published["counts"])
    console.print(f"\nTo look around in Airflow: make ui, then {airflow.url} as {USER} with {airflow.password}")
    console.print(f"Done in {time.monotonic() - began:.0f} s.")
    return 0


def _ui(console: Console) -> int:
    own = os.environ.get(DEFAULTS)
    with contextlib.ExitStack() as stack:
        if own:
            filled = f"with what {own} says"
            airflow = stack.enter_context(Airflow(ROOT, extra={DEFAULTS: str(Path(own).resolve())}))
        else:
            filled = f"for the demo; for a release of your own, name a JSON file of settings in {DEFAULTS}"
            airflow, _ = stack.enter_context(_running(console))
        console.print(f"\nAirflow   {airflow.url}/dags/{DAG}\nuser      {USER}\npassword  {airflow.password}")
        console.print(f"Press Trigger: the form is filled in {filled}. Ctrl-C ends it all.")
        ended = threading.Event()
        while not ended.wait(2):
            airflow.check()
    return 0


def _stop(console: Console) -> int:
    console.print("Airflow is stopped." if stop_leftovers(STATE) else "No Airflow of this checkout is running.")
    return 0


def _environment(console: Console) -> int:
    for name, value in Airflow(ROOT).environment().items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


_COMMANDS = {"demo": _demo, "ui": _ui, "stop": _stop, "environment": _environment}


@contextlib.contextmanager
def _running(console: Console) -> Iterator[tuple[Airflow, dict[str, Any]]]:
    """Start the small Commons and Airflow, whose form is then filled in for it; stop both at the end."""
    catalogue = make_catalogue(CATALOGUE)
    with _commons(catalogue) as commons:
        console.print(
            f"A small Commons of {len(list((catalogue.folder / 'originals').iterdir()))} files: {commons.url}"
        )
        settings = _settings(catalogue, commons, console)
        STATE.mkdir(mode=0o700, exist_ok=True)
        _DEFAULTS.write_text(json.dumps(settings, indent=1, ensure_ascii=False), "utf-8")
        _take_one_down(catalogue)
        console.print("Airflow is starting (the first time takes longer) …")
        with Airflow(ROOT, extra={DEFAULTS: str(_DEFAULTS)}) as airflow:
            yield airflow, settings
            console.print("Airflow is stopping …")


@contextlib.contextmanager
def _commons(catalogue: Catalogue) -> Iterator[DemoCommons]:
    """Serve the catalogue at the same port as the last time if it is free, so that old runs can be repeated."""
    commons = DemoCommons(catalogue.folder, port=_COMMONS_PORT)
    try:
        commons.start()
    except CannotListen:
        commons = DemoCommons(catalogue.folder).start()
    try:
        yield commons
    finally:
        commons.stop()


def _settings(catalogue: Catalogue, commons: DemoCommons, console: Console) -> dict[str, Any]:
    """Return the form as the demo fills it in."""
    models = demo_models()
    for field in ("face_model", "embedding_model"):
        console.print(f"{field}: {models[field]}")
    if models["stand_in"]:
        console.print(
            "Some weights are not on this machine, so models STAND IN for the real ones: the release says so on every "
            "page. For the real ones: python -m pipelines weights fetch",
            style="yellow",
        )
    return {
        "wit_files": [str(catalogue.wit)],
        "store": str(STORE),
        "max_bad_rows_share": 0.02,  # the demo's WIT file has a few bad rows, to show what becomes of them
        "origin": "demo",
        "operator_name": "wit-release demo",
        "media_url": commons.url,
        "api_url": commons.api_url,
        **models,
    }


def _take_one_down(catalogue: Catalogue) -> None:
    """Put a file that would be released on the list of takedowns, so that this outcome occurs, too."""
    from pipelines.commons.names import parse_image_url
    from pipelines.removals.takedowns import add_takedown
    from pipelines.storage.store import Store
    from pipelines.wit import read_wit

    others = json.loads((catalogue.folder / "catalogue.json").read_text("utf-8"))["expected"]
    for batch in read_wit(str(catalogue.wit)):
        rows = batch.rows.select(["image_url", "caption_reference_description"]).to_pylist()
        for row in rows:
            name = parse_image_url(row["image_url"]).name
            if row["caption_reference_description"] and f"File:{name}" not in others:
                add_takedown(Store(str(STORE)), name, "the demo's example of a request for removal", "subject")
                return
    raise AirflowFailed(f"{catalogue.wit} has no row that could be released")


def _stages() -> tuple[str, ...]:
    from pipelines.pipeline import STAGES

    return STAGES


def _show_release(console: Console, version: str, outcomes: dict[str, int]) -> None:
    release = STORE / "releases" / version
    counts = {outcome: outcomes.get(outcome, 0) for outcome in Outcome}
    console.print(f"\n{sum(counts.values()):6}  images considered")
    for outcome, count in counts.items():
        console.print(f"{count:6}  {outcome}", style="bold" if outcome is Outcome.RELEASED else None)
    console.print(f"\nRelease   {release}")
    for title, path in (("Report", release / "report.html"), ("Quality", release / "quality" / "index.html")):
        if path.exists():
            console.print(f"{title:<8}  {path}")


if __name__ == "__main__":
    sys.exit(main())
