"""The method `sift_lnbnn`: RootSIFT, LNBNN scores over one index, and spatial verification of a shortlist.

The classic of pattern matching in ecology, after HotSpotter (Crall et al., WACV 2013), with OpenCV's SIFT keypoints in
the place of Hessian-affine ones. It learns nothing, so it needs no training photos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pelage.common.packs import Packs
from pelage.common.parallel import parallel_map
from pelage.common.progress import track
from pelage.matching.local.features import LocalFeatures, read_local_features
from pelage.matching.local.inverted_index import approximate_search
from pelage.matching.local.lnbnn import Index, Nearest, build_index, match
from pelage.matching.local.ranking import Scores, leading
from pelage.matching.local.verification import inliers
from pelage.matching.matches import placed

EXACT = 2_000_000
"""Keypoints of a gallery up to which all are compared: those of 5,000 crops or more."""

PROBES = 16


@dataclass(frozen=True)
class SiftLnbnn:
    """The kind `sift_lnbnn` of matchers.

    Attributes:
        side: Pixels that a crop's longer side is scaled to.
        keypoints: Most keypoints of a crop, by strength.
        contrast: Least strength of a keypoint (Lowe's contrast threshold).
        upright: Keypoints are not turned to their strongest gradient.
        neighbours: Matches of a keypoint; the next nearest one normalises them.
        shortlist: Candidates that are verified.
        min_inliers: Matches that have to agree on one placement.
        exact: Keypoints of a gallery up to which all are compared; of more, those in a few cells of an inverted file.
        probes: Cells that are looked at for a keypoint.
    """

    side: int = 400
    keypoints: int = 400
    contrast: float = 0.02
    upright: bool = True
    neighbours: int = 4
    shortlist: int = 40
    min_inliers: int = 4
    exact: int = EXACT
    probes: int = PROBES

    detail: ClassVar = "RootSIFT, LNBNN, spatial verification"

    def features(self, crops: Packs, masks: Packs, files: Sequence[str]) -> list[LocalFeatures]:
        """Return the features of crops in files (see `read_features`)."""
        settings = {name: getattr(self, name) for name in ("side", "keypoints", "contrast", "upright")}
        return read_local_features(crops, masks, files, **settings)

    def score(
        self, queries: Sequence[LocalFeatures], gallery: Sequence[LocalFeatures], permitted: np.ndarray, _: np.ndarray
    ) -> Scores:
        """Score every gallery crop for every query (see `pelage.matching.local.ranking.Score`)."""
        rules = self.neighbours, self.shortlist, self.min_inliers, self.exact, self.probes
        return score_gallery(queries, gallery, permitted, *rules)

    def nearest(self, index: Index) -> Nearest:
        """Return the search of a gallery's keypoints."""
        return approximate_search(index, self.probes, self.exact)


def score_gallery(
    queries: Sequence[LocalFeatures],
    gallery: Sequence[LocalFeatures],
    permitted: np.ndarray,
    neighbours: int,
    shortlist: int,
    min_inliers: int,
    exact: int = EXACT,
    probes: int = PROBES,
) -> Scores:
    """Score every gallery crop for every query: by the matches that agree on one placement, or else by all of them.

    Args:
        queries: Q crops.
        gallery: G crops, in the order of their ids, which decides between equals.
        permitted: `(Q, G)` bool; others score 0 and take no place among the nearest keypoints.
        neighbours: Matches of a keypoint.
        shortlist: Candidates with the highest sums of match scores, which are verified.
        min_inliers: Matches that have to agree on one placement.
        exact, probes: As in `SiftLnbnn`.
    """
    index = build_index(gallery)
    nearest = approximate_search(index, probes, exact)
    score = np.zeros(permitted.shape)
    verified = np.zeros(permitted.shape, int)
    agreed = {}

    def score_query(place: int) -> None:
        query = queries[place]
        matches = match(index, query, permitted[place], neighbours, nearest=nearest)
        worth = 1000 / max(len(query), 1) * matches.score
        crops, whose = np.unique(matches.crop, return_inverse=True)
        total = np.bincount(whose, worth, minlength=len(crops))
        score[place, crops] = total / (1 + total)
        where = {}
        for crop in crops[np.argsort(-total, kind="stable")[:shortlist]]:
            own = np.flatnonzero(matches.crop == crop)
            if len(own) < min_inliers:
                continue
            agree = inliers(query, gallery[crop], matches.query[own], matches.candidate[own], worth[own])
            if agree.sum() >= min_inliers:
                own = own[agree]
                score[place, crop] = 1 + worth[own].sum()
                verified[place, crop] = len(own)
                where[int(crop)] = placed(query, gallery[crop], matches.query[own], matches.candidate[own], worth[own])
        agreed.update(((place, crop), found) for crop, found in leading(score[place], where).items())

    for _ in track(parallel_map(score_query, range(len(queries))), "match", len(queries)):
        pass
    return Scores(score, verified, agreed)
