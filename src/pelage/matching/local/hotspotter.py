"""The method HotSpotter: Hessian-affine SIFT, LNBNN over one index, and spatial verification of a shortlist of names.

Crall et al., "HotSpotter: patterned species instance recognition", WACV 2013, in three presets:

* `wbia`: what IBEIS and WBIA run today (Wildbook's HotSpotter), their default parameters. Neighbours come from an
  inverted file where WBIA's come from random trees, and matches that score nothing are left out before verification.
* `hotspotter2013`: the first Python HotSpotter and the paper: smaller chips, squared distances, photos scored alone,
  no masks. Its scores lack the 1 that was added to distances of tens of thousands.
* `fast`: `wbia` with the largest keypoints that lie on the animal, and a shorter shortlist.

WBIA ranks names and drops all that it has not verified. Here every photo keeps a place: a name's best photo has the
name's score and its other verified photos have their own, at most that; then come, by the scores before verification,
all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pelage.common.packs import Packs
from pelage.common.parallel import parallel_map
from pelage.common.progress import track
from pelage.matching.local.affine_verification import Rules, verify
from pelage.matching.local.hessian_affine import AffineFeatures, read_affine_features
from pelage.matching.local.inverted_index import approximate_search
from pelage.matching.local.lnbnn import SCORES, Index, Matches, Nearest, build_index, match, nearest_rows
from pelage.matching.local.ranking import Scores, leading
from pelage.matching.matches import placed

CHOICES = {
    "chip": ("longest", "area"),
    "matches": tuple(SCORES),
    "aggregate": ("nsum", "csum"),
    "extent": ("chip", "keypoints"),
    "search": ("exact", "inverted"),
}


@dataclass(frozen=True)
class HotSpotter:
    """The kind `hotspotter` of matchers; the defaults are the preset `wbia`.

    Attributes:
        chip: `longest` or `area`: what `side` is of, the longer side or the root of the area.
        side: Pixels that a crop is scaled to.
        keypoints: Most keypoints of a crop, the largest ones; 0 keeps all.
        foreground: Weigh keypoints by how much of them is animal.
        min_weight: Keypoints that are less animal are dropped.
        neighbours: Matches of a keypoint (K); the next nearest one normalises them.
        search: `inverted`: only so many `probes` of the index's cells, in a tenth of the time of `exact`, which
            compares all keypoints and is there to check the other by.
        probes: Cells.
        matches: What a match is worth, a key of `SCORES`.
        aggregate: `nsum`: a name's score, each query keypoint speaks once for it; `csum`: a photo's, all its matches.
        names: Names that are verified; photos under `csum`.
        photos: Photos of each name that are verified.
        distance: Largest distance under a placement, as a share of the candidate's diagonal.
        area: Largest ratio of the areas of two regions.
        min_inliers: Matches that have to agree with an affine placement.
        extent: `chip` or `keypoints`: what the diagonal is of.
        unique: A placement counts query keypoints, instead of adding their weights.
        refined_shape: The homography is tested by size and direction too.
    """

    chip: str = "longest"
    side: int = 700
    keypoints: int = 0
    foreground: bool = True
    min_weight: float = 0.0
    neighbours: int = 4
    search: str = "inverted"
    probes: int = 16
    matches: str = "lnbnn"
    aggregate: str = "nsum"
    names: int = 40
    photos: int = 3
    distance: float = 0.1
    area: float = 2.0
    min_inliers: int = 7
    extent: str = "chip"
    unique: bool = False
    refined_shape: bool = True

    detector: ClassVar = "hessian_affine"
    detail: ClassVar = "Hessian-affine SIFT, LNBNN, affine and homography verification"
    choices: ClassVar = CHOICES
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "wbia": {},
        "hotspotter2013": {
            "chip": "area",
            "side": 450,
            "foreground": False,
            "matches": "lnbnn_squared",
            "aggregate": "csum",
            "names": 50,
            "photos": 1,
            "min_inliers": 4,
            "extent": "keypoints",
            "unique": True,
            "refined_shape": False,
        },
        "fast": {"keypoints": 500, "min_weight": 0.5, "names": 20, "photos": 2},
    }

    def features(self, crops: Packs, masks: Packs, files: Sequence[str]) -> list[AffineFeatures]:
        """Return the features of crops in files (see `read_features`)."""
        own = ("chip", "side", "keypoints", "foreground", "min_weight")
        settings = {name: getattr(self, name) for name in own}
        return read_affine_features(crops, masks, files, detector=self.detector, **settings)

    def score(
        self,
        queries: Sequence[AffineFeatures],
        gallery: Sequence[AffineFeatures],
        permitted: np.ndarray,
        identity: np.ndarray,
    ) -> Scores:
        """Score every gallery crop for every query (see `pelage.matching.local.ranking.Score`)."""
        index = build_index(gallery)
        nearest = self.nearest(index)
        alone = self.aggregate == "csum"
        name = np.arange(len(gallery)) if alone else np.unique(identity.astype(str), return_inverse=True)[1]
        rules = Rules(
            distance=self.distance,
            area=self.area,
            min_inliers=self.min_inliers,
            extent=self.extent,
            unique=self.unique,
            refined_shape=self.refined_shape,
        )
        score = np.zeros(permitted.shape)
        verified = np.zeros(permitted.shape, int)
        agreed = {}

        def score_query(place: int) -> None:
            query = queries[place].take(queries[place].weight > 0)
            matches = match(index, query, permitted[place], self.neighbours, SCORES[self.matches], nearest)
            worth = 1000 / max(float(query.weight.sum()), 1.0)
            before, photo, of_name = photo_scores(matches, name, alone)
            score[place] = worth * before / (1 + worth * before)
            chosen = shortlist(name, photo, of_name, self.names, self.photos)
            agree = np.zeros(len(matches.crop), bool)
            where = {}
            for crop in chosen:
                pair = np.flatnonzero(matches.crop == crop)
                first, second = matches.query[pair], matches.candidate[pair]
                agree[pair] = verify(query, gallery[crop], first, second, query.weight[first], rules)
                pair = pair[agree[pair]]
                if len(pair):
                    found = matches.take(pair)
                    where[crop] = placed(query, gallery[crop], found.query, found.candidate, worth * found.score)
            after, *_ = photo_scores(matches.take(agree), name, alone)
            inlying = np.bincount(matches.crop[agree], minlength=len(gallery))
            score[place] = np.where(inlying > 0, 1 + worth * after, score[place])
            verified[place] = inlying
            agreed.update(((place, crop), found) for crop, found in leading(score[place], where).items())

        for _ in track(parallel_map(score_query, range(len(queries))), "match", len(queries)):
            pass
        return Scores(score, verified, agreed)

    def nearest(self, index: Index) -> Nearest:
        """Return the search of a gallery's keypoints."""
        return nearest_rows if self.search == "exact" else approximate_search(index, self.probes)


