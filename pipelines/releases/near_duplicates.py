"""Which pictures look the same: perceptual hashes that differ in few bits, found among millions of them.

Two hashes that differ in at most two bits agree in at least one of three bands of bits. So hashes are sorted by each
band in turn, and only those that share a band are compared.
"""

from collections.abc import Sequence

import numpy as np

MOST_BITS = 2
"""At most so many bits differ between near duplicates: a copy that was scaled or encoded again differs in 0 or 2 (half
of a hash's bits are set, so the number is even). By chance it happens to none of the 2·10¹³ pairs of 6.5 million
pictures: the probability is 2080 / 2⁶⁴ for each."""

_BANDS = ((0, 21), (21, 21), (42, 22))
"""The first bit and the number of bits of each: one more than bits may differ, so that one of them is untouched."""


def similar_pairs(hashes: np.ndarray) -> np.ndarray:
    """Return the pairs of hashes that differ in at most `MOST_BITS` bits: (n, 2) indices, the smaller one first.

    Args:
        hashes: (m,) uint64, each only once.

    """
    found = [np.empty((0, 2), np.int64)]
    for first_bit, bits in _BANDS:
        values = (hashes >> np.uint64(first_bit)) & np.uint64((1 << bits) - 1)
        order = np.argsort(values, kind="stable")
        found += _within_bands(hashes, values[order], order)
    return np.unique(np.concatenate(found), axis=0)


def _within_bands(hashes: np.ndarray, values: np.ndarray, order: np.ndarray) -> list[np.ndarray]:
    """Compare each hash with the next one of the same band, the one after that, and so on."""
    found = []
    here = np.arange(len(order) - 1)
    step = 1
    while len(here := here[here + step < len(order)]) and len(here := here[values[here] == values[here + step]]):
        first, second = order[here], order[here + step]
        close = np.bitwise_count(hashes[first] ^ hashes[second]) <= MOST_BITS
        pairs = np.stack([first[close], second[close]], axis=1)
        found.append(np.sort(pairs, axis=1))
        step += 1
    return found


def near_duplicates(urls: Sequence[str], hashes: np.ndarray) -> dict[str, str]:
    """Return for each picture that looks like one of smaller URL the smallest such URL.

    Args:
        urls: of the pictures.
        hashes: (n,) uint64, in the same order.

    """
    unique, places = np.unique(hashes, return_inverse=True)
    smallest: list[str | None] = [None] * len(unique)
    for url, place in zip(urls, places.tolist(), strict=True):
        known = smallest[place]
        smallest[place] = url if known is None else min(known, url)
    best = list(smallest)
    for first, second in similar_pairs(unique).tolist():
        best[first] = min(str(best[first]), str(smallest[second]))
        best[second] = min(str(best[second]), str(smallest[first]))
    return {url: str(best[place]) for url, place in zip(urls, places.tolist(), strict=True) if str(best[place]) < url}


def worth_comparing(hashes: np.ndarray) -> np.ndarray:
    """Say of each hash whether another one is the same or similar: (n,) bool. Few are, and only their URLs matter."""
    unique, places, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    similar = np.zeros(len(unique), bool)
    similar[similar_pairs(unique).reshape(-1)] = True
    return np.asarray((similar | (counts > 1))[places])
