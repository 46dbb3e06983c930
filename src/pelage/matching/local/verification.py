"""Spatial verification: which matches of two crops agree on one placement of the animal.

HotSpotter's way (Crall et al., WACV 2013; WBIA `spatial_verification.py`), with the similarity that position, size and
direction of a SIFT keypoint give in the place of an affine shape: every match proposes one. Nothing is drawn at random.
"""

from __future__ import annotations

import numpy as np

from pelage.matching.local.features import LocalFeatures


def inliers(
    query: LocalFeatures,
    candidate: LocalFeatures,
    first: np.ndarray,
    second: np.ndarray,
    score: np.ndarray,
    distance: float = 0.1,
    area: float = 2.0,
    turn: float = np.pi / 2,
) -> np.ndarray:
    """Return the matches that agree with the best of the placements which single matches propose.

    A match proposes the similarity that takes the query's keypoint to the candidate's, with its size and direction.
    Another match agrees if its query keypoint lands near its candidate keypoint, with about its size and direction. The
    placement with the highest score of all that agree is taken, of equal ones that of the first match.

    Args:
        query: Features of the query crop.
        candidate: Features of the gallery crop.
        first: `(M,)` int, keypoints of the query.
        second: `(M,)` int, keypoints of the candidate.
        score: `(M,)`, what a match counts, not negative.
        distance: Largest distance, as a share of the candidate's diagonal.
        area: Largest ratio of areas, so sizes may differ by its square root.
        turn: Largest difference of directions in radians.

    Returns:
        `(M,)` bool.
    """
    if len(first) == 0:
        return np.zeros(0, bool)
    # Points as complex numbers: a similarity is z -> a z + b, and the size and angle of a are its scale and rotation.
    start, end = _complex(query.xy[first]), _complex(candidate.xy[second])
    scale = candidate.scale[second].astype(np.float64) / query.scale[first]
    rotation = candidate.angle[second].astype(np.float64) - query.angle[first]
    a = scale * np.exp(1j * rotation)
    landed = end[:, None] + a[:, None] * (start[None, :] - start[:, None])  # row: proposal, column: match
    agree = (
        (np.abs(landed - end[None, :]) < distance * candidate.diagonal)
        & (np.abs(np.log(scale[:, None] / scale[None, :])) < np.log(area) / 2)
        & (np.abs(np.angle(a[:, None] / a[None, :])) < turn)
    )
    return agree[np.argmax(np.where(agree, score, 0.0).sum(axis=1))]


def _complex(points: np.ndarray) -> np.ndarray:
    return points[:, 0].astype(np.float64) + 1j * points[:, 1]
