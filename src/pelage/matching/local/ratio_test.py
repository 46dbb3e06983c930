"""The ratio test, one photo against one: how many keypoints of the query have one clear partner in the candidate.

Lowe (IJCV 2004, section 7.1), as WildlifeDatasets' baselines count it (Čermák et al., WACV 2024): every pair is
compared on its own, so nothing is learnt from the rest of the gallery, and a query takes a comparison for each photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import faiss
import numpy as np

from pelage.common.packs import Packs
from pelage.common.parallel import parallel_map
from pelage.common.progress import track
from pelage.matching.local.features import DETECTORS, LocalFeatures, read_local_features
from pelage.matching.local.ranking import Scores, leading
from pelage.matching.matches import placed


@dataclass(frozen=True)
class RatioTest:
    """The kind `ratio_test` of matchers. The score is the share of the query's keypoints that pass.

    Attributes:
        descriptor: `sift` (RootSIFT), `orb` or `brisk`.
        side: Pixels that a crop's longer side is scaled to.
        keypoints: Most keypoints of a crop, by strength.
        contrast: Least strength of a keypoint, a share of the range of grey values.
        upright: Keypoints are not turned to their strongest gradient.
        ratio: A keypoint passes if its nearest partner is nearer than this share of the distance to the second.
    """

    descriptor: str = "sift"
    side: int = 400
    keypoints: int = 400
    contrast: float = 0.02
    upright: bool = True
    ratio: float = 0.8

    detail: ClassVar = "ratio test, one photo against one"
    pairwise: ClassVar = True
    choices: ClassVar = {"descriptor": tuple(DETECTORS)}

    def features(self, crops: Packs, masks: Packs, files: Sequence[str]) -> list[LocalFeatures]:
        """Return the features of crops in files (see `read_features`)."""
        settings = {name: getattr(self, name) for name in ("side", "keypoints", "contrast", "upright")}
        return read_local_features(crops, masks, files, self.descriptor, **settings)

    def score(
        self, queries: Sequence[LocalFeatures], gallery: Sequence[LocalFeatures], permitted: np.ndarray, _: np.ndarray
    ) -> Scores:
        """Score every permitted pair (see `pelage.matching.local.ranking.Score`); what passes counts as verified."""
        verified = np.zeros(permitted.shape, int)
        score = np.zeros(permitted.shape)
        agreed = {}

        def score_query(place: int) -> None:
            faiss.omp_set_num_threads(1)  # of this thread
            query = queries[place]
            worth = 1.0 / (1.0 + len(query))
            where = {}
            for other in np.flatnonzero(permitted[place]):
                first, second = passing(query, gallery[other], self.ratio)
                verified[place, other], score[place, other] = len(first), worth * len(first)
                where[int(other)] = first, second
            for other, (first, second) in leading(score[place], where).items():
                if len(first):
                    each = np.full(len(first), worth)
                    agreed[place, other] = placed(query, gallery[other], first, second, each)

        for _ in track(parallel_map(score_query, range(len(queries))), "match", len(queries)):
            pass
        return Scores(score, verified, agreed)


def passing(query: LocalFeatures, candidate: LocalFeatures, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the keypoints of `query` that pass and their partners; none if the candidate has fewer than two.

    RootSIFT is compared by Euclidean distance, bits (ORB's 32 bytes, BRISK's 64) by Hamming's.
    """
    if len(query) == 0 or len(candidate) < 2:
        return np.zeros(0, int), np.zeros(0, int)
    if query.descriptors.shape[1] == 128:
        far, rows = faiss.knn(query.descriptors.astype(np.float32), candidate.descriptors.astype(np.float32), 2)
        ratio = ratio**2
    else:
        far, rows = faiss.knn_hamming(query.descriptors, candidate.descriptors, 2)
    first = np.flatnonzero(far[:, 0] < ratio * far[:, 1])
    return first, rows[first, 0]
