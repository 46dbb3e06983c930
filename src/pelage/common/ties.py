"""Ties: of equal scores, which comes first? Something that knows nothing of who is shown.

Names of photos tell much: folders by individual, numbers by encounter, `test/7/...`. An order by name would put right
answers first, or last. So equals are ordered by a hash of the pair (query, candidate): it depends on no order of rows,
falls differently for each query, and is the same in every run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

SALT = b"pelage ties 1"
"""The seed of the hash: another one orders all ties anew."""


def name_codes(names: Sequence[str]) -> np.ndarray:
    """Return a hash of each name, `(N,)` uint64."""
    digests = b"".join(hashlib.blake2b(str(name).encode(), digest_size=8, key=SALT).digest() for name in names)
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def pair_keys(queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Return the keys by which equal pairs are ordered, the smallest first: uint64, of the shape of both, broadcast.

    Args:
        queries, candidates: Codes of the two crops of each pair, uint64: hashes of names, or numbers.
    """
    with np.errstate(over="ignore"):  # the sums and products are meant modulo 2**64
        return _mixed(_mixed(queries.astype(np.uint64)) ^ candidates.astype(np.uint64))


def _mixed(value: np.ndarray) -> np.ndarray:
    """Return splitmix64 (Steele, Lea and Flood, OOPSLA 2014), whose every output bit depends on every input bit."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
