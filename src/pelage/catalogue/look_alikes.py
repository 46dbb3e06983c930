"""Look-alikes: pairs of perceptual hashes that differ in few bits, found without comparing all with all.

Pigeonhole: of two hashes that differ in at most b bits, cut into b + 2 pieces, two pieces are equal in both; so only
hashes that share two pieces are compared (after Manku et al. 2007, who find near-equal web pages so).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
import pandas as pd

WIDTH = 64
"""Bits of a hash."""

NARROWEST = 6
"""Bits of a piece below which two of them are shared by so many that all hashes may as well be compared with all."""


def hash_values(phashes: pd.Series) -> np.ndarray:
    """Return `(N,)` uint64 from hashes of 16 hex digits; none may be empty."""
    digits = np.char.encode(phashes.to_numpy(f"U{WIDTH // 4}"), "ascii")
    return np.frombuffer(bytes.fromhex(b"".join(digits.tolist()).decode()), ">u8").astype(np.uint64)


def near_pairs(values: np.ndarray, bits: int, owner: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Yield the pairs of hashes that differ in at most `bits` bits, each pair once, block by block.

    Time and the number of pairs are least where the values are different ones: give each but once.

    Args:
        values: `(N,)` uint64.
        bits: Largest Hamming distance.
        owner: `(N,)` integers; only hashes of one owner are compared.

    Yields:
        `(P, 2)` positions i < j, in no order.
    """
    if len(values) < 2:
        return
    owner = np.zeros(len(values), np.int64) if owner is None else owner
    masks = _masks(bits)
    for number, mask in enumerate(masks):
        order = np.lexsort((values & mask, owner))
        own, value = owner[order], values[order]
        part = value & mask
        fresh = np.ones(len(order), bool)
        fresh[1:] = (own[1:] != own[:-1]) | (part[1:] != part[:-1])
        starts = np.flatnonzero(fresh)
        ends = np.repeat(np.append(starts[1:], len(order)), np.diff(np.append(starts, len(order))))
        first, step = np.arange(len(order)), 0
        while True:
            step += 1
            first = first[ends[first] > first + step]
            if not len(first):
                break
            near = np.bitwise_count(value[first] ^ value[first + step]) <= bits
            pair = order[np.stack([first[near], first[near] + step], 1)]
            for earlier in masks[:number]:  # a pair that shares more pieces is told by the first two of them
                pair = pair[(values[pair[:, 0]] ^ values[pair[:, 1]]) & earlier != 0]
            if len(pair):
                yield np.sort(pair, axis=1)


def _masks(bits: int) -> list[np.uint64]:
    """Return the masks of all choices of two pieces; of no bit at all where pieces would be too narrow."""
    count = bits + 2
    if WIDTH // count < NARROWEST:
        return [np.uint64(0)]
    edges = [WIDTH * piece // count for piece in range(count + 1)]
    pieces = [(1 << high) - (1 << low) for low, high in pairwise(edges)]
    return [np.uint64(one | other) for one, other in combinations(pieces, 2)]
