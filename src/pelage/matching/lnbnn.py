"""Local naive-Bayes nearest neighbours: which gallery crops a query's keypoints speak for, and how strongly.

LNBNN after McCann and Lowe (CVPR 2012), as HotSpotter uses it (Crall et al., WACV 2013, equation 3; WBIA `lnbnn_fn`):
each keypoint gives its nearest gallery keypoints the distance by which they are nearer than the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import faiss
import numpy as np

from pelage.matching.local_features import DESCRIPTOR_DIM, DESCRIPTOR_NORM, LocalFeatures


@dataclass(frozen=True)
class Index:
    """All descriptors of a gallery of G crops, one row a keypoint, in the order of the crops.

    Attributes:
        descriptors: `(R, 128)` float32 with integer values.
        crop: `(R,)` int, place of the row's crop in the gallery.
        keypoint: `(R,)` int, place of the row's keypoint in its crop.
        weight: `(R,)` float32, share of the keypoint's neighbourhood that lies on the animal.
    """

    descriptors: np.ndarray
    crop: np.ndarray
    keypoint: np.ndarray
    weight: np.ndarray


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


def build_index(gallery: Sequence[LocalFeatures]) -> Index:
    """Stack the descriptors of `gallery`."""
    counts = [len(features) for features in gallery]
    keypoint = np.concatenate([np.zeros(0, int), *map(np.arange, counts)])
    weight = np.concatenate([np.zeros(0, np.float32), *(features.weight for features in gallery)])
    return Index(_stack(gallery), np.repeat(np.arange(len(gallery)), counts), keypoint, weight)


def match(index: Index, queries: Sequence[LocalFeatures], allowed: np.ndarray, neighbours: int) -> list[Matches]:
    """Match the keypoints of each query with their nearest ones in the index.

    A match counts its LNBNN score times the root of the two keypoints' shares of animal (WBIA's foreground weights).

    Args:
        index: Gallery of G crops.
        queries: Q crops.
        allowed: `(Q, G)` bool, which crops may answer which query.
        neighbours: Matches of a keypoint (K); the next nearest one is the normaliser.
    """
    owner = np.repeat(np.arange(len(queries)), [len(features) for features in queries])
    rows, squared = nearest_rows(index, _stack(queries), allowed[owner], neighbours + 1)
    score = lnbnn(squared)
    matches = []
    for place, features in enumerate(queries):
        own = owner == place
        query, column = np.nonzero(score[own] > 0)
        row = rows[own][query, column]
        weight = np.sqrt(features.weight[query].astype(np.float64) * index.weight[row])
        matches.append(Matches(index.crop[row], query, index.keypoint[row], score[own][query, column] * weight))
    return matches


def _stack(crops: Sequence[LocalFeatures]) -> np.ndarray:
    none = np.zeros((0, DESCRIPTOR_DIM), np.uint8)
    return np.concatenate([none, *(features.descriptors for features in crops)]).astype(np.float32)


def nearest_rows(index: Index, descriptors: np.ndarray, allowed: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the `k` nearest rows of `index` whose crop is allowed; of equally near ones the first.

    Rows that are not allowed never take a place among the `k`: more rows are fetched for those descriptors until `k`
    allowed ones are found, and until no row that was left out is as near as one that was taken. Distances are exact
    (see `root_sift`), so the answer depends neither on threads nor on the order of the work.

    Args:
        index: Rows to search.
        descriptors: `(N, 128)` integers.
        allowed: `(N, G)` bool, or `(1, G)` for all descriptors alike.
        k: Neighbours wanted.

    Returns:
        Rows `(N, k)` and squared distances `(N, k)` by rising distance; row -1 and distance infinity where there are
        too few.
    """
    faiss.omp_set_num_threads(1)  # of this thread: callers work on several blocks of queries at once
    wanted = np.ascontiguousarray(descriptors, np.float32)
    allowed = np.broadcast_to(allowed, (len(wanted), allowed.shape[1]))
    rows = np.full((len(wanted), k), -1)
    distances = np.full((len(wanted), k), np.inf)
    pending = np.arange(len(wanted))
    fetch = k + 1
    while len(pending) and len(index.descriptors):
        fetch = min(fetch, len(index.descriptors))
        far, row = faiss.knn(wanted[pending], index.descriptors, fetch)
        order = np.lexsort((row, far))
        far, row = np.take_along_axis(far, order, 1), np.take_along_axis(row, order, 1)
        last = far[:, -1].copy()
        far[~allowed[pending[:, None], index.crop[row]]] = np.inf
        order = np.argsort(far, axis=1, kind="stable")[:, :k]
        far, row = np.take_along_axis(far, order, 1), np.take_along_axis(row, order, 1)
        width = far.shape[1]
        rows[pending, :width] = np.where(np.isinf(far), -1, row)
        distances[pending, :width] = far
        if fetch == len(index.descriptors):
            break
        pending = pending[far[:, -1] >= last]
        fetch *= 4
    return rows, distances


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
