"""HotSpotter's spatial verification: one affine placement proposed by every match, the best refined by a homography.

WBIA `spatial_verification.py` (Crall et al., WACV 2013, section 3.3). It is exhaustive: nothing is drawn at random.
Regions are upright (`AffineFeatures.shape`), so what two of them propose is upright too: their directions, which WBIA
compares as well, can only differ under the homography.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pelage.matching.local.hessian_affine import AffineFeatures

BLOCK = 2**20
"""Pairs of a proposal and a match that are tested at a time."""

VOTE_STEPS = 2.0**20
"""Votes are rounded to this fraction, so that their sums are exact and equal ones tie whatever the order."""


@dataclass(frozen=True)
class Rules:
    """What matches have to agree in.

    Attributes:
        distance: Largest distance, as a share of the candidate's diagonal (`xy_thresh` is its square).
        area: Largest ratio of the areas of two regions (`scale_thresh`): lengths may differ by its square root.
        turn: Largest difference of directions in radians (`ori_thresh`).
        min_inliers: Matches that have to agree with the affine placement.
        max_inliers: From so many on, the affine placement is not refined.
        extent: `chip`: the diagonal is that of the chip; `keypoints`: that of the box of the matched regions.
        unique: Count the query keypoints that agree, instead of adding the votes of the matches.
        refined_shape: Test areas and directions under the homography too, not only positions.
    """

    distance: float = 0.1
    area: float = 2.0
    turn: float = np.pi / 2
    min_inliers: int = 7
    max_inliers: int = 5000
    extent: str = "chip"
    unique: bool = False
    refined_shape: bool = True


def verify(
    query: AffineFeatures,
    candidate: AffineFeatures,
    first: np.ndarray,
    second: np.ndarray,
    vote: np.ndarray,
    rules: Rules,
) -> np.ndarray:
    """Return the matches that agree with the refined placement; none if too few agree with any affine one.

    Args:
        query: Features of the query crop.
        candidate: Features of the gallery crop.
        first: `(M,)` int, keypoints of the query, rising.
        second: `(M,)` int, keypoints of the candidate.
        vote: `(M,)`, what a match counts for a placement, not negative (WBIA: the query keypoint's weight).
        rules: What they have to agree in.

    Returns:
        `(M,)` bool.
    """
    nobody = np.zeros(len(first), bool)
    if len(first) < rules.min_inliers:
        return nobody
    start, end = (features.xy[rows].astype(np.float64) for features, rows in ((query, first), (candidate, second)))
    old, new = (features.shape[rows].astype(np.float64) for features, rows in ((query, first), (candidate, second)))
    limit = (rules.distance * _diagonal(candidate, end, new, rules.extent)) ** 2
    agree = _best_affine(start, end, old, new, first, vote, limit, rules)
    count = np.count_nonzero(agree)
    if count < rules.min_inliers:
        return nobody
    if count >= rules.max_inliers:
        return agree
    homography = fit_homography(start[agree], end[agree])
    return nobody if homography is None else _agree_refined(homography, start, end, old, new, limit, rules)


def _diagonal(candidate: AffineFeatures, end: np.ndarray, new: np.ndarray, extent: str) -> float:
    if extent == "chip":
        return float(np.hypot(*candidate.size))
    reach = np.c_[new[:, 0], np.hypot(new[:, 1], new[:, 2])]  # half the width and height of each region
    return float(np.hypot(*((end + reach).max(axis=0) - (end - reach).min(axis=0))))


def _best_affine(
    start: np.ndarray,
    end: np.ndarray,
    old: np.ndarray,
    new: np.ndarray,
    first: np.ndarray,
    vote: np.ndarray,
    limit: float,
    rules: Rules,
) -> np.ndarray:
    """Return the matches `(M,)` that agree with the placement of the most votes, of equal ones with the first.

    Match m proposes x -> [[p, 0], [s, r]] (x - x_m) + x'_m, the matrix that takes its region to the other one.
    """
    (x, y), (u, v) = start.T, end.T
    p, r = new[:, 0] / old[:, 0], new[:, 2] / old[:, 2]
    s = (new[:, 1] - r * old[:, 1]) / old[:, 0]
    one = np.ones_like(x)
    size = np.log(p * r)
    across = np.c_[p, -one, u - p * x], np.array([x, u, one])
    down = np.c_[s, r, -one, v - s * x - r * y], np.array([x, y, v, one])
    starts = np.flatnonzero(np.r_[True, first[1:] != first[:-1]])
    worth = np.ones(len(starts)) if rules.unique else np.rint(vote * VOTE_STEPS)
    best, agreeing = -1.0, np.zeros(len(first), bool)
    rows = max(BLOCK // len(first), 1)
    for begin in range(0, len(first), rows):
        part = slice(begin, begin + rows)
        error = across[0][part] @ across[1]
        error *= error
        other = down[0][part] @ down[1]
        other *= other
        error += other
        agree = error < limit
        np.subtract(size[part, None], size, out=other)
        agree &= np.abs(other, out=other) < np.log(rules.area)
        counted = np.logical_or.reduceat(agree, starts, axis=1) if rules.unique else agree
        votes = counted.astype(np.float64) @ worth
        leader = int(votes.argmax())
        if votes[leader] > best:
            best, agreeing = votes[leader], agree[leader].copy()
    return agreeing


def fit_homography(start: np.ndarray, end: np.ndarray) -> np.ndarray | None:
    """Fit the homography that takes `start` to `end` by the direct linear transform on whitened points.

    Args:
        start: `(N, 2)` float64.
        end: `(N, 2)` float64.

    Returns:
        `(3, 3)` with a 1 in the corner; None if its rank is below 3.
    """
    (points, whiten), (others, whiten_others) = _whiten(start), _whiten(end)
    (x, y), (u, v) = points.T, others.T
    one, zero = np.ones_like(x), np.zeros_like(x)
    rows = np.stack(
        [
            np.stack([zero, zero, zero, -x, -y, -one, v * x, v * y, v], axis=1),
            np.stack([x, y, one, zero, zero, zero, -u * x, -u * y, -u], axis=1),
        ],
        axis=1,
    ).reshape(-1, 9)
    solution = np.linalg.svd(rows, full_matrices=len(rows) < 9)[2][8].reshape(3, 3)
    homography = np.linalg.solve(whiten_others, solution) @ whiten
    with np.errstate(divide="ignore", invalid="ignore"):
        homography = homography / homography[2, 2]
    able = np.isfinite(homography).all() and np.linalg.matrix_rank(homography) == 3
    return homography if able else None


def _whiten(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return points of mean 0 and standard deviation 1 along each axis, and the matrix that makes them so."""
    mean, spread = points.mean(axis=0), points.std(axis=0)
    spread[spread == 0] = 1
    matrix = np.diag([*(1 / spread), 1.0])
    matrix[:2, 2] = -mean / spread
    return (points - mean) / spread, matrix


def _agree_refined(
    homography: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    old: np.ndarray,
    new: np.ndarray,
    limit: float,
    rules: Rules,
) -> np.ndarray:
    """Return the matches `(M,)` that agree with the homography: where it takes centres, and the points on top of them.

    Size and direction of a region are those of the arrow to its centre from the point one radius above it.
    """
    landed = _project(homography, start)
    agree = ((landed - end) ** 2).sum(axis=1) < limit
    if not rules.refined_shape:
        return agree
    radius = np.sqrt(old[:, 0] * old[:, 2])
    arrow = landed - _project(homography, start - np.c_[np.zeros_like(radius), radius])
    with np.errstate(divide="ignore"):
        size = np.log((arrow**2).sum(axis=1)) - np.log(new[:, 0] * new[:, 2])
    turn = np.arctan2(-arrow[:, 0], arrow[:, 1])  # from straight down
    return agree & (np.abs(size) < np.log(rules.area)) & (np.abs(turn) < rules.turn)


def _project(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    moved = points @ homography[:, :2].T + homography[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        return moved[:, :2] / moved[:, 2:]
