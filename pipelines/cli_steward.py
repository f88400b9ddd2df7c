"""What a data steward does from a shell: takedowns, and housekeeping."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.config import REQUESTERS, ReleaseConfig
from pipelines.errors import SettingError

AddStore = Callable[[argparse.ArgumentParser], None]


def add_commands(commands: Any, add_store: AddStore) -> None:
    """Add the commands to the parser."""
    takedown = commands.add_parser(
        "takedown", help="keep files out of every later release, and mark or withdraw the releases that hold them"
    )
    takedown.add_argument("files", metavar="File:NAME", nargs="+", help="names on Commons")
    takedown.add_argument("--reason", required=True, help="in words; it becomes public with the ledger")
    takedown.add_argument("--requester", choices=REQUESTERS, help="who asked (required, unless --lift)")
    takedown.add_argument("--now", action="store_true", help="make the next release at once, without them")
    takedown.add_argument(
        "--withdraw",
        action="store_true",
        help="delete the shards and documents that hold them from the releases that have them: with --now, from those "
        "before the new one; alone, at once and from the newest as well",
    )
    takedown.add_argument("--lift", action="store_true", help="undo a takedown that was a mistake; it stays recorded")
    takedown.add_argument("--accept", default="", help=ReleaseConfig.model_fields["accept"].description)
    takedown.add_argument("--base", default="", help=f"with --now: {ReleaseConfig.model_fields['base'].description}")
    add_store(takedown)
    takedown.set_defaults(command=_takedown)

    listed = commands.add_parser("takedowns", help="show the list of takedowns")
    add_store(listed)
    listed.set_defaults(command=_takedowns)

    gc = commands.add_parser("gc", help="remove what no release needs: old records, leftovers, unwanted pixels")
    gc.add_argument("--dry-run", action="store_true", help="only say what would go")
    gc.add_argument(
        "--keep",
        type=int,
        metavar="N",
        help="keep all records of this many of the newest releases (default: keep_records of the newest)",
    )
    add_store(gc)
    gc.set_defaults(command=_gc)


def _takedown(options: argparse.Namespace) -> None:
    from pipelines.removals.removal import names_of
    from pipelines.storage.store import Store

    store, names = Store(options.store), names_of(options.files)
    if options.lift:
        _lift(store, names, options)
        return
    if options.requester is None:
        raise SettingError(f"--requester: say what kind of person asked: {', '.join(REQUESTERS)}")
    _take_down(store, names, options)


def _lift(store: Any, names: list[str], options: argparse.Namespace) -> None:
    from pipelines.removals.removal import lift

    if options.now or options.withdraw:
        raise SettingError("--lift: goes with neither --now nor --withdraw")
    lift(store, names, options.reason)
    for name in names:
        print(f"File:{name} may be released again; the list keeps what happened")


def _take_down(store: Any, names: list[str], options: argparse.Namespace) -> None:
    from pipelines.removals.removal import release_without, take_down
    from pipelines.removals.withdrawal import withdraw

    found = take_down(store, names, options.reason, options.requester)
    for name in names:
        print(f"File:{name} stays out of every release made from now on")
    for name in found.unknown():
        print(f"File:{name} is in no ledger of {store.url}; it is on the list for the day when WIT has it")
    for name, urls in found.copies.items():
        for url in sorted(urls):
            print(f"the same picture as File:{name}, byte for byte, is {url}; it stays out, too")
    for version in found.held:
        print(f"release {version} is marked superseded: {store.locate(f'releases/{version}.notice.json')}")
    if options.now:
        made = release_without(store, names, options.accept.strip(), options.base.strip())
        where = f"release {made.version}: {store.locate(f'releases/{made.version}')}" if made else ""
        print(where or "the newest release is without it already")
    if options.withdraw:
        for version, files in withdraw(store, names, "withdrawal").items():
            size = sum(one.bytes for one in files)
            print(f"release {version}: {len(files)} files are withdrawn ({size / 1e6:,.1f} MB)")


def _takedowns(options: argparse.Namespace) -> None:
    from pipelines.removals.takedowns import read_list
    from pipelines.storage.store import Store

    entries = read_list(Store(options.store))
    if not entries:
        print(f"{options.store}: nothing was taken down")
    for name, entry in sorted(entries.items(), key=lambda item: (item[1]["date"], item[0])):
        for one in (*entry.get("earlier", ()), entry):
            print(_in_words(name, one))


def _in_words(name: str, entry: Mapping[str, Any]) -> str:
    lifted = entry.get("lifted")
    end = f"; lifted on {lifted['date']}: {lifted['reason']}" if lifted else ""
    return f"{entry['date']}  File:{name}  {entry['reason']} (asked by: {entry['requester']}){end}"


def _gc(options: argparse.Namespace) -> None:
    from pipelines.removals.housekeeping import collect_garbage
    from pipelines.storage.store import Store

    found = collect_garbage(Store(options.store), keep=options.keep, dry_run=options.dry_run)
    for one in found:
        print(f"{one.bytes:>15,}  {one.path}  ({one.why})")
    size = sum(one.bytes for one in found)
    what = "would be removed" if options.dry_run else "removed"
    print(f"{options.store}: {len(found)} things, {size:,} bytes {what}")
