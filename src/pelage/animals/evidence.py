"""Evidence: from the probabilities of photo pairs to the log-odds that two encounters show the same animal.

Photos of one encounter are taken within minutes, of one coat in one light, so ten pairs of photos are not ten times the
evidence of one. How the best pair, the mean of the best few and the number of pairs speak together is learnt from
validation encounters whose names are known (protocol `practice`): a logistic regression that starts from "the best few
are believed" and leaves that as far as the practice has reason to (a Gaussian prior on the weights; MacKay, Neural
Computation 1992). The prior is in it: where an encounter is asked about twenty animals, at most one pair of twenty can
be right, whatever they look like.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit, logit

from pelage.matching.calibration import folds_by

TOP = 3
"""Best photo pairs whose mean log-odds are the evidence: one may look alike by chance."""

SURE = 0.01
"""Probabilities of photo pairs are not taken to be nearer to 0 and 1: that is where calibration curves end."""

FEATURES = ("top", "best", "number")
START = np.array([1.0, 0.0, 0.0])
"""Weights before any practice: the mean of the best few pairs is believed, however many others there are."""

TRUST = 0.25
"""Standard deviation of the prior on the weights around `START`, and on the slope by which held-out log-odds are made
less sure around 1. Chosen with `START` and `SURE` on practice of the demo."""

LEAST_INDIVIDUALS = 5
"""Individuals, each met again in practice, from which on weights are learnt; with fewer the best pair is believed."""


@dataclass(frozen=True)
class Evidence:
    """What turns photo pairs into log-odds.

    Attributes:
        weights: `(3,)` of `FEATURES`.
        intercept: Log-odds where all features are 0, under the share of the practice.
        alike: Share of pairs of the practice that are likelier to show one animal than not.
        least, most: Bounds of all log-odds, what the individuals of the practice can vouch for: of two different
            animals N pairs were seen, so one more may look more alike than all of them with a chance of 1 / (N + 1);
            of n animals that were met again, one more may look less alike than all of them with a chance of
            1 / (n + 1). Two that could have been compared but stand on no shortlist together have the least.
        missed: Share of what was met again in practice and was not recognised: nothing was taken to be the same animal.
        individuals: How many were met again.
        learnt: Whether there were enough of them.
    """

    weights: np.ndarray
    intercept: float
    alike: float
    least: float
    most: float
    missed: float
    individuals: int
    learnt: bool

    def log_odds(self, pairs: pd.DataFrame) -> np.ndarray:
        """Return the log-odds that each pair shows the same animal, `(P,)`, were as many pairs as in practice.

        Args:
            pairs: As `side_pairs` returns them.
        """
        return np.clip(_features(pairs) @ self.weights + self.intercept, self.least, self.most)

    def shift(self, odds: np.ndarray, unlisted: int) -> float:
        """Return by how much log-odds change where more or fewer pairs show one animal than in practice.

        The share of such pairs is taken to differ from that of the practice as the share of pairs that look like one
        animal does. So "everybody is new" is found out, and so is that among ten times as many animals a pair is of one
        animal ten times more seldom. (Expectation maximisation, as Saerens et al. have it, Neural Computation 2002,
        says the same where the evidence is good, and anything where it is poor.) One such pair is taken for granted, in
        as many as in practice have one.

        Args:
            odds: `(P,)` as `log_odds` returns them.
            unlisted: How many more pairs could have been compared but stand on no shortlist.
        """
        alike = ((odds > 0).sum() + 1) / (len(odds) + unlisted + 1 / self.alike)
        return float(np.log(alike / self.alike))

    def prior(self, shift: float) -> float:
        """Return `Graph.prior`: the log-odds of any pair where log-odds differ by `shift` from those of practice."""
        return float(logit(min(self.alike * np.exp(shift), 0.5)))

    def alone_share(self, alone: int, count: int) -> float:
        """Return the probability that what resembles nothing has never been met: not that it was, and is missed.

        With a share of `missed` among all that was met before, and u of what resembles nothing among all, the share
        that was never met is (u - missed) / (1 - missed).

        Args:
            alone: How many resemble nothing.
            count: How many there are.
        """
        share = (alone + 1) / (count + 2)
        never = max((share - self.missed) / (1 - self.missed), 1 / (count + 2)) if self.missed < 1 else 0.0
        return min(never / share, 1.0)


def side_pairs(photo_pairs: pd.DataFrame, crops: pd.DataFrame) -> pd.DataFrame:
    """Gather photo pairs by what they are photos of.

    Args:
        photo_pairs: `query`, `candidate`, `score` (the probability that both show one animal), as text or categories.
        crops: One row a crop: `crop_id`, `node` (what it is a photo of), `side`. Others are left out, and so are pairs
            of opposite flanks, which cannot be compared, and those of one node.

    Returns:
        One row a pair of nodes of which some photo pair is listed, ordered: `first` < `second` (names), `best` (its
        highest log-odds), `top` (mean of its `TOP` highest), `pairs` (listed), `possible` (photo pairs that can be
        compared), and `query`, `candidate`, the crops of the best one. A photo pair that was asked both ways counts
        once, with the mean of its two log-odds.
    """
    crops = crops.sort_values("crop_id")
    nodes, node_of = np.unique(crops["node"].to_numpy(str), return_inverse=True)
    ids = crops["crop_id"].to_numpy(object)
    place = pd.Series(np.arange(len(ids)), index=ids)
    ends = [_places(photo_pairs[column], place) for column in ("query", "candidate")]
    kept = (ends[0] >= 0) & (ends[1] >= 0)
    side = side_codes(crops["side"])
    one, two = (end[kept] for end in ends)
    odds = logit(np.clip(photo_pairs["score"].to_numpy(float)[kept], SURE, 1 - SURE))
    apart = (node_of[one] != node_of[two]) & (side[one] * side[two] != 2)
    one, two, odds = one[apart], two[apart], odds[apart]

    low, high = np.minimum(one, two), np.maximum(one, two)  # both ways become one
    order = np.lexsort((high, low))
    low, high, odds = low[order], high[order], odds[order]
    first = np.flatnonzero((np.diff(low, prepend=-1) != 0) | (np.diff(high, prepend=-1) != 0))
    odds = np.add.reduceat(odds, first) / np.diff(first, append=len(odds)) if len(odds) else odds
    low, high = low[first], high[first]

    swapped = node_of[low] > node_of[high]
    low, high = np.where(swapped, high, low), np.where(swapped, low, high)
    key = node_of[low].astype(np.int64) * len(nodes) + node_of[high]
    order = np.lexsort((high, low, -odds, key))
    key, odds, low, high = key[order], odds[order], low[order], high[order]
    start = np.flatnonzero(np.diff(key, prepend=-1))
    count = np.diff(start, append=len(key))
    total = np.r_[0.0, np.cumsum(odds)]
    taken = np.minimum(count, TOP)
    a, b = key[start] // max(len(nodes), 1), key[start] % max(len(nodes), 1)
    possible = possible_pairs(shown_sides(node_of, side, len(nodes)), a, b)
    told = {"first": (a, nodes), "second": (b, nodes), "query": (low[start], ids), "candidate": (high[start], ids)}
    named = {end: pd.Categorical.from_codes(codes, categories) for end, (codes, categories) in told.items()}
    top = (total[start + taken] - total[start]) / np.maximum(taken, 1)
    return pd.DataFrame(named | {"best": odds[start], "top": top, "pairs": count, "possible": possible})


def count_comparable(shown: np.ndarray, others: np.ndarray | None = None) -> int:
    """Return how many pairs of nodes have photos that can be compared, among `shown`, or between these and `others`.

    Args:
        shown, others: `(N, 3)` as `shown_sides` returns them.
    """
    kinds, counts = np.unique(shown > 0, axis=0, return_counts=True)
    kinds = kinds.astype(int)
    if others is None:
        able = possible_pairs(kinds, *np.indices((len(kinds),) * 2)) > 0
        pairs = np.triu(np.outer(counts, counts), 1) + np.diag(counts * (counts - 1) // 2)
        return int(pairs[able].sum())
    more, times = np.unique(others > 0, axis=0, return_counts=True)
    both = np.vstack([kinds, more.astype(int)])
    one, two = np.indices((len(kinds), len(more)))
    able = possible_pairs(both, one, two + len(kinds)) > 0
    return int(np.outer(counts, times)[able].sum())


def side_codes(side: pd.Series) -> np.ndarray:
    """Return 1 for left, 2 for right, 0 for anything else, `(C,)` int."""
    return side.map({"left": 1, "right": 2}).fillna(0).to_numpy(int)


def shown_sides(node: np.ndarray, side: np.ndarray, count: int) -> np.ndarray:
    """Return how many crops of each node show neither flank, the left and the right one, `(count, 3)` int.

    Args:
        node: `(C,)` int, node of each crop.
        side: `(C,)` int, 0 neither, 1 left, 2 right.
        count: Nodes.
    """
    return np.bincount(3 * node + side, minlength=3 * count).reshape(count, 3)


def possible_pairs(shown: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return how many photo pairs of two nodes are not of opposite flanks; `shown` as `shown_sides` returns it."""
    one, two = shown[first], shown[second]
    return one.sum(-1) * two.sum(-1) - one[..., 1] * two[..., 2] - one[..., 2] * two[..., 1]


