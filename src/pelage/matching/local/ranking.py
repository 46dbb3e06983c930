"""Rankings by local features: what all kinds of matchers share, whatever they find on a crop and however they score it.

Features of each crop -> scores of all pairs that may be compared (a kind shortlists for itself) -> one rankings table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from pelage.common.ties import name_codes
from pelage.matching.matches import EXPLAINED, TOLD, matches_table
from pelage.matching.placement import lie, placement_table
from pelage.matching.rankings import join_rankings, kept, rankings_table
from pelage.split.protocols import OPPOSITE, ProtocolSet

CELLS = 2**23
"""Pairs of a query and a gallery crop that are scored at a time; they take 0.4 GB."""


@dataclass(frozen=True)
class Scores:
    """How alike Q queries and G gallery crops are.

    What speaks for a candidate is a sum s of its matches' scores for 1000 keypoints of the query: a query with few
    keypoints would otherwise look new, whoever it shows.

    Attributes:
        score: `(Q, G)` float64, at least 0. Above 1: verified, 1 + s of the matches that agree on one placement. Below
            1: not verified, `s / (1 + s)` of all matches. So verified candidates come first, and the best scores of
            two queries can be compared. A kind that verifies nothing scores in [0, 1).
        verified: `(Q, G)` int, matches that agree; 0 where not verified.
        agreed: By places of query and candidate, what `placed` returns of the matches that agree, for the first
            `TOLD` candidates of a query as far as they are verified. Empty of a kind that does not tell.
    """

    score: np.ndarray
    verified: np.ndarray
    agreed: Mapping[tuple[int, int], np.ndarray] = field(default_factory=dict)


Score = Callable[[Sequence[Any], Sequence[Any], np.ndarray, np.ndarray], Scores]
"""`score(queries, gallery, permitted, identity)`: the features of Q queries and G gallery crops (in the order of their
ids, which decides between equals), which pairs are compared `(Q, G)` bool (all others score 0 and take no place among
the nearest keypoints), and whom the gallery crops show `(G,)`, as `ProtocolSet.names` tells it."""


def leading(score: np.ndarray, agreed: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Return the first `TOLD` of `agreed` (by candidate), by their `score`, `(G,)`: all others score less."""
    return {crop: agreed[crop] for crop in sorted(agreed, key=lambda crop: (-score[crop], crop))[:TOLD]}


def compared_once(score: Score) -> Score:
    """Return a `Score` that remembers, for kinds whose scores depend on nothing but the two crops of a pair.

    Protocols share most of their pairs. Only a query's first candidates are compared again, for their matches.

    Args:
        score: Scores pairs of features, which all live as long as what is returned.
    """
    place_of: dict[int, int] = {}
    known: dict[int, np.ndarray] = {}  # by query `(2, crops so far)`: score and matches that agree, NaN if not compared

    def remembered(query: Any) -> np.ndarray:
        values = known.get(id(query), np.empty((2, 0)))
        known[id(query)] = np.pad(values, ((0, 0), (0, len(place_of) - values.shape[1])), constant_values=np.nan)
        return known[id(query)]

    def scored(queries: Sequence[Any], gallery: Sequence[Any], permitted: np.ndarray, identity: np.ndarray) -> Scores:
        places = np.array([place_of.setdefault(id(crop), len(place_of)) for crop in gallery], int)
        rows = [remembered(query) for query in queries]
        told = np.array([row[:, places] for row in rows]).reshape(len(rows), 2, len(places)).transpose(1, 0, 2)
        old = permitted & ~np.isnan(told[0])
        found = score(queries, gallery, permitted & ~old, identity)
        total, verified = np.where(old, told[0], found.score), np.where(old, told[1], found.verified)
        for row, new, *values in zip(rows, permitted & ~old, total, verified, strict=True):
            row[:, places[new]] = np.array(values)[:, new]

        first = np.zeros(permitted.shape, bool)
        np.put_along_axis(first, np.argsort(-total, axis=1, kind="stable")[:, :TOLD], True, axis=1)
        agreed = {**found.agreed, **score(queries, gallery, first & old, identity).agreed}
        return Scores(total, verified.astype(int), {pair: ends for pair, ends in agreed.items() if first[pair]})

    return scored


def score_by_side(
    score: Score,
    queries: Sequence[Any],
    gallery: Sequence[Any],
    sides: tuple[np.ndarray, np.ndarray],
    permitted: np.ndarray,
    identity: np.ndarray,
) -> Scores:
    """Do as `score`, but let a left flank never match a right one: they carry different patterns.

    Args:
        score: Scores the pairs that are left.
        queries: Features of Q crops.
        gallery: Features of G crops.
        sides: Orientations `(Q,)` and `(G,)`; all but `left` and `right` go with any.
        permitted: `(Q, G)` bool.
        identity: `(G,)`.

    Returns:
        Scores of all pairs; those of opposite sides are 0.
    """
    asked, answering = sides
    total = np.zeros(permitted.shape)
    verified = np.zeros(permitted.shape, int)
    agreed = {}
    for side in sorted(set(asked)):
        rows, columns = np.flatnonzero(asked == side), np.flatnonzero(answering != OPPOSITE.get(side))
        may = permitted[rows].take(columns, axis=1)
        part = score([queries[i] for i in rows], [gallery[i] for i in columns], may, identity[columns])
        for whole, found in ((total, part.score), (verified, part.verified)):  # mostly zeros in large galleries
            query, crop = np.nonzero(found)
            whole[rows[query], columns[crop]] = found[query, crop]
        agreed |= {(int(rows[query]), int(columns[crop])): found for (query, crop), found in part.agreed.items()}
    return Scores(total, verified, agreed)


