"""k-reciprocal re-ranking (Zhong et al., CVPR 2017), on lists of nearest neighbours only.

Two photos are more alike if their neighbourhoods are: the distance is mixed with the Jaccard distance of the two sets
of k-reciprocal neighbours, softly counted. All sets are rows of sparse matrices, so there is no N x N matrix; for what
the lists hold the result is that of the authors' dense code, its scaling of distances (which their paper does not tell)
included.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from pelage.matching.search.vector_index import nearest_places

BLOCK = 1024
"""Points at a time whose distances to all others are looked at: with 50,000 of them 0.2 GB."""


def nearest(points: np.ndarray, depth: int) -> np.ndarray:
    """Return the nearest points of each, itself first, `(N, K)` int.

    Args:
        points: `(N, D)` float32 of length 1.
        depth: K, at most N.
    """
    depth = min(depth, len(points))
    found = nearest_places(points, points, depth, "flat")
    own = np.arange(len(points))[:, None]
    missing = (found != own).all(axis=1)  # crowded out by points equal to it
    found[missing, -1] = own[missing, 0]
    return np.take_along_axis(found, np.argsort(found != own, axis=1, kind="stable"), axis=1)


def k_reciprocal(
    points: np.ndarray, neighbours: np.ndarray, queries: int, k1: int = 20, k2: int = 6, mix: float = 0.3
) -> np.ndarray:
    """Return new distances of each query to the points on its list, `(Q, K)`, smaller is more alike.

    As in the authors' code, a set of k1 takes over its points' sets of k1/2 if more than two thirds of them lie in it.
    Distances are squared Euclidean, `2 - 2 cos`, each in that of the point's furthest point: from 0 to 1, as Jaccard
    distances are.

    Args:
        points: `(N, D)` float32 of length 1, queries and gallery together, queries first.
        neighbours: `(N, K)` int, nearest points of each, itself first; K is more than `k1` and not less than `k2`.
        queries: Q.
        k1: Size of the neighbourhoods.
        k2: Nearest points whose neighbourhoods are averaged (local query expansion).
        mix: Share of the original distance.

    Returns:
        From 0 to 1.

    Raises:
        ValueError: The lists are too short.
    """
    if neighbours.shape[1] < min(max(k1 + 1, k2), len(points)):
        raise ValueError(f"lists of {neighbours.shape[1]} neighbours are too short for k1 {k1} and k2 {k2}.")
    furthest = _furthest(points)
    whole, half = _reciprocal(neighbours, k1), _reciprocal(neighbours, int(np.around(k1 / 2)))
    shared = whole.multiply(whole @ half.T).tocsr()  # of the half set of each point in a set, how much is in the set
    sizes = np.asarray(half.sum(axis=1)).ravel()
    taken = sparse.csr_matrix(
        (shared.data > 2 / 3 * sizes[shared.indices], shared.indices, shared.indptr), shared.shape
    )
    taken.eliminate_zeros()
    sets = (whole + taken.astype(float) @ half).tocsr()
    rows = np.repeat(np.arange(len(points)), np.diff(sets.indptr))
    sets.data = np.exp(-_distance(points, rows, sets.indices) / furthest[rows])
    sets = sparse.diags_array(1 / np.asarray(sets.sum(axis=1)).ravel()) @ sets
    if k2 > 1:
        sets = (_membership(neighbours[:, :k2], len(points)) / min(k2, neighbours.shape[1])) @ sets
    sets = sets.tocsr()

    depth = neighbours.shape[1]
    result = np.empty((queries, depth))
    row = np.zeros(len(points))
    for query in range(queries):
        own = slice(*sets.indptr[query : query + 2])
        row[sets.indices[own]] = sets.data[own]
        others = sets[neighbours[query]]
        smaller = np.minimum(others.data, row[others.indices])
        overlap = np.bincount(np.repeat(np.arange(depth), np.diff(others.indptr)), smaller, depth)
        row[sets.indices[own]] = 0
        jaccard = 1 - overlap / (2 - overlap)  # each set sums to 1
        distance = _distance(points, np.full(depth, query), neighbours[query]) / furthest[query]
        result[query] = (1 - mix) * jaccard + mix * distance
    return result


def _reciprocal(neighbours: np.ndarray, k: int) -> sparse.csr_matrix:
    """Return whose sets of k nearest points (and itself) hold each other, `(N, N)` of 0 and 1."""
    near = _membership(neighbours[:, : k + 1], len(neighbours))
    return near.multiply(near.T).tocsr()


def _membership(lists: np.ndarray, count: int) -> sparse.csr_matrix:
    pointers = np.arange(len(lists) + 1) * lists.shape[1]
    return sparse.csr_matrix((np.ones(lists.size), lists.ravel(), pointers), (len(lists), count))


def _furthest(points: np.ndarray) -> np.ndarray:
    """Return the distance of each point to the furthest of all, `(N,)`, in blocks; 1 where all points are the same."""
    blocks = [points[start : start + BLOCK] @ points.T for start in range(0, len(points), BLOCK)]
    furthest = 2 - 2 * np.concatenate([block.min(axis=1).astype(float) for block in blocks])
    return np.where(furthest > 1e-6, furthest, 1.0)


def _distance(points: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    blocks = [slice(start, start + 2**16) for start in range(0, len(left), 2**16)]
    cosines = [np.einsum("ij,ij->i", points[left[block]], points[right[block]], dtype=float) for block in blocks]
    return 2 - 2 * np.concatenate([np.zeros(0), *cosines])
