"""The method `sift_lnbnn`: RootSIFT, LNBNN scores over one index, and spatial verification of a shortlist.

The classic of pattern matching in ecology, after HotSpotter (Crall et al., WACV 2013), with OpenCV's SIFT keypoints in
the place of Hessian-affine ones. It learns nothing, so it needs no training photos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pelage.common.parallel import parallel_map
from pelage.common.progress import track
from pelage.matching.lnbnn import build_index, match
from pelage.matching.local_features import LocalFeatures
from pelage.matching.rankings import join_rankings, rankings_table
from pelage.matching.verification import inliers
from pelage.split.protocols import ProtocolSet, allowed

OPPOSITE = {"left": "right", "right": "left"}
QUERIES_AT_ONCE = 16


@dataclass(frozen=True)
class Scores:
    """How alike Q queries and G gallery crops are.

    What speaks for a candidate is the sum s of its matches' scores for 1000 keypoints of the query: a query with few
    keypoints would otherwise look new, whoever it shows.

    Attributes:
        score: `(Q, G)` float64, at least 0. Above 1: verified, 1 + s of the matches that agree on one placement. Below
            1: not verified, `s / (1 + s)` of all matches. So verified candidates come first, and the best scores of
            two queries can be compared.
        verified: `(Q, G)` int, matches that agree; 0 where not verified.
    """

    score: np.ndarray
    verified: np.ndarray


def score_gallery(
    queries: Sequence[LocalFeatures],
    gallery: Sequence[LocalFeatures],
    permitted: np.ndarray,
    neighbours: int,
    shortlist: int,
    min_inliers: int,
) -> Scores:
    """Score every gallery crop for every query.

    Args:
        queries: Q crops.
        gallery: G crops, in the order of their ids, which decides between equals.
        permitted: `(Q, G)` bool; others score 0 and take no place among the nearest keypoints.
        neighbours: Matches of a keypoint.
        shortlist: Candidates with the highest sums of match scores, which are verified.
        min_inliers: Matches that have to agree on one placement.
    """
    index = build_index(gallery)
    score = np.zeros(permitted.shape)
    verified = np.zeros(permitted.shape, int)

    def score_block(start: int) -> None:
        block = slice(start, start + QUERIES_AT_ONCE)
        for place, matches in enumerate(match(index, queries[block], permitted[block], neighbours), start):
            worth = 1000 / max(len(queries[place]), 1) * matches.score
            total = np.bincount(matches.crop, worth, minlength=len(gallery))
            score[place] = total / (1 + total)
            for crop in np.argsort(-total, kind="stable")[:shortlist]:
                own = matches.crop == crop
                agree = inliers(queries[place], gallery[crop], matches.query[own], matches.candidate[own], worth[own])
                if agree.sum() >= min_inliers:
                    score[place, crop] = 1 + worth[own][agree].sum()
                    verified[place, crop] = agree.sum()

    starts = range(0, len(queries), QUERIES_AT_ONCE)
    for _ in track(parallel_map(score_block, starts), "match", len(starts)):
        pass
    return Scores(score, verified)


def score_by_side(
    queries: Sequence[LocalFeatures],
    gallery: Sequence[LocalFeatures],
    sides: tuple[np.ndarray, np.ndarray],
    permitted: np.ndarray,
    **settings: int,
) -> Scores:
    """Do as `score_gallery`, but let a left flank never match a right one: they carry different patterns.

    Args:
        queries: Q crops.
        gallery: G crops.
        sides: Orientations `(Q,)` and `(G,)`; all but `left` and `right` go with any.
        permitted: `(Q, G)` bool.
        **settings: As in `score_gallery`.

    Returns:
        Scores of all pairs; those of opposite sides are 0.
    """
    asked, answering = sides
    score = np.zeros(permitted.shape)
    verified = np.zeros(permitted.shape, int)
    for side in sorted(set(asked)):
        rows, columns = np.flatnonzero(asked == side), np.flatnonzero(answering != OPPOSITE.get(side))
        some = np.ix_(rows, columns)
        part = score_gallery([queries[i] for i in rows], [gallery[i] for i in columns], permitted[some], **settings)
        score[some], verified[some] = part.score, part.verified
    return Scores(score, verified)


def rank(
    features: Mapping[str, LocalFeatures],
    sets: Mapping[str, ProtocolSet],
    depth: int,
    same_side: bool,
    **settings: int,
) -> tuple[pd.DataFrame, dict[str, dict]]:
    """Rank the gallery of each protocol for each of its queries.

    A query that several protocols ask of the same gallery is scored once.

    Args:
        features: Features by crop id. Crops that are not in it take no part.
        sets: Protocols by name.
        depth: Most candidates a query.
        same_side: A left flank never matches a right one.
        **settings: As in `score_gallery`.

    Returns:
        The table of `rankings_table`, and by protocol: number of `queries`, share of them whose first candidate is
        `verified`, and mean `inliers` of the first candidates (0 if not verified; None without queries).
    """
    tables, summary, known = [], {}, {}
    for protocol, chosen in sets.items():
        queries = chosen.queries[chosen.queries["crop_id"].isin(features)]
        gallery = chosen.gallery[chosen.gallery["crop_id"].isin(features)].sort_values("crop_id")
        names = list(gallery["crop_id"])
        answers = known.setdefault((chosen.same_encounter, *names), {})
        new = queries[~queries["crop_id"].isin(answers)]
        sides = [
            rows["orientation"].to_numpy(object) if same_side else np.full(len(rows), "") for rows in (new, gallery)
        ]
        scores = score_by_side(
            [features[name] for name in new["crop_id"]],
            [features[name] for name in names],
            sides,
            allowed(new, gallery, chosen.same_encounter),
            **settings,
        )
        answers |= dict(zip(new["crop_id"], zip(scores.score, scores.verified, strict=True), strict=True))

        asked = [answers[name] for name in queries["crop_id"]]
        score, verified = np.array(asked).reshape(len(asked), 2, len(names)).transpose(1, 0, 2)
        permitted = allowed(queries, gallery, chosen.same_encounter)
        tables.append(rankings_table(protocol, queries["crop_id"], names, score, permitted, depth))
        first = verified[np.arange(len(asked)), score.argmax(axis=1)] if names else np.zeros(0)
        summary[protocol] = {
            "queries": len(asked),
            "verified": round(float((first > 0).mean()), 4) if len(first) else None,
            "inliers": round(float(first.mean()), 4) if len(first) else None,
        }
    return join_rankings(tables), summary