def rank(
    features: Mapping[str, Any],
    sets: Mapping[str, ProtocolSet],
    depth: int,
    same_side: bool,
    score: Score,
    whole: int = 0,
) -> tuple[pd.DataFrame, dict[str, dict], pd.DataFrame, pd.DataFrame]:
    """Rank the gallery of each protocol for each of its queries, in blocks of queries.

    A query that several protocols ask of the same gallery is scored once.

    Args:
        features: Features by crop id. Crops that are not in it take no part.
        sets: Protocols by name.
        depth: Most candidates a query of a gallery of more than `whole` crops.
        same_side: A left flank never matches a right one.
        score: Scores the pairs.
        whole: Crops of the largest gallery that is ranked as a whole.

    Returns:
        The table of `rankings_table`, and by protocol: number of `queries`, share of them whose first candidate is
        `verified`, and mean `inliers` of the first candidates (0 if not verified; None without queries). Last, the
        tables of `matches_table` and of `placement_table`.
    """
    alike: dict[tuple, dict[str, ProtocolSet]] = {}
    for protocol, chosen in sets.items():
        queries = chosen.queries[chosen.queries["crop_id"].isin(features)]
        gallery = chosen.gallery[chosen.gallery["crop_id"].isin(features)].sort_values("crop_id")
        asked = (chosen.same_encounter, chosen.own_individual, chosen.named, *gallery["crop_id"])
        alike.setdefault(asked, {})[protocol] = replace(chosen, queries=queries, gallery=gallery)

    tables, summary, matches, where = {}, {}, {}, {}
    for of_gallery in alike.values():
        asked = list(of_gallery.values())
        ranked, inliers, told, places = _rank_gallery(features, asked, depth, same_side, score, whole)
        for protocol, chosen in of_gallery.items():
            queries = chosen.queries["crop_id"]
            tables[protocol] = _of_queries(ranked, protocol, queries)
            first = inliers.reindex(queries).dropna()
            for made, found in ((matches, told), (where, places)):
                made[protocol] = [
                    (protocol, query, *pair) for query in queries for pair in found.get(query, {}).items()
                ]
            summary[protocol] = {
                "queries": len(queries),
                "verified": round(float((first > 0).mean()), 4) if len(first) else None,
                "inliers": round(float(first.mean()), 4) if len(first) else None,
            }
    tables, summary = join_rankings([tables[name] for name in sets]), {name: summary[name] for name in sets}
    told = (make([found for name in sets for found in of[name]]) for make, of in
            ((matches_table, matches), (placement_table, where)))  # fmt: skip
    return tables, summary, *told


def _rank_gallery(
    features: Mapping[str, Any], sets: Sequence[ProtocolSet], depth: int, same_side: bool, score: Score, whole: int
) -> tuple[pd.DataFrame, pd.Series, dict[str, dict[str, np.ndarray]], dict[str, dict[str, np.ndarray]]]:
    """Rank one gallery for all that is asked of it by protocols that differ in nothing but their queries.

    Returns:
        Rankings of no protocol; by query, the matches of the first candidate that agree; by query and candidate, what
        `placed` returned of the first `EXPLAINED`, and where the matches of the first `TOLD` lie.
    """
    queries = pd.concat([chosen.queries for chosen in sets]).drop_duplicates("crop_id")
    chosen = replace(sets[0], gallery=sets[0].gallery.astype(object))  # so that no block of queries turns texts
    names = pd.Index(chosen.gallery["crop_id"], dtype=str)
    gallery, identity = [features[name] for name in names], chosen.names
    codes = name_codes(names)
    tables, inliers, told, where = [], [np.zeros(0)], {}, {}
    size = max(CELLS // max(len(names), 1), 1)
    for start in range(0, len(queries), size):
        rows = queries.iloc[start : start + size]
        sides = [
            part["orientation"].to_numpy(object) if same_side else np.full(len(part), "")
            for part in (rows, chosen.gallery)
        ]
        permitted = chosen.may_answer(rows, chosen.gallery)
        scores = score_by_side(score, [features[name] for name in rows["crop_id"]], gallery, sides, permitted, identity)
        relevant = chosen.relevant(rows, chosen.gallery)
        most = kept(len(names), depth, whole)
        tables.append(rankings_table("", rows["crop_id"], names, scores.score, permitted, most, relevant, codes))
        first = scores.score.argmax(axis=1) if len(names) else np.zeros(0, int)
        inliers.append(scores.verified[np.arange(len(first)), first] if len(names) else np.zeros(0))
        asked = rows["crop_id"].tolist()
        best = sorted(scores.agreed, key=lambda pair: (pair[0], -scores.score[pair], pair[1]))
        for place, crop in best:
            found, candidate = scores.agreed[place, crop], names[crop]
            where.setdefault(asked[place], {})[candidate] = lie(found)
            if len(own := told.setdefault(asked[place], {})) < EXPLAINED:
                own[candidate] = found
    asked = queries["crop_id"] if len(names) else queries["crop_id"].iloc[:0]
    return join_rankings(tables), pd.Series(np.concatenate(inliers), index=asked), told, where


def _of_queries(ranked: pd.DataFrame, protocol: str, queries: pd.Series) -> pd.DataFrame:
    """Return the rows of some queries, in the order of these, as those of a protocol."""
    place = pd.Index(queries).get_indexer(ranked["query"].cat.categories)[ranked["query"].cat.codes]
    rows = np.argsort(place, kind="stable")[np.count_nonzero(place < 0) :]
    of = pd.Categorical.from_codes(np.zeros(len(rows), np.int8), pd.Index([protocol], dtype=str))
    return ranked.iloc[rows].assign(protocol=of)
