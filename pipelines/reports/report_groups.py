"""Some groups of pictures that look alike, side by side: what ``near_duplicate_of`` means in this release.

Only released pictures have a hash, and pictures come out of the published shards, so that nothing else can be shown.
"""

import heapq
from collections import defaultdict

import pyarrow.parquet as pq

from pipelines.commons.names import parse_image_url, partition_of
from pipelines.engine.step import Context, shard_keys, shard_name, table_path
from pipelines.reports.report_sample import Chosen, Picture, draw, load, released
from pipelines.tables import KEY, NEAR_DUPLICATES

_GROUPS = 6
_MEMBERS = 4
_BUDGET = 700_000


def groups(context: Context) -> list[list[Picture]]:
    """Return some groups of near duplicates, the same ones whenever the release is the same.

    Raises:
        ReleaseError: a picture in a shard is not the one that the ledger releases.
        StoreError: a file is not there.

    """
    members = _members(context)
    drawn = heapq.nsmallest(_GROUPS, members, key=lambda url: draw(context.version, url))
    wanted = {first: [first, *sorted(members[first])[: _MEMBERS - 1]] for first in drawn}
    rows = _rows(context, {url for urls in wanted.values() for url in urls})
    chosen: Chosen = [rows[url] for urls in wanted.values() for url in urls if url in rows]
    pictures = load(context, chosen, _BUDGET)
    found = [[pictures[url] for url in urls if url in pictures] for urls in wanted.values()]
    return [group for group in found if len(group) > 1]


def _members(context: Context) -> dict[str, list[str]]:
    """Return the URL that each group is known by, and those of its other pictures."""
    members: defaultdict[str, list[str]] = defaultdict(list)
    for key in shard_keys(context):
        with context.store.open(table_path(NEAR_DUPLICATES.name, key)) as file:
            for row in pq.read_table(file).to_pylist():
                members[row["near_duplicate_of"]].append(row[KEY])
    return dict(members)


def _rows(context: Context, urls: set[str]) -> dict[str, tuple[str, dict[str, object]]]:
    """Return partition and row of the ledger of each of these that is released."""
    keys = {shard_name(partition_of(parse_image_url(url).name, context.config.partitions)) for url in urls}
    found = {row[KEY]: (key, row) for key in sorted(keys) for row in released(context, key)}
    return {url: found[url] for url in sorted(urls & found.keys())}
