"""The command line: the same stages as the DAG's, without Airflow, and what a person needs around them.

The options of ``run`` are the fields of ReleaseConfig. Errors that a user can do something about are one sentence on
stderr and exit code 1; anything else is a bug and shows its traceback.
"""

import argparse
import hashlib
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_origin

from pipelines.cli_steward import add_commands
from pipelines.config import ReleaseConfig
from pipelines.errors import SettingError, WitReleaseError
from pipelines.pipeline import STAGES

PROGRAM = "python -m pipelines"

_PUBLISH = {
    "version": "name of the release (default: the newest that is not published)",
    "accept": ReleaseConfig.model_fields["accept"].description,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: of the command line; None takes the program's own.

    Returns:
        0, or 1 if the command failed with an error that it explained.
    """
    options = _parser().parse_args(arguments)
    _log_to_stderr()
    try:
        return int(options.command(options) or 0)
    except WitReleaseError as error:
        print(f"{PROGRAM} {options.name}: {error}", file=sys.stderr)
        return 1


def _log_to_stderr() -> None:
    from pipelines import logs

    watched = sys.stderr.isatty() and sys.stdout.isatty() and os.environ.get(logs.FORMAT) != "json"
    logs.to_stderr(logging.WARNING if watched else logging.INFO)  # a person has the bars


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Releases of Wikipedia's images, from WIT rows to shards."
    )
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="make a release; the same command again goes on where it stopped")
    run.add_argument("--config", type=Path, metavar="FILE", help="JSON file with settings; options override it")
    run.add_argument("--until", choices=STAGES, help="stop after this stage")
    _add_settings(run)
    run.set_defaults(command=_run)

    publish = commands.add_parser("publish", help="publish a release that is validated and waits")
    _add_store(publish)
    for name in ("version", "accept"):
        publish.add_argument(f"--{name}", default="", metavar="VALUE", help=_PUBLISH[name])
    publish.set_defaults(command=_publish)

    status = commands.add_parser("status", help="show the releases of a store and how far each has come")
    _add_store(status)
    status.set_defaults(command=_status)

    demo = commands.add_parser("demo-commons", help="serve a folder of pictures as a small Commons on this machine")
    demo.add_argument("--catalogue", type=Path, required=True, metavar="DIR", help="originals/ and catalogue.json")
    demo.add_argument("--port", type=int, default=8765, help="0 takes a free one (default: %(default)s)")
    demo.add_argument("--log", type=Path, metavar="FILE", help="write a JSON line for each request")
    demo.set_defaults(command=_demo_commons)

    weights = commands.add_parser("weights", help="list, fetch or check the models' weights")
    weights.add_argument("action", choices=("list", "fetch", "check"))
    weights.add_argument("models", nargs="*", metavar="MODEL", help="names of models (default: all)")
    weights.set_defaults(command=_weights)

    verify = commands.add_parser("verify", help="check every file of a release against its checksum")
    verify.add_argument("release", help="folder or URL of a release")
    verify.set_defaults(command=_verify)

    sync = commands.add_parser("sync", help="bring a copy of a release to another one, fetching only what changed")
    sync.add_argument("release", help="folder or URL of the release")
    sync.add_argument("folder", help="the copy: of an earlier release, or an empty folder")
    sync.add_argument(
        "--superseded", action="store_true", help="copy it although a later release is to be used instead of it"
    )
    sync.set_defaults(command=_sync)

    plan = commands.add_parser("plan", help="say how long a release takes, what it stores, and which limit binds")
    plan.add_argument("--images", type=int, default=6_500_000, help="selected from WIT (default: %(default)s)")
    plan.add_argument("--profile", choices=("wikimedia", "mirror"), default="wikimedia", help="(default: %(default)s)")
    plan.add_argument("--workers", type=int, default=2, help="processes of one core each (default: %(default)s)")
    plan.add_argument("--gpus", type=int, default=0, help="0: the networks run on the CPU (default: %(default)s)")
    plan.add_argument("--partitions", type=int, default=200, help="of the release (default: %(default)s)")
    plan.add_argument("--latency", type=float, metavar="SECONDS", help="of an answer of the media servers")
    for what in ("cpu-hour", "gpu-hour", "gb-month"):
        about = "in any currency; 0: not counted (default: %(default)s)"
        plan.add_argument(f"--price-{what}", type=float, default=0.0, metavar="PRICE", help=about)
    plan.set_defaults(command=_plan)

    add_commands(commands, _add_store)
    return parser


def _add_store(parser: argparse.ArgumentParser) -> None:
    store = ReleaseConfig.model_fields["store"]
    parser.add_argument("--store", default=store.default, help=f"{store.description} (default: %(default)s)")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    for name, field in ReleaseConfig.model_fields.items():
        option = "--" + name.replace("_", "-")
        about = f"{field.description} (default: {field.get_default(call_default_factory=True)!r})".replace("%", "%%")
        if field.annotation is bool:
            parser.add_argument(option, action=argparse.BooleanOptionalAction, default=None, help=about)
        elif get_origin(field.annotation) is list:
            parser.add_argument(option, nargs="*", metavar="VALUE", help=about)
        else:
            parser.add_argument(option, metavar="VALUE", help=about)


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if options.config is not None:
        try:
            settings = json.loads(options.config.read_text())
        except (OSError, ValueError) as error:
            raise SettingError(f"{options.config}: {error}") from None
        if not isinstance(settings, dict):
            raise SettingError(f"{options.config}: settings must be a JSON object")
    given = {name: getattr(options, name) for name in ReleaseConfig.model_fields}
    return settings | {name: value for name, value in given.items() if value is not None}


def _run(options: argparse.Namespace) -> None:
    from pipelines.pipeline import run_release

    config = ReleaseConfig.parse(_settings(options))
    settings = config.model_dump_json(exclude={"workers", "accept"})
    run = "cli-" + hashlib.sha256(settings.encode()).hexdigest()[:12]
    context = run_release(config, run, until=options.until)
    print(f"release {context.version}: {context.store.locate(f'releases/{context.version}')}")


def _publish(options: argparse.Namespace) -> None:
    from pipelines.pipeline import publish_release
    from pipelines.storage.store import Store

    context = publish_release(Store(options.store), options.version, options.accept.strip())
    print(f"release {context.version}: {context.store.locate(f'releases/{context.version}')}")


def _status(options: argparse.Namespace) -> None:
    from pipelines.releases.status import describe_store

    for line in describe_store(options.store):
        print(line)


def _demo_commons(options: argparse.Namespace) -> None:
    from pipelines.demo.server import serve

    serve(options.catalogue, port=options.port, log=options.log)


def _weights(options: argparse.Namespace) -> None:
    from pipelines.vision import weights

    actions = {"list": weights.list_weights, "fetch": weights.fetch_weights, "check": weights.check_weights}
    for line in actions[options.action](options.models):
        print(line)


def _verify(options: argparse.Namespace) -> int:
    from pipelines.releases.notices import notice_beside
    from pipelines.releases.verify import verify_release
    from pipelines.storage.store import Store

    problems = list(verify_release(options.release))
    notice = notice_beside(Store(options.release))
    for problem in problems:
        print(problem)
    for one in notice.withdrawn:
        print(f"{one.path}: withdrawn on {one.date}, because File:{one.file} was taken down: {one.reason}")
    if notice.is_superseded:
        print(notice.in_words())
    good = "every file that is left is as published" if notice.withdrawn else "every file is as published"
    print(f"{options.release}: {f'{len(problems)} problem(s)' if problems else good}")
    return 1 if problems else 0


def _sync(options: argparse.Namespace) -> None:
    from pipelines.releases.sync import sync_release

    done = sync_release(options.release, options.folder, superseded=options.superseded)
    if done.notice.is_superseded:
        print(f"{done.notice.in_words()}. Delete from your copy:", file=sys.stderr)
        for url in sorted({url for one in done.notice.standing for url in one.images}):
            print(f"  {url}", file=sys.stderr)
    print(
        f"{options.folder}: release {done.version}; {len(done.kept)} files were there, {len(done.fetched)} fetched "
        f"({done.bytes / 1e6:,.1f} MB), {len(done.removed)} removed; every file is as published"
    )


def _plan(options: argparse.Namespace) -> None:
    from dataclasses import replace

    from pipelines.capacity.model import PROFILES, Asked, Prices, plan, read_unit_costs
    from pipelines.capacity.table import in_words

    if min(options.images, options.workers, options.partitions) < 1 or options.gpus < 0:
        raise SettingError("images, workers and partitions must be at least 1, and gpus not below 0")
    limits = PROFILES[options.profile]
    if options.latency is not None:
        limits = replace(limits, latency=options.latency)
    asked = Asked(options.images, limits, options.workers, options.gpus, options.partitions)
    costs = read_unit_costs()
    prices = Prices(options.price_cpu_hour, options.price_gpu_hour, options.price_gb_month)
    for line in in_words(asked, costs, plan(asked, costs), prices):
        print(line)
