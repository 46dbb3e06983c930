"""Fusion: several methods' calibrated probabilities as one, after WildFusion (Cermak et al., ECCV Workshops 2024).

Each method's score becomes the probability that the pair shows the same animal, and the mean of these ranks the
gallery. A mean of calibrated probabilities is too timid (Ranjan and Gneiting, JRSS-B 2010), so it is calibrated once
more, which changes no order. An individual with several photos may be judged by the best of them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from pelage.common.errors import PelageError
from pelage.common.params import entry
from pelage.matching.calibration import Curve, fit_curve, folds_by
from pelage.split.protocols import OPPOSITE

PAIR = ["protocol", "query", "candidate"]
LEAST_INDIVIDUALS = 5
"""Individuals with pairs of the same animal from which on probabilities are fitted; fewer say nothing of others."""

RANK_OFFSET = 60
RECIPROCAL_RANK = "reciprocal rank"
"""What is told in the place of a calibration where there was nothing to calibrate on."""


@dataclass(frozen=True)
class Fusion:
    """What turns scores of M methods into a probability.

    Attributes:
        curves: By method.
        weights: By method, not negative.
        base_rate: Share of the same animal among the pairs that the curves were fitted on.
        outer: From the evidence to the fused probability.
        photos: Best photos of an individual whose probabilities are added up, see `add_up_photos`.
    """

    curves: Mapping[str, Curve]
    weights: Mapping[str, float]
    base_rate: float
    outer: Curve
    photos: int = 1

    def evidence(self, scores: pd.DataFrame) -> np.ndarray:
        """Return the weighted mean of the methods' probabilities, photos added up, `(P,)`, by which pairs are ranked.

        A missing score (NaN) is evidence of nothing, so the base rate stands in its place.

        Args:
            scores: P pairs, one column a method; with several `photos` also `protocol`, `query` and the candidate's
                `identity`, and all pairs of a query.
        """
        total = np.zeros(len(scores))
        for method, curve in self.curves.items():
            score = scores[method].to_numpy(float)
            probability = np.full(len(score), self.base_rate)
            seen = ~np.isnan(score)
            probability[seen] = curve(score[seen])
            total += self.weights[method] * probability
        mean = total / sum(self.weights.values())
        return mean if self.photos == 1 else add_up_photos(mean, scores, self.photos)

    def probability(self, scores: pd.DataFrame) -> np.ndarray:
        """Return the probability that each pair shows the same animal, `(P,)`; it orders pairs as `evidence` does."""
        return self.outer(self.evidence(scores))


def add_up_photos(score: np.ndarray, pairs: pd.DataFrame, photos: int) -> np.ndarray:
    """Give the best photo of each individual the sum of the scores of its best photos, `(P,)`.

    One photo that looks alike may do so by chance, three of one individual hardly. The other photos of an individual
    keep their own scores, and so come after it.

    Args:
        score: `(P,)` not negative.
        pairs: `protocol`, `query`, and the candidate's `identity`.
        photos: How many are added up.
    """
    groups = pairs.assign(score=score).groupby(["protocol", "query", "identity"], sort=False)["score"]
    place = groups.rank(ascending=False, method="first").to_numpy()
    best = pairs.assign(score=np.where(place <= photos, score, 0.0))
    total = best.groupby(["protocol", "query", "identity"], sort=False)["score"].transform("sum").to_numpy()
    return np.where(place == 1, total, score)


def fit_fusion(
    scores: pd.DataFrame, same: np.ndarray, weight: np.ndarray, weights: Mapping[str, float], kind: str, photos: int = 1
) -> Fusion:
    """Fit the curve of each method on the pairs that it scored, and the outer one on all.

    Args:
        scores: P pairs, one column a method, NaN where it has no score.
        same: `(P,)` bool, the pair shows the same animal.
        weight: `(P,)` what each pair counts.
        weights: By method, in the mean.
        kind: logistic | isotonic, of the methods' curves; the outer one is logistic, for it must rise.
        photos: See `Fusion`.

    Raises:
        PelageError: A weight is negative or all are 0, or pairs of the same animal or of different ones are missing.
    """
    if any(value < 0 for value in weights.values()) or not sum(weights.values()):
        raise PelageError("params.yaml: fusion.weights must be numbers from 0 on, not all of them 0.")
    same, weight = np.asarray(same, bool), np.asarray(weight, float)
    curves = {}
    for method in weights:
        seen = scores[method].notna().to_numpy()
        curves[method] = fit_curve(scores[method].to_numpy()[seen], same[seen], weight[seen], kind)
    inner = Fusion(curves, weights, float(np.average(same, weights=weight)), np.asarray, photos)
    return replace(inner, outer=fit_curve(inner.evidence(scores), same, weight, "logistic"))


def learn_fusion(
    pairs: pd.DataFrame, same: np.ndarray, asked: np.ndarray, weights: Mapping[str, float], kind: str, photos: int = 1
) -> tuple[Fusion | None, np.ndarray | None]:
    """Fit a fusion on the pairs of validation queries, each query counting once.

    Args:
        pairs: P rows of `join_scores`.
        same: `(P,)` bool, the pair shows the same animal.
        asked: `(P,)` individual of the query.
        weights, kind, photos: As in `fit_fusion`.

    Returns:
        The fusion, None where there are fewer than `LEAST_INDIVIDUALS`, or a method scored no pair of one animal or
        none of different ones; and what each pair is given by a fusion that was fitted on pairs of other individuals,
        None where there are too few of these.
    """
    count = query_weights(pairs)

    def fit(places: np.ndarray) -> Fusion:
        return fit_fusion(pairs.iloc[places], same[places], count[places], weights, kind, photos)

    def fittable(places: np.ndarray) -> bool:
        seen, truth = pairs.iloc[places][list(weights)].notna(), same[places]
        return all({True, False} <= set(truth[seen[method].to_numpy()]) for method in weights)

    everything = np.arange(len(pairs))
    if len(np.unique(asked[same].astype(str))) < LEAST_INDIVIDUALS or not fittable(everything):
        return None, None
    held_out = np.empty(len(pairs))
    for others, places in folds_by(asked):
        if not fittable(others):
            return fit(everything), None
        held_out[places] = fit(others).probability(pairs.iloc[places])
    return fit(everything), held_out


def reciprocal_rank(pairs: pd.DataFrame, weights: Mapping[str, float]) -> np.ndarray:
    """Return the fallback where there is nothing to calibrate on: the sum of `weight / (60 + rank)`, `(P,)`.

    Reciprocal rank fusion (Cormack et al., SIGIR 2009). It ranks well, but is no probability.

    Args:
        pairs: As `join_scores` returns it.
        weights: By method.
    """
    groups = pairs.groupby(["protocol", "query"], sort=False)
    ranks = {method: groups[method].rank(ascending=False, method="min") for method in weights}
    return sum(weights[method] / (RANK_OFFSET + rank.fillna(np.inf)) for method, rank in ranks.items()).to_numpy()


def join_scores(rankings: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Lay the scores of several methods side by side.

    Args:
        rankings: Tables of `rankings_table`, by method.

    Returns:
        One row a pair that any of them lists, ordered by `protocol`, `query` and `candidate`, which it holds as text,
        with each method's `score` in a column of its name (NaN where it does not list the pair) and the best of their
        ranks, `nearest`.
    """
    tables = []
    for method, table in rankings.items():
        tables.append(
            table.astype(dict.fromkeys(PAIR, str)).set_index(PAIR)[["score", "rank"]].add_prefix(f"{method} ")
        )
    joined = pd.concat(tables, axis=1, sort=True)
    scores = pd.DataFrame({method: joined[f"{method} score"].astype(float) for method in rankings})
    scores["nearest"] = joined[[f"{method} rank" for method in rankings]].min(axis=1)
    return scores.reset_index()


