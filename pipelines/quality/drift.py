"""What moved between a release and the published one before it: images, outcomes, languages, the mean embedding.

A release can be sound in itself and still be wrong: a third of its images gone, a language lost, another network behind
its embeddings. That shows only beside the release before. Both are summed up from the same measurements, each when it
is validated; the sums are small, and kept for ever.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.tables import Outcome

_FEW_ROWS = 10
"""Rows of a language below which two or three removed images explain any change."""

_COLUMNS = ("outcome", "language", "language_rows", "embedding_sum", "embeddings_summed")


@dataclass(slots=True)
class Drift:
    """A number of both releases, and in the one column that is about its kind how far it has moved."""

    drift_of: str
    before: float | None
    now: float | None
    images_moved: float | None = None
    outcome_share_moved: float | None = None
    language_moved: float | None = None
    mean_embedding_moved: float | None = None


@dataclass(frozen=True, slots=True)
class Summed:
    """A release summed up: images by outcome, caption rows by language, and its mean embedding (None: it has none)."""

    outcomes: Counter[str]
    languages: Counter[str]
    mean_embedding: np.ndarray | None

    @property
    def images(self) -> int:
        """Images considered."""
        return sum(self.outcomes.values())

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        mean = None if self.mean_embedding is None else self.mean_embedding.tolist()
        return {"outcomes": self.outcomes, "languages": self.languages, "mean_embedding": mean}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Summed":
        """Return what `as_json` made."""
        mean = None if kept["mean_embedding"] is None else np.array(kept["mean_embedding"])
        return cls(Counter(kept["outcomes"]), Counter(kept["languages"]), mean)


def sum_up(measurements: Iterable[IO[bytes]]) -> Summed:
    """Sum up a release from files of its measurements, some rows in memory at a time."""
    outcomes: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    total, count = np.zeros(0), 0
    for file in measurements:
        opened = pq.ParquetFile(file, pre_buffer=False)
        known = [name for name in _COLUMNS if name in opened.schema_arrow.names]  # an earlier program measured less
        for batch in opened.iter_batches(columns=known):
            for counted in pc.value_counts(batch.column("outcome").drop_null()).to_pylist():
                outcomes[counted["values"]] += counted["counts"]
            named = zip(batch.column("language").to_pylist(), batch.column("language_rows").to_pylist(), strict=True)
            for language, rows in named:
                if language is not None:
                    languages[language] += rows
            if "embedding_sum" in known:
                for vector in batch.column("embedding_sum").drop_null().to_pylist():
                    total = total + np.array(vector) if total.size else np.array(vector)
                count += sum(batch.column("embeddings_summed").drop_null().to_pylist())
    return Summed(outcomes, languages, total / count if count else None)


def compare(before: Summed, now: Summed, fewest_images: int) -> list[Drift]:
    """Return what moved, and how far.

    Args:
        before: the release before.
        now: the release.
        fewest_images: if the release before released fewer, chance explains what moved: nothing is compared.

    """
    if before.outcomes[Outcome.RELEASED] < max(fewest_images, 1):
        return []
    return [*_counts(before, now), *_languages(before, now), *_embeddings(before, now)]


def _counts(before: Summed, now: Summed) -> Iterator[Drift]:
    released = before.outcomes[Outcome.RELEASED], now.outcomes[Outcome.RELEASED]
    yield Drift("released images", *released, images_moved=_relative(*released))
    for outcome in Outcome:
        shares = [round(part.outcomes[outcome] / part.images, 6) if part.images else 0.0 for part in (before, now)]
        moved = round(abs(shares[1] - shares[0]), 6)
        yield Drift(f"share of outcome {outcome}", shares[0], shares[1], outcome_share_moved=moved)


def _languages(before: Summed, now: Summed) -> Iterator[Drift]:
    for language, rows in sorted(before.languages.items()):
        if rows >= _FEW_ROWS:
            left = now.languages[language]
            yield Drift(f"captions in language {language}", rows, left, language_moved=_relative(rows, left))


def _embeddings(before: Summed, now: Summed) -> Iterator[Drift]:
    first, second = before.mean_embedding, now.mean_embedding
    if first is None or second is None:
        return
    lengths = float(np.linalg.norm(first)), float(np.linalg.norm(second))
    cosine = float(first @ second) / (lengths[0] * lengths[1]) if all(lengths) else 0.0
    # Rounded, as the last digits differ between processors, and the release's pages may not.
    yield Drift(
        "length of the mean embedding",
        round(lengths[0], 6),
        round(lengths[1], 6),
        mean_embedding_moved=max(0.0, round(1 - cosine, 9)),
    )


def _relative(before: float, now: float) -> float:
    return round(abs(now - before) / before, 6) if before else 0.0