def _places(column: pd.Series, place: pd.Series) -> np.ndarray:
    """Return the place of each crop, -1 where it has none, asking once a category."""
    values = column.astype("category").cat
    of_category = place.reindex(values.categories).fillna(-1).to_numpy(int)
    return np.append(of_category, -1)[values.codes]


def _features(pairs: pd.DataFrame) -> np.ndarray:
    return np.stack([pairs["top"], pairs["best"], np.log(pairs["possible"])], 1).reshape(-1, len(FEATURES))


def learn(pairs: pd.DataFrame, identity: Mapping[str, str], asking: set[str], unlisted: int) -> Evidence:
    """Learn how photo pairs speak together.

    Args:
        pairs: As `side_pairs` returns them, of the protocol `practice`.
        identity: Individual by node.
        asking: Nodes of validation.
        unlisted: How many more pairs of nodes could have been compared but have no photo pair listed.
    """
    one, two = (pairs[end].astype(object).map(identity).to_numpy(str) for end in ("first", "second"))
    same = one == two
    met, different = len(np.unique(one[same])), len(np.unique(np.c_[one, two][~same], axis=0))
    count = len(pairs) + unlisted
    bounds = {"least": logit((same.sum() + 1) / (count + 2)) - np.log(met + 1), "most": np.log(different + 1)}
    weights, intercept = START, 0.0
    learnt = met >= LEAST_INDIVIDUALS and not same.all()
    if learnt:
        weights, intercept = _fit(_features(pairs), same, START, TRUST)
        asked = np.where(pairs["first"].isin(asking), one, two)
        slope, shift = _fit(_held_out(pairs, same, asked)[:, None], same, np.ones(1), TRUST)
        weights, intercept = weights * min(slope[0], 1.0), intercept * min(slope[0], 1.0) + shift
    alike = ((_features(pairs) @ weights + intercept > 0).sum() + 1) / (count + 1)
    return Evidence(weights, float(intercept), float(alike), **bounds, missed=1.0, individuals=met, learnt=learnt)


def _held_out(pairs: pd.DataFrame, same: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return the log-odds of each pair by what was learnt from other individuals than the one that asks, `(P,)`."""
    features, result = _features(pairs), np.zeros(len(pairs))
    for others, own in folds_by(asked):
        weights, intercept = _fit(features[others], same[others], START, TRUST)
        result[own] = features[own] @ weights + intercept
    return result


def _fit(features: np.ndarray, same: np.ndarray, start: np.ndarray, trust: float) -> tuple[np.ndarray, float]:
    """Return the weights and the intercept of greatest posterior probability, weights being `start` +- `trust`."""

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        total, away = features @ values[:-1] + values[-1], values[:-1] - start
        apart = expit(total) - same
        slope = np.append(features.T @ apart + away / trust**2, apart.sum())
        return float((np.logaddexp(0, total) - same * total).sum() + (away @ away) / (2 * trust**2)), slope

    base = logit((same.sum() + 1) / (len(same) + 2))
    best = minimize(loss, np.append(start, base - float((features @ start).mean())), jac=True, method="L-BFGS-B").x
    return best[:-1], float(best[-1])
