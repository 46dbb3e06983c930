"""Correspondences: which keypoints of two crops are the same spot of one animal, as far as can be told.

Nobody has clicked on spots. What a matcher finds between two photos of one individual is believed where a homography
agrees with many of its matches ("verified geometry"); this then says of the other keypoints, too, which of them are the
same, as LightGlue learnt from homographies and depth (Lindenberger et al., ICCV 2023, section 3.3). Photos of two
individuals have no spot in common.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pelage.matching.learned.features import LearnedFeatures
from pelage.matching.learned.lightglue import PairMatches, magsac_inliers

NONE, UNKNOWN = -1, -2

LEAST_INLIERS = 15
"""Matches that must agree with a homography. Of photos of different animals hardly any pair has as many."""

SAME = 0.01
"""Keypoints are the same if the homography takes one so near to the other, as a share of the crop's diagonal."""

APART = 0.03
"""A keypoint that no other comes so near to has no counterpart. Between the two nothing is known: coats stretch."""


@dataclass(frozen=True)
class Correspondences:
    """What is known of a pair with N and M keypoints.

    Attributes:
        query: `(N,)` int: its keypoint of the candidate, `NONE` or `UNKNOWN`.
        candidate: `(M,)` int: its keypoint of the query, `NONE` or `UNKNOWN`.
    """

    query: np.ndarray
    candidate: np.ndarray


def of_different_animals(query: LearnedFeatures, candidate: LearnedFeatures) -> Correspondences:
    """Return that no keypoint has a counterpart."""
    return Correspondences(np.full(len(query), NONE), np.full(len(candidate), NONE))


def of_same_animal(query: LearnedFeatures, candidate: LearnedFeatures, found: PairMatches) -> Correspondences | None:
    """Return what the geometry of a pair tells, None if it cannot be verified.

    Args:
        query: With N keypoints, strongest first.
        candidate: With M keypoints.
        found: Matches of these, or of more keypoints of the same crops.
    """
    known = (found.query < len(query)) & (found.candidate < len(candidate))
    found = found.only(known)
    found = found.only(magsac_inliers(query, candidate, found))
    if len(found.query) < LEAST_INLIERS:
        return None
    start, end = query.xy[found.query], candidate.xy[found.candidate]
    homography, _ = cv2.findHomography(start, end, 0)
    if homography is None or np.linalg.matrix_rank(homography) < 3:
        return None
    there = _distances(query.xy, homography, candidate)
    back = _distances(candidate.xy, np.linalg.inv(homography), query).T
    apart = np.maximum(there, back)

    partner = np.where(apart.min(axis=1) > APART, NONE, UNKNOWN)
    partner_back = np.where(apart.min(axis=0) > APART, NONE, UNKNOWN)
    nearest, nearest_back = apart.argmin(axis=1), apart.argmin(axis=0)
    mutual = np.flatnonzero((nearest_back[nearest] == np.arange(len(query))) & (apart.min(axis=1) <= SAME))
    taken, taken_back = set(found.query.tolist()), set(found.candidate.tolist())
    pairs = zip(mutual.tolist(), nearest[mutual].tolist(), strict=True)
    free = [(one, two) for one, two in pairs if one not in taken and two not in taken_back]
    for one, two in [*zip(found.query, found.candidate, strict=True), *free]:
        partner[one], partner_back[two] = two, one
    return Correspondences(partner, partner_back)


def _distances(xy: np.ndarray, homography: np.ndarray, other: LearnedFeatures) -> np.ndarray:
    """Return how far `xy` `(N, 2)` come down from the keypoints of `other`, `(N, M)`, in diagonals of its crop."""
    moved = np.c_[xy.astype(float), np.ones(len(xy))] @ homography.T
    with np.errstate(divide="ignore", invalid="ignore"):
        places = moved[:, :2] / moved[:, 2:]
        distance = np.linalg.norm(places[:, None] - other.xy[None], axis=2) / np.hypot(*other.size)
    behind = moved[:, 2] * np.median(moved[:, 2]) <= 0
    return np.where(behind[:, None] | ~np.isfinite(distance), np.inf, distance)
