"""Exact nearest neighbours among 8-bit descriptors, by integer matrix products.

Squared distances are `|a|^2 + |b|^2 - 2ab`, and do not change when 128 is taken off all values. What is left are signed
bytes, whose products processors add up many at a time in integers. So there is nothing to round: the answer is the same
on every machine, for any number of threads and any order of the work.

Sorting a million distances would take longer than computing them. Only the best of each 16 neighbouring rows is kept,
and of each 16 of these. The k nearest rows are among the k best groups: each of these holds a row at least as near as
its best one, so there are k rows as near as the best one of any other group.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

GROUP = 16
"""Rows of which the best is kept; all of the k best groups are fetched again, which is dear where groups are large."""

ROWS = 2048
QUERIES = 256
"""A block of so many rows and queries at a time: its products stay in the processor's cache."""

FAR = 2**29
"""Added to the distance of a row that may not answer; squared distances of bytes are below 2^24."""


class ExactIndex:
    """R descriptors of D bytes to search.

    Args:
        descriptors: `(R, D)` uint8, D at most 256.
    """

    def __init__(self, descriptors: np.ndarray) -> None:
        rows = -len(descriptors) % ROWS
        self._count = len(descriptors)
        self._rows = functional.pad(_signed(descriptors), (0, 0, 0, rows))
        self._lengths = functional.pad(_lengths(self._rows[: self._count]), (0, rows), value=FAR)

    def search(self, queries: np.ndarray, allowed: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the `k` nearest allowed rows of each query; of equally near ones the first.

        Args:
            queries: `(N, D)` uint8.
            allowed: `(R,)` bool, rows that may answer.
            k: Neighbours wanted.

        Returns:
            Rows `(N, k)` and squared distances `(N, k)` float64 by rising distance; row -1 and distance infinity where
            there are too few.
        """
        torch.set_num_threads(1)  # of this thread: callers work on several photos at once
        rows, distances = np.full((len(queries), k), -1), np.full((len(queries), k), np.inf)
        if not self._count:
            return rows, distances
        with torch.inference_mode():
            lengths = self._lengths.clone()
            lengths[: self._count] += FAR * torch.from_numpy(~np.asarray(allowed, bool)).int()
            for start in range(0, len(queries), QUERIES):
                block = _signed(queries[start : start + QUERIES])
                row, far = self._nearest(block, lengths, k)
                found = (far < FAR).numpy()
                end = start + len(block), row.shape[1]
                rows[start : end[0], : end[1]] = np.where(found, row.numpy(), -1)
                distances[start : end[0], : end[1]] = np.where(found, far.numpy(), np.inf)
        return rows, distances

    def _nearest(self, queries: Tensor, lengths: Tensor, k: int) -> tuple[Tensor, Tensor]:
        best = torch.empty(len(queries), len(self._rows) // GROUP, dtype=torch.int32)
        for start in range(0, len(self._rows), ROWS):
            end = start + ROWS
            near = dot_products(queries, self._rows[start:end])
            torch.add(-lengths[start:end], near, alpha=2, out=near)
            best[:, start // GROUP : end // GROUP] = near.view(len(queries), -1, GROUP).amax(dim=2)
        rows = _members(_best_groups(best, k))
        dots = torch.bmm(self._rows[rows].float(), queries.float()[:, :, None])[:, :, 0].int()
        far = _lengths(queries)[:, None] + lengths[rows] - 2 * dots
        order = far.argsort(dim=1, stable=True)[:, :k]
        return rows.gather(1, order), far.gather(1, order)


def dot_products(first: Tensor, second: Tensor) -> Tensor:
    """Return the dot products of signed bytes `(N, D)` and `(M, D)`, `(N, M)` int32."""
    if _bytes_multiply():
        return torch._int_mm(first, second.t())
    return (first.float() @ second.float().t()).int()  # below 2^24, so exact too


@cache
def _bytes_multiply() -> bool:
    """Tell whether this processor multiplies matrices of bytes without overflow; older ones saturate at 16 bits."""
    extremes = torch.tensor([[-128, -128], [127, 127], [-128, 127]], dtype=torch.int8).repeat(6, 64)
    try:
        found = torch._int_mm(extremes, extremes.t())
    except (AttributeError, RuntimeError):
        return False
    wide = extremes.long()
    return bool((found == wide @ wide.t()).all())


def _best_groups(best: Tensor, k: int) -> Tensor:
    """Return the places of the `k` greatest values of each row of `best`, of equal ones the first, in rising order."""
    if best.shape[1] > k * GROUP:
        padded = functional.pad(best, (0, -best.shape[1] % GROUP), value=torch.iinfo(best.dtype).min)
        places = _members(_best_groups(padded.view(len(best), -1, GROUP).amax(dim=2), k))
        return places.gather(1, _best_groups(padded.gather(1, places), k))
    count = best.shape[1]
    unlike = best.long() * count - torch.arange(count)
    return unlike.topk(min(k, count), dim=1).indices.sort(dim=1).values


def _members(groups: Tensor) -> Tensor:
    """Return the places of the members of groups `(N, k)`, `(N, 16 k)`."""
    return (groups[:, :, None] * GROUP + torch.arange(GROUP)).flatten(1)


def _signed(descriptors: np.ndarray) -> Tensor:
    return torch.from_numpy((np.ascontiguousarray(descriptors, np.uint8) ^ 128).view(np.int8))


def _lengths(signed: Tensor) -> Tensor:
    return (signed.int() ** 2).sum(dim=1, dtype=torch.int32)