def drop_opposite(rankings: pd.DataFrame, side: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows whose two crops do not show opposite flanks: those carry different patterns.

    Args:
        rankings: A table with `query` and `candidate`.
        side: Orientation by crop id; all but `left` and `right` go with any.
    """
    asked, answering = (rankings[column].astype(str).map(side) for column in ("query", "candidate"))
    return rankings[(asked.map(OPPOSITE) != answering).to_numpy()]


def query_weights(pairs: pd.DataFrame) -> np.ndarray:
    """Return weights `(P,)` under which each query of `pairs` counts as one, however many candidates it has."""
    return 1 / pairs.groupby(["protocol", "query"], sort=False)["candidate"].transform("size").to_numpy(float)


def by_identity(pairs: pd.DataFrame, identity: Mapping[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the individual of each pair's query, `(P,)`, and whether the candidate shows it too, `(P,)` bool."""
    asked, answering = (pairs[column].map(identity).to_numpy(object) for column in ("query", "candidate"))
    return asked, asked == answering


def read_methods(params: Mapping[str, Any]) -> tuple[str, dict[str, float], list[str]]:
    """Return what section `fusion` asks for: the part, the weight of each method, and which never cross flanks.

    Args:
        params: All parameters.

    Raises:
        PelageError: An unknown method, one given twice, fewer than two, methods of different parts, not one weight a
            method, or a wrong number of photos.
    """
    methods, weights = params["fusion"]["methods"], params["fusion"]["weights"]
    known = params["variants"] | params["matchers"] | params["rematchers"]
    parts = {name: fields["part"] for name, fields in known.items()}
    if len(methods) < 2 or len(set(methods)) < len(methods) or len(weights) != len(methods):
        raise PelageError(
            "params.yaml: fusion.methods must name two or more methods, each once, with a weight for each."
        )
    chosen = {entry(parts, method, "methods that fusion.methods may name") for method in methods}
    if len(chosen) > 1:
        raise PelageError(
            f"params.yaml: fusion.methods rank crops of {' and '.join(sorted(chosen))}. Fuse methods of one part."
        )
    if not isinstance(params["fusion"]["photos"], int) or params["fusion"]["photos"] < 1:
        raise PelageError("params.yaml: fusion.photos must be a whole number from 1 on.")
    one_sided = [name for name in methods if name in params["matchers"] and known[name].get("same_side", True)]
    return chosen.pop(), dict(zip(methods, map(float, weights), strict=True)), one_sided
