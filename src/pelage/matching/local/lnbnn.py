"""Local naive-Bayes nearest neighbours: which gallery crops a query's keypoints speak for, and how strongly.

LNBNN after McCann and Lowe (CVPR 2012), as HotSpotter uses it (Crall et al., WACV 2013, equation 3; WBIA `lnbnn_fn`):
each keypoint gives its nearest gallery keypoints the distance by which they are nearer than the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from pelage.matching.local.features import DESCRIPTOR_DIM, DESCRIPTOR_NORM, LocalFeatures
from pelage.matching.local.hessian_affine import AffineFeatures

if TYPE_CHECKING:
    from faiss import IndexIVF

    from pelage.matching.local.exact_search import ExactIndex

Features = LocalFeatures | AffineFeatures

KEPT = 3
"""Indexes that are kept for whatever is asked next: of the crops that a left flank, a right one and any may show."""


@dataclass(frozen=True)
class Index:
    """All descriptors of a gallery of G crops, one row a keypoint, in the order of the crops.

    Attributes:
        descriptors: `(R, D)` uint8, 128 bytes of SIFT.
        crop: `(R,)` int, place of the row's crop in the gallery.
        keypoint: `(R,)` int, place of the row's keypoint in its crop.
        weight: `(R,)` float32, share of the keypoint's neighbourhood that lies on the animal.
    """

    descriptors: np.ndarray
    crop: np.ndarray
    keypoint: np.ndarray
    weight: np.ndarray

    @cached_property
    def bits(self) -> np.ndarray:
        """A bit a row, all set, the first one lowest."""
        return np.packbits(np.ones(len(self.crop), bool), bitorder="little")

    def allowed_bits(self, allowed: np.ndarray) -> np.ndarray:
        """Return a bit a row, set where its crop is allowed `(G,)` bool; the work grows with those that are not."""
        barred, bits = np.flatnonzero(~allowed), self.bits.copy()
        starts, ends = np.searchsorted(self.crop, [barred, barred + 1])
        rows = np.concatenate([np.zeros(0, int), *map(np.arange, starts, ends)])
        np.bitwise_and.at(bits, rows // 8, ~(np.uint8(1) << (rows % 8).astype(np.uint8)))
        return bits

    @cached_property
    def exact(self) -> ExactIndex:
        """The descriptors, laid out for exact search."""
        from pelage.matching.local.exact_search import ExactIndex  # here: it imports torch, which takes seconds

        return ExactIndex(self.descriptors)

    @cached_property
    def inverted(self) -> IndexIVF:
        """The descriptors, sorted into cells for approximate search."""
        from pelage.matching.local.inverted_index import sort_into_cells  # which needs this module

        return sort_into_cells(self.descriptors)


Nearest = Callable[[Index, np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]
"""Search of an index: `nearest_rows`, or another function of the same arguments and results."""


@dataclass(frozen=True)
class Matches:
    """Matches of one query crop, ordered by query keypoint and then by distance.

    Attributes:
        crop: `(M,)` int, place of the candidate in the gallery.
        query: `(M,)` int, keypoint of the query.
        candidate: `(M,)` int, keypoint of the candidate.
        score: `(M,)` float64, LNBNN score times foreground weight, not negative.
    """

    crop: np.ndarray
    query: np.ndarray
    candidate: np.ndarray
    score: np.ndarray

    def take(self, rows: np.ndarray) -> Matches:
        """Return the matches in `rows`, indices or booleans."""
        return Matches(self.crop[rows], self.query[rows], self.candidate[rows], self.score[rows])


def build_index(gallery: Sequence[Features]) -> Index:
    """Stack the descriptors of `gallery`, or recall the index if it was one of the last `KEPT` galleries."""
    return _stacked(tuple(gallery))


@lru_cache(maxsize=KEPT)
def _stacked(gallery: tuple[Features, ...]) -> Index:
    counts = [len(features) for features in gallery]
    keypoint = np.concatenate([np.zeros(0, int), *map(np.arange, counts)])
    weight = np.concatenate([np.zeros(0, np.float32), *(features.weight for features in gallery)])
    none = [] if gallery else [np.zeros((0, DESCRIPTOR_DIM), np.uint8)]
    descriptors = np.concatenate([*none, *(features.descriptors for features in gallery)])
    return Index(descriptors, np.repeat(np.arange(len(gallery)), counts), keypoint, weight)


def nearest_rows(index: Index, descriptors: np.ndarray, allowed: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the `k` nearest rows of `index` whose crop is allowed, exactly; of equally near ones the first.

    Args:
        index: Rows to search.
        descriptors: `(N, 128)` uint8.
        allowed: `(G,)` bool, crops that may answer; the others take no place among the `k`.
        k: Neighbours wanted.

    Returns:
        Rows `(N, k)` and squared distances `(N, k)` by rising distance; row -1 and distance infinity where there are
        too few.
    """
    return index.exact.search(descriptors, allowed[index.crop], k)


