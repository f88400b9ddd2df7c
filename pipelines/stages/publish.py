"""publish: a last look at Commons, then the documents, and the release is final.

What was nominated for deletion since the stage before looked is taken out, and what changed by that is made and checked
again. Nothing is published that was not found good in just these files. The order of writing is what makes a killed run
harmless: the manifest makes a release of a folder and is its last file, and ``latest.json`` moves after that. Pixels of
pictures that were dropped are removed at the end, when no earlier stage can want them any more, and so is what no
release needs: a store that is refreshed every month by nobody would grow for ever.
"""

import json
import logging
import uuid
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256

from pipelines.engine.step import Context, Step, release_path
from pipelines.errors import ReleaseError, SettingError, StoreError
from pipelines.pipeline import STAGES, Run
from pipelines.quality.verdict import read_verdict
from pipelines.releases.versions import LATEST, MANIFEST, is_published, newest_published
from pipelines.removals.housekeeping import tidy
from pipelines.removals.purge import purge_pictures
from pipelines.removals.superseding import settle
from pipelines.reports.card import card
from pipelines.reports.checksums import SUMS, format_sums
from pipelines.reports.croissant import croissant
from pipelines.reports.facts import CARD, CROISSANT, REPORT, Facts, gather
from pipelines.reports.manifest import manifest
from pipelines.reports.report import write_report
from pipelines.storage import lock
from pipelines.storage.store import Store
from pipelines.tables import Outcome

log = logging.getLogger(__name__)

STEPS: tuple[Step, ...] = ()

_ROUNDS = 3
"""Commons nominates files all the time: after so many last looks the rest is left to the next release."""

_DECIDE, *_AFTER = STAGES[STAGES.index("decide") : STAGES.index("publish")]
"""What depends on the deletion candidates."""


def conclude(run: Run) -> Mapping[str, int]:
    """Publish the release; go on where a killed run stopped.

    Returns:
        Images by outcome, and what was done at the last moment.

    Raises:
        ReleaseError: it was not validated, it has warnings that nobody accepted, or it lacks too many images.
        ValidationFailed: after the last look, an expectation does not hold any more.

    """
    context = run.context
    counts: dict[str, int] = {}
    if not is_published(context.store, context.version):
        refuse_unvalidated(context)
        counts["last_looks"] = _look_again(run)
        refuse_unvalidated(context)
        facts = gather(context)
        refuse_incomplete(facts)
        _write(context, facts)
    published = context.store.read_json(release_path(context.version, MANIFEST))
    _point_to_newest(context.store)
    settle(context.store, context.version)
    counts["pictures_removed_from_work"] = run.each_shard(purge_pictures)
    counts["bytes_removed_from_store"] = _tidy(context)
    counts |= published["counts"]["outcomes"]
    return counts


def _tidy(context: Context) -> int:
    """Remove what no release needs any more; return its bytes. The release is out, whatever stands in the way of it."""
    if not context.config.keep_records:
        return 0
    try:
        return sum(one.bytes for one in tidy(context.store, context.config.keep_records))
    except (SettingError, StoreError, OSError) as error:  # another version's settings, or what the bucket forbids
        log.warning("not everything could be tidied up (python -m pipelines gc does it): %s", error)
        return 0


def refuse_unvalidated(context: Context) -> None:
    """Stop unless the release was found good, or has warnings only and there is a reason to publish it nevertheless.

    Raises:
        ReleaseError: it was not validated, expectations failed, or there are warnings and no reason.

    """
    verdict = read_verdict(context.store, context.version)
    if verdict.errors:
        failed = ", ".join(one.name for one in verdict.errors)
        raise ReleaseError(f"release {context.version} failed its validation ({failed}), so it is not published")
    if verdict.warnings and not context.config.accept:
        listed = "\n".join(f"  - {one.in_words()}" for one in verdict.warnings)
        raise ReleaseError(
            f"release {context.version} waits, as it has warnings:\n{listed}\nTo publish it nevertheless, say why: "
            f"python -m pipelines publish --store {context.store.url} --version {context.version} --accept "
            f'"REASON", or the DAG Make a release with this version and the reason in accept'
        )


def refuse_incomplete(facts: Facts) -> None:
    """Stop when too many images could not be fetched.

    Raises:
        ReleaseError: with the numbers.

    """
    failed, allowed = facts.outcomes[Outcome.FETCH_FAILED], facts.config.max_fetch_failed_share
    if facts.images and failed / facts.images > allowed:
        raise ReleaseError(
            f"release {facts.version} is not published: {failed} of {facts.images} images could not be fetched, more "
            f"than max_fetch_failed_share = {allowed} allows; run it again, which tries just these"
        )


def _look_again(run: Run) -> int:
    """Read the deletion candidates until there is nothing new in them; return how often that was.

    Whatever else is not as the present ledger demands (a run was killed, a stage was repeated by itself) is made, too.
    Pictures that are wanted back at this moment are left to the next release: the task may not use the media servers.
    """
    today = run.context.config.model_copy(update={"deletion_dumps": ""})  # dumps are days old: the API is asked
    for number in range(1, _ROUNDS + 1):
        moment = f"publication of {run.context.version}, {uuid.uuid4().hex}"
        run.stage("find_deletion_candidates", replace(run.context, config=today, observation=moment))
        if run.is_done([_DECIDE, *_AFTER]):
            return number
        run.stage(_DECIDE, conclude=False)
        for name in _AFTER:
            run.stage(name)
    return _ROUNDS


def _write(context: Context, facts: Facts) -> None:
    """Write the documents; the manifest is the last of them."""
    store, version = context.store, context.version
    facts = facts.with_file(REPORT, write_report(context, facts))
    facts = facts.with_file(CARD, store.write_text(release_path(version, CARD), card(facts)))
    facts = facts.with_file(CROISSANT, store.write_text(release_path(version, CROISSANT), croissant(facts)))
    text = json.dumps(manifest(facts), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    lock.check()
    sums = {file.path: file.sha256 for file in facts.files} | {MANIFEST: sha256(text.encode()).hexdigest()}
    store.write_text(release_path(version, SUMS), format_sums(sums))
    store.write_text(release_path(version, MANIFEST), text)


def _point_to_newest(store: Store) -> None:
    newest = newest_published(store)
    if newest is not None and store.read_json(LATEST) != {"version": newest}:
        store.write_json(LATEST, {"version": newest})
