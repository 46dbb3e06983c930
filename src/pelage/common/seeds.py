"""Seeds: the one place where randomness starts.

Two kinds of need: a generator whose stream depends only on a seed and on names (`generator(7, "demo", "leopard", 3)`),
so that adding one thing never changes another; and the global state of torch for training.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, *names: str | int) -> int:
    """Return a 64-bit seed that depends on `seed` and on each of `names`, in order."""
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return a NumPy generator (PCG64) for `seed` and `names`."""
    return np.random.Generator(np.random.PCG64(derive(seed, *names)))
