"""What a benchmark is to show, and whether it did: the last lines that each prints, and its exit code."""

from collections.abc import Iterable

Claim = tuple[str, bool]
"""What is wanted, with the figure where that helps, and whether it holds."""


def at_least(what: str, measured: float, wanted: float) -> Claim:
    """Return the claim that a figure is as large as wanted, or larger."""
    return f"{measured:,.1f} {what}; wanted: {wanted:,}", measured >= wanted


def told(claims: Iterable[Claim]) -> int:
    """Print the claims; return the exit code: 0 if all of them hold, else 1."""
    print()
    all_hold = True
    for claim, holds in claims:
        print(f"{'holds' if holds else 'FAILS'}: {claim}")
        all_hold &= holds
    return 0 if all_hold else 1