def match(
    index: Index,
    query: Features,
    allowed: np.ndarray,
    neighbours: int,
    score: Callable[[np.ndarray], np.ndarray] | None = None,
    nearest: Nearest = nearest_rows,
) -> Matches:
    """Match the keypoints of a query with their nearest ones in the index.

    A match counts its score times the root of the two keypoints' shares of animal (WBIA's foreground weights).

    Args:
        index: Gallery of G crops.
        query: Query crop.
        allowed: `(G,)` bool, crops that may answer.
        neighbours: Matches of a keypoint (K); the next nearest one is the normaliser.
        score: One of `SCORES`; `lnbnn` by default.
        nearest: Search of the index.
    """
    rows, squared = nearest(index, query.descriptors, allowed, neighbours + 1)
    worth = (score or lnbnn)(squared)
    keypoint, column = np.nonzero(worth > 0)
    row = rows[keypoint, column]
    weight = np.sqrt(query.weight[keypoint].astype(np.float64) * index.weight[row])
    return Matches(index.crop[row], keypoint, index.keypoint[row], worth[keypoint, column] * weight)


def lnbnn(distances: np.ndarray) -> np.ndarray:
    """Return `|q - d_last| - |q - d_j|` for each neighbour, in [0, 1] (WBIA, `normalizer_rule` last).

    Args:
        distances: `(N, k)` squared distances by rising distance, infinity where there is no neighbour.

    Returns:
        `(N, k)` float64. The last neighbour is the normaliser and gets 0.
    """
    roots = np.sqrt(distances) / (DESCRIPTOR_NORM * np.sqrt(2.0))
    roots[np.isinf(roots)] = np.nan
    normaliser = np.fmax.reduce(roots, axis=1, keepdims=True, initial=0.0)
    return np.nan_to_num(normaliser - roots)


def _against_last(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each neighbour its squared distance v and that n of the last one, at least 1, and if it is another."""
    found = np.isfinite(distances)
    last = found.sum(axis=1, keepdims=True) - 1
    v = np.maximum(np.where(found, distances, 1.0), 1.0)
    return v, np.take_along_axis(v, np.maximum(last, 0), axis=1), np.arange(distances.shape[1]) < last


def lnbnn_squared(distances: np.ndarray) -> np.ndarray:
    """Do as `lnbnn` with squared distances (HotSpotter, equation 3), in [0, 1]."""
    v, n, another = _against_last(distances)
    return np.where(another, n - v, 0.0) / (2 * DESCRIPTOR_NORM**2)


def ratio(distances: np.ndarray) -> np.ndarray:
    """Return n / v of the squared distances (HotSpotter, equation 4), 0 for the normaliser."""
    v, n, another = _against_last(distances)
    return np.where(another, n / v, 0.0)


def log_ratio(distances: np.ndarray) -> np.ndarray:
    """Return ln(n / v) of the squared distances (HotSpotter, equation 5)."""
    v, n, another = _against_last(distances)
    return np.where(another, np.log(n / v), 0.0)


def count(distances: np.ndarray) -> np.ndarray:
    """Return 1 for each neighbour but the normaliser (HotSpotter, equation 6)."""
    return _against_last(distances)[2].astype(np.float64)


SCORES = {
    "lnbnn": lnbnn,
    "lnbnn_squared": lnbnn_squared,
    "ratio": ratio,
    "lnrat": log_ratio,
    "count": count,
}
"""What a match is worth, by name: functions of the squared distances `(N, k)` of a keypoint's neighbours."""
