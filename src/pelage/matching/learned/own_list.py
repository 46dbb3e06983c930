"""Whom a rematcher's own keypoints speak for, among all that may answer: the list that other methods need not make.

Each learned keypoint of a query votes for the crops of its nearest ones in the gallery (LNBNN, as `sift_lnbnn` counts
RootSIFT's), and votes that agree on one placement come first. This compares a query with the whole gallery in the time
in which LightGlue looks at a few pairs, and finds others than SIFT does.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd

from pelage.matching.learned.features import LearnedFeatures
from pelage.matching.local.features import LocalFeatures
from pelage.matching.local.ranking import rank
from pelage.matching.local.sift_lnbnn import SiftLnbnn, score_gallery
from pelage.split.protocols import ProtocolSet

LENGTH = 400.0
"""Length of a descriptor in steps of a byte, around 128. Single values beyond .32 of it are cut."""

SCALE = 16.0
"""Diameter of a keypoint in pixels; all are alike, so a placement is a shift."""

VERIFIED = 100
"""Candidates whose votes are asked to agree on one placement, at least."""


def own_list(
    features: Mapping[str, LearnedFeatures], sets: Mapping[str, ProtocolSet], depth: int, same_side: bool
) -> pd.DataFrame:
    """Rank those of each protocol's gallery for whom a keypoint speaks; the table of `rankings_table`.

    Args:
        features: By crop id; crops without take no part.
        sets: Protocols by name.
        depth: Candidates of a query.
        same_side: A left flank never matches a right one.
    """
    rules = SiftLnbnn(shortlist=max(depth, VERIFIED))
    own = (rules.neighbours, rules.shortlist, rules.min_inliers, rules.exact, rules.probes)

    def score(queries: list, gallery: list, permitted: np.ndarray, _: np.ndarray):
        return score_gallery(queries, gallery, permitted, *own)

    table = rank({name: as_local(found) for name, found in features.items()}, sets, depth, same_side, score)[0]
    return table[table["score"] > 0]


def as_local(features: LearnedFeatures) -> LocalFeatures:
    """Return learned keypoints as upright ones of equal size, wholly on the animal, with descriptors of bytes."""
    count = len(features)
    same = partial(np.full, count, dtype=np.float32)
    descriptors = np.rint(LENGTH * features.descriptors.astype(np.float32)) + 128
    return LocalFeatures(
        features.xy, same(SCALE), same(0), same(1), np.clip(descriptors, 0, 255).astype(np.uint8), features.size
    )
