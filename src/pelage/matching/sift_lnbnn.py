"""The method `sift_lnbnn`: RootSIFT, LNBNN scores over one index, and spatial verification of a shortlist.

The classic of pattern matching in ecology, after HotSpotter (Crall et al., WACV 2013), with OpenCV's SIFT keypoints in the
place of Hessian-affine ones. It learns nothing, so it needs no training photos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pelage.common.progress import track
from pelage.matching.lnbnn import build_index, match
from pelage.matching.local_features import LocalFeatures
from pelage.matching.verification import inliers

OPPOSITE = {"left": "right", "right": "left"}
QUERIES_AT_ONCE = 32


@dataclass(frozen=True)
class Scores:
    """How alike Q queries and G gallery crops are.

    Attributes:
        score: `(Q, G)` float64, at least 0. Above 1: verified, 1 + the sum of the scores of the matches that agree on one
            placement. Below 1: not verified, `s / (1 + s)` of the sum s of all scores. So verified candidates come
            first, and the best scores of two queries can be compared.
        verified: `(Q, G)` int, matches that agree; 0 where not verified.
    """

    score: np.ndarray
    verified: np.ndarray


def score_gallery(
    queries: Sequence[LocalFeatures],
    gallery: Sequence[LocalFeatures],
    allowed: np.ndarray,
    neighbours: int = 4,
    shortlist: int = 40,
    min_inliers: int = 4,
) -> Scores:
    """Score every gallery crop for every query.

    Args:
        queries: Q crops.
        gallery: G crops, in the order of their ids, which decides between equals.
        allowed: `(Q, G)` bool; others score 0 and take no place among the nearest keypoints.
        neighbours: Matches of a keypoint.
        shortlist: Candidates with the highest sums of scores, which are verified.
        min_inliers: Matches that have to agree on one placement.
    """
    index = build_index(gallery)
    score = np.zeros(allowed.shape)
    verified = np.zeros(allowed.shape, int)
    for start in track(range(0, len(queries), QUERIES_AT_ONCE), "match"):
        block = slice(start, start + QUERIES_AT_ONCE)
        for place, matches in enumerate(match(index, queries[block], allowed[block], neighbours), start):
            total = np.bincount(matches.crop, matches.score, minlength=len(gallery))
            score[place] = total / (1 + total)
            for crop in np.argsort(-total, kind="stable")[:shortlist]:
                of_crop = matches.crop == crop
                pairs = matches.query[of_crop], matches.candidate[of_crop]
                agree = inliers(queries[place], gallery[crop], *pairs, matches.score[of_crop])
                if agree.sum() >= min_inliers:
                    score[place, crop] = 1 + matches.score[of_crop][agree].sum()
                    verified[place, crop] = agree.sum()
    return Scores(score, verified)


def score_by_side(
    queries: Sequence[LocalFeatures],
    gallery: Sequence[LocalFeatures],
    sides: tuple[Sequence[str], Sequence[str]],
    allowed: np.ndarray,
    **settings: int,
) -> Scores:
    """Do as `score_gallery`, but let a left flank never match a right one: they carry different patterns.

    Args:
        queries: Q crops.
        gallery: G crops.
        sides: Orientations of the queries and of the gallery crops; all but `left` and `right` go with any.
        allowed: `(Q, G)` bool.
        **settings: As in `score_gallery`.

    Returns:
        Scores of all pairs; those of opposite sides are 0.
    """
    asked, answering = (np.array(orientation, object) for orientation in sides)
    score = np.zeros(allowed.shape)
    verified = np.zeros(allowed.shape, int)
    for side in sorted(set(asked)):
        rows, columns = np.flatnonzero(asked == side), np.flatnonzero(answering != OPPOSITE.get(side))
        some = np.ix_(rows, columns)
        part = score_gallery([queries[i] for i in rows], [gallery[i] for i in columns], allowed[some], **settings)
        score[some], verified[some] = part.score, part.verified
    return Scores(score, verified)