class DogSift(HotSpotter):
    """The kind `dog_sift`: HotSpotter with OpenCV's upright difference-of-Gaussians SIFT, whose regions are circles."""

    detector: ClassVar = "dog"
    detail: ClassVar = "DoG SIFT, LNBNN, affine and homography verification"


def photo_scores(matches: Matches, name: np.ndarray, alone: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add up what matches are worth, for photos and names.

    Args:
        matches: Matches of a query.
        name: `(G,)` int, name of each gallery photo, counted from 0.
        alone: Photos are scored on their own (`csum`), and a name by its best one. Otherwise a name has the sum over
            the query's keypoints of the best match of each with any of its photos (`nsum`, WBIA `fmech`).

    Returns:
        `(G,)` scores to rank by: that of the name for its best photo, and for its others their own, at most that;
        `(G,)` own scores of the photos (`csum`); and the scores of the names, `(names,)`.
    """
    photo = np.bincount(matches.crop, matches.score, minlength=len(name))
    of_name = np.zeros(name.max(initial=-1) + 1)
    if alone:
        np.maximum.at(of_name, name, photo)
        return photo, photo, of_name
    whose = name[matches.crop]
    order = np.lexsort((-matches.score, matches.query, whose))
    fresh = np.r_[True, (np.diff(whose[order]) != 0) | (np.diff(matches.query[order]) != 0)][: len(order)]
    best = order[fresh]
    of_name += np.bincount(whose[best], matches.score[best], minlength=len(of_name))
    seen = np.flatnonzero(photo > 0)  # few of a large gallery; all others score nothing, and so do their names
    leading = seen[np.lexsort((-photo[seen], name[seen]))]
    leading = leading[np.r_[True, np.diff(name[leading]) != 0][: len(leading)]]
    ranked = np.minimum(photo, of_name[name])
    ranked[leading] = of_name[name[leading]]
    return ranked, photo, of_name


def shortlist(name: np.ndarray, photo: np.ndarray, of_name: np.ndarray, names: int, photos: int) -> list[int]:
    """Return the best photos of the best names, best first, of equals the first (WBIA `get_name_shortlist_aids`).

    Args:
        name: `(G,)` int, name of each photo.
        photo: `(G,)` scores of the photos.
        of_name: Scores of the names.
        names: Most names.
        photos: Most photos of a name.
    """
    order, leaders = map(_best_first, (photo, of_name))
    chosen = []
    for leader in leaders[:names]:
        chosen += order[name[order] == leader][:photos].tolist()
    return chosen


def _best_first(score: np.ndarray) -> np.ndarray:
    """Return the places of what scores anything, best first, of equals the first."""
    seen = np.flatnonzero(score > 0)
    return seen[np.argsort(-score[seen], kind="stable")]
