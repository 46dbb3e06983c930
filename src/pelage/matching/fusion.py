"""Fusion: several methods' calibrated probabilities as one.

Each method's score becomes the probability that the pair shows the same animal, as in WildFusion (Cermak et al., ECCV
Workshops 2024). There the mean of these ranks the gallery, so that a poor method speaks as loudly as a good one. Here
their log-odds are added up, each with a weight that is learnt from validation pairs (the logarithmic opinion pool of
Genest and Zidek, Statistical Science 1986): a method that says nothing new gets none. An individual with several photos
may be judged by the best of them together; what comes out is calibrated once more, which changes no order.

A fusion may lose against the best of its methods. So that method alone, the pool, the pool with where matches lie on
the crops (`placement`), the same sum learnt query by query (`fit_listwise`) and WildFusion's own mean are candidates,
each asked validation queries with what it learnt from other individuals (`candidates`); `choice` leaves the best method
only for what is better by more than chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit, logit
from threadpoolctl import threadpool_limits

from pelage.common.tables import UNKNOWN, read_parquet
from pelage.matching.calibration import Curve, fit_curve, folds_by
from pelage.matching.placement import COUNTS, FEATURES, placed_beside
from pelage.matching.rankings import (
    PAIR,
    categories,
    category_codes,
    drop_opposite,
    join_rankings,
    looked_up,
    rank_pairs,
    ranking_files,
)
from pelage.split.protocols import ASKED, PRACTICE, PSEUDO_NOVEL

LEAST_INDIVIDUALS = 5
"""Individuals with pairs of the same animal from which on probabilities are fitted; fewer say nothing of others."""

DOUBT = 0.2
"""Chance that a method's score says nothing about a pair (the photo is blurred there, the network is confused), so that
none can veto what another has found. Chosen on validation pairs of the demo and of nyalas: 0 to 0.3 name equally many,
and more doubt gives a higher mean average precision, up to about here."""

LITTLE_DOUBT = 0.001
"""The same where the weights are learnt query by query: what is very sure shall stay above what is sure."""

PULL = 1e-3
"""Strength of the pull to equal weights, beside a mean log-likelihood."""

OWN_SHARE = 0.002
"""Share of a single method's own score in its probability."""

POOL, PLACED, LISTWISE, MEAN = "pool", "placed", "listwise", "mean"
COMBINED = (POOL, PLACED, LISTWISE, MEAN)
"""Rules by which several methods rank together: the pool of log-odds, the same with where matches lie on the crops, the
sum with weights that put the right candidates of a query before its wrong ones, and WildFusion's mean of isotonic
curves."""

DOUBTS = {POOL: DOUBT, PLACED: DOUBT, LISTWISE: LITTLE_DOUBT}

BLOCK = 2**19
"""Rows of rankings that are joined at a time."""

RANK_OFFSET = 60


@dataclass(frozen=True)
class Fusion:
    """What turns scores of M methods into a probability.

    Attributes:
        curves: By method.
        weights: By method, of its log-odds, not negative.
        intercept: Log-odds of a pair that no method scored, but for `absent`.
        base_rate: Share of the same animal among the pairs that the curves were fitted on.
        outer: From the evidence to the fused probability.
        photos: Best photos of an individual whose probabilities are added up, see `add_up_photos`.
        absent: By method, change of the log-odds where it did not score the pair: that a pair came on no shortlist of
            its says something, too.
        place: By column of `placed_beside`, change of the log-odds for one more, and the value that changes nothing,
            which is taken where there is none.
        rule: One of `COMBINED`; `MEAN` takes the mean of the probabilities in the place of the pool, a missing one
            counting 0 (WildFusion).
    """

    curves: Mapping[str, Curve]
    weights: Mapping[str, float]
    intercept: float
    base_rate: float
    outer: Curve
    photos: int = 1
    absent: Mapping[str, float] = field(default_factory=dict)
    place: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    rule: str = POOL

    def evidence(self, scores: pd.DataFrame) -> np.ndarray:
        """Return the pooled probabilities, photos added up, `(P,)`, by which pairs are ranked.

        Args:
            scores: P pairs, one column a method, and those of `place`; with several `photos` also `protocol`, `query`
                and the candidate's `identity`, and all pairs of a query.
        """
        if self.rule == MEAN:
            pooled = mean_probability(self.curves, scores)
        else:
            odds = log_odds(self.curves, scores, self.base_rate, DOUBTS[self.rule])
            total = odds @ np.array([self.weights[method] for method in self.curves]) + self.intercept
            missing = scores[list(self.curves)].isna().to_numpy(float)
            total = total + missing @ np.array([self.absent.get(method, 0.0) for method in self.curves])
            for name, (weight, usual) in self.place.items():
                total = total + weight * np.nan_to_num(scores[name].to_numpy(float) - usual)
            pooled = expit(total)
        return pooled if self.photos == 1 else add_up_photos(pooled, scores, self.photos)

    def probability(self, scores: pd.DataFrame) -> np.ndarray:
        """Return the probability that each pair shows the same animal, `(P,)`; it orders pairs as `evidence` does."""
        return self.outer(self.evidence(scores))


def log_odds(curves: Mapping[str, Curve], scores: pd.DataFrame, base_rate: float, doubt: float = DOUBT) -> np.ndarray:
    """Return by how much each method's score changes the log-odds that a pair shows the same animal, `(P, M)`.

    A missing score (NaN) is evidence of nothing, so it changes nothing: 0. Others are believed but for `doubt`.

    Args:
        curves: By method, M of them.
        scores: P pairs, one column a method.
        base_rate: Share of the same animal among all pairs.
        doubt: Chance that a method's score says nothing about a pair.
    """
    odds = np.zeros((len(scores), len(curves)))
    for column, (method, curve) in enumerate(curves.items()):
        score = scores[method].to_numpy(float)
        seen = ~np.isnan(score)
        odds[seen, column] = logit((1 - doubt) * curve(score[seen]) + doubt * base_rate) - logit(base_rate)
    return odds


def mean_probability(curves: Mapping[str, Curve], scores: pd.DataFrame) -> np.ndarray:
    """Return the mean of the methods' probabilities, `(P,)`, a missing one counting 0."""
    total = np.zeros(len(scores))
    for method, curve in curves.items():
        score = scores[method].to_numpy(float)
        seen = ~np.isnan(score)
        total[seen] += curve(score[seen])
    return total / len(curves)


def fit_pool(odds: np.ndarray, same: np.ndarray, weight: np.ndarray, free: int = 0) -> tuple[np.ndarray, float]:
    """Return the weights `(M,)` of the methods' log-odds, none negative, and the intercept that make pairs likeliest.

    It is a logistic regression that is pulled a little to equal weights, for where methods separate the pairs.

    Args:
        odds: `(P, M)` as `log_odds` returns them, and whatever else is known of a pair.
        same: `(P,)` bool.
        weight: `(P,)` what each pair counts.
        free: Number of last columns whose weights may be negative, and are pulled to 0.
    """
    methods = odds.shape[1] - free
    equal = np.repeat([1 / methods, 0.0], [methods, free])
    share, truth = weight / weight.sum(), same.astype(float)

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        total = odds @ values[:-1] + values[-1]
        apart = share * (expit(total) - truth)
        away = values[:-1] - equal
        slope = np.append(odds.T @ apart + 2 * PULL * away, apart.sum())
        return float(share @ (np.logaddexp(0, total) - truth * total) + PULL * away @ away), slope

    start = np.append(equal, logit(share @ truth))
    bounds = [(0, None)] * methods + [(None, None)] * (free + 1)
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return best[:-1], float(best[-1])


def fit_listwise(odds: np.ndarray, same: np.ndarray, query: np.ndarray, free: int = 0) -> np.ndarray:
    """Return the weights `(M,)` of the methods' log-odds, none negative, under which right candidates come first.

    Of each query, the chance that a draw among its candidates, each as likely as the exponential of its sum, is a right
    one: a conditional logit (McFadden, 1974; ListNet of Cao et al., ICML 2007, has the same top-one chance). Unlike
    `fit_pool`, it asks nothing of a query that is the same for all its candidates, nor of queries without a right one.
    It is pulled a little to equal weights, as that is.

    Args:
        odds: `(P, M)` as `log_odds` returns them, and whatever else is known of a pair.
        same: `(P,)` bool.
        query: `(P,)` which query a pair is of.
        free: Number of last columns whose weights may be negative, and are pulled to 0.
    """
    codes = np.unique(query.astype(str), return_inverse=True)[1]
    asked = np.bincount(codes, weights=same) > 0
    used = asked[codes]
    odds, same, codes = odds[used], same[used], np.unique(codes[used], return_inverse=True)[1]
    methods, count = odds.shape[1] - free, max(int(asked.sum()), 1)
    equal = np.repeat([1 / methods, 0.0], [methods, free])

    def share(total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the logarithm of the sum of exponentials of each query, and each pair's share in it."""
        peak = np.full(count, -np.inf)
        np.maximum.at(peak, codes, total)
        peak = np.where(np.isfinite(peak), peak, 0.0)
        grown = np.exp(total - peak[codes])
        whole = np.bincount(codes, weights=grown, minlength=count)
        return peak + np.log(whole), grown / whole[codes]

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        total = odds @ values
        everyone, chance = share(total)
        right, of_right = share(np.where(same, total, -np.inf))
        away = values - equal
        slope = odds.T @ (chance - of_right) / count + 2 * PULL * away
        return float((everyone - right).sum() / count + PULL * away @ away), slope

    bounds = [(0, None)] * methods + [(None, None)] * free
    return minimize(loss, equal, jac=True, method="L-BFGS-B", bounds=bounds).x


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
    scores: pd.DataFrame,
    same: np.ndarray,
    weight: np.ndarray,
    methods: Sequence[str],
    kind: str,
    photos: int = 1,
    rule: str = POOL,
) -> Fusion:
    """Fit the curve of each method on the pairs that it scored, then their weights, and the outer curve, on all.

    Args:
        scores: P pairs, one column a method, NaN where it has no score; for `LISTWISE` also `query`, for `PLACED` also
            the columns of `placed_beside`.
        same: `(P,)` bool, the pair shows the same animal.
        weight: `(P,)` what each pair counts.
        methods: Columns of `scores`.
        kind: One of `calibration.KINDS`, of the methods' curves; the outer one is logistic, for it must rise.
        photos, rule: See `Fusion`.

    Raises:
        PelageError: Pairs of the same animal or of different ones are missing.
    """
    same, weight = np.asarray(same, bool), np.asarray(weight, float)
    curves = {}
    for method in methods:
        seen = scores[method].notna().to_numpy()
        curves[method] = fit_curve(scores[method].to_numpy()[seen], same[seen], weight[seen], kind)
    base_rate = float(np.average(same, weights=weight))
    count, intercept = len(curves), float(logit(base_rate))
    weights, place = np.repeat([1 / count, 0.0], [count, count]), {}
    if rule != MEAN:
        missing = scores[list(methods)].isna().to_numpy(float)
        known = np.c_[log_odds(curves, scores, base_rate, DOUBTS[rule]), missing]
        if rule == LISTWISE:
            weights = fit_listwise(known, same, scores["query"].to_numpy(), free=count)
        elif rule == PLACED:
            names = [f"{method}:{feature}" for method in methods for feature in FEATURES]
            lie = scores[[name for name in names if name in scores and scores[name].nunique() > 1]]
            usual, spread = lie.mean(), lie.std()
            usual[[name for name in lie if name.endswith(COUNTS)]] = 0.0
            more = ((lie - usual) / spread).fillna(0.0)
            weights, intercept = fit_pool(np.c_[known, more], same, weight, free=count + lie.shape[1])
            slopes = zip(lie.columns, weights[2 * count :] / spread, usual, strict=True)
            place = {name: (float(slope), float(middle)) for name, slope, middle in slopes}
        else:
            weights, intercept = fit_pool(known, same, weight, free=count)
    told = weights[: 2 * count].reshape(2, -1).tolist()
    given, absent = (dict(zip(methods, values, strict=True)) for values in told)
    inner = Fusion(curves, given, intercept, base_rate, np.asarray, photos, absent, place, rule)
    return replace(inner, outer=fit_curve(inner.evidence(scores), same, weight, "logistic"))


@dataclass(frozen=True)
class Fused:
    """What a rule makes of several methods' scores.

    Attributes:
        rankings: The table of `rankings_table`, of all pairs that any of the methods scored. The `score` is a
            probability (or a sum of reciprocal ranks where there is no fusion). Pairs of validation queries, in all
            protocols that they ask in, are scored by a fusion of other individuals where there are enough, so that
            neither a threshold, nor a choice between rules, nor what is learnt from these scores rests on what was
            fitted to it.
        learnt: Pairs that were learnt from: the columns of `join_scores`, the candidate's `identity`, whether it is the
            `same` as the query's, and the `score`.
        fusion: None where there was nothing to calibrate on.
        held_out: Whether validation pairs are scored in this way.
    """

    rankings: pd.DataFrame
    learnt: pd.DataFrame
    fusion: Fusion | None
    held_out: bool


def fuse(
    rankings: Mapping[str, pd.DataFrame],
    identity: Mapping[str, str],
    shortlist: int,
    kind: str,
    photos: int,
    rule: str = POOL,
    placement: Mapping[str, pd.DataFrame] | None = None,
) -> Fused:
    """Fuse methods: learn on the first candidates of validation queries, then score all pairs, in blocks of queries.

    A single method keeps its own order, to the last tie. Photos of one individual are added up where methods are
    judged; where it is asked who is who, each pair speaks for itself.

    Args:
        rankings: Tables of `rankings_table`, by method.
        identity: Individual by crop id.
        shortlist: First candidates of each method and validation query that are learnt from.
        kind, photos, rule: As in `fit_fusion`.
        placement: By method, as `placement_table` returns them; for the rule that wants them.
    """
    where = placement if placement and rule == PLACED else {}
    methods, identity, names = list(rankings), dict(identity), pair_names(rankings)
    shown = looked_up(names["candidate"].to_series(), identity)
    of_validation = {method: table[table["protocol"] == "validation"] for method, table in rankings.items()}
    blocks = (placed_beside(_named(pairs, shown), where) for pairs in join_blocks(of_validation))
    learnt = pd.concat([pairs[_learnt(pairs, shortlist)] for pairs in blocks], ignore_index=True)
    asked, same = by_identity(learnt, identity)
    with threadpool_limits(1):  # a few numbers are fitted: threads would wait for one another
        fusion, others = learn_fusion(learnt, same, asked, methods, kind, photos, rule)

    folds = {name: place for place, (individuals, _) in enumerate(others) for name in individuals}
    fold_of = np.array([folds.get(str(identity.get(query)), -1) for query in names["query"]], int)

    def scored(pairs: pd.DataFrame) -> pd.DataFrame:
        score = fusion.probability(pairs) if fusion else reciprocal_rank(pairs, methods)
        fold = fold_of[pairs["query"].cat.codes]
        held_out = pairs["protocol"].isin(["validation", PSEUDO_NOVEL, PRACTICE]).to_numpy()
        for place, (_, fitted) in enumerate(others):
            own = held_out & (fold == place)
            if own.any():
                score[own] = fitted.probability(pairs[own])
        if fusion and len(methods) == 1:
            score = in_own_order(score, pairs[methods[0]].to_numpy(), learnt[methods[0]].to_numpy())
        return pairs.assign(score=score.round(9))

    tables, known, codes = [], [], None
    for pairs in join_blocks(rankings):
        pairs = scored(placed_beside(_named(pairs, shown), where))
        known.append(pairs[_learnt(pairs, shortlist)])
        codes = category_codes(pairs) if codes is None else codes
        tables.append(rank_pairs(pairs, len(pairs), methods[0] if len(methods) == 1 else "score", codes))
    known = pd.concat(known, ignore_index=True)
    return Fused(join_rankings(tables), known.assign(same=by_identity(known, identity)[1]), fusion, bool(others))


def _named(pairs: pd.DataFrame, shown: np.ndarray) -> pd.DataFrame:
    """Return pairs with the candidate's `identity`; where it is asked who is who, it is somebody of its own.

    Args:
        pairs: Of a block.
        shown: Individual by candidate, in the order of their categories.
    """
    own = pairs["protocol"].isin(ASKED).to_numpy()
    candidate = pairs["candidate"].cat
    who = shown[candidate.codes]
    who[own] = candidate.categories.to_numpy(object)[candidate.codes[own]]
    return pairs.assign(identity=who)


def _learnt(pairs: pd.DataFrame, shortlist: int) -> np.ndarray:
    return ((pairs["protocol"] == "validation") & (pairs["nearest"] <= shortlist)).to_numpy()


def in_own_order(probability: np.ndarray, own: np.ndarray, learnt: np.ndarray) -> np.ndarray:
    """Let a single method's probabilities, which end on a plateau, rise with its scores to the last, `(P,)`.

    What is sure is told apart by how sure it is, so that a line to new animals can be drawn there. Nothing changes by
    more than `OWN_SHARE`.

    Args:
        probability: `(P,)`, never falling with `own`.
        own: `(P,)` the method's scores.
        learnt: `(L,)` those of the pairs that were learnt from, whose middle and spread are the scale.
    """
    low, middle, high = np.quantile(learnt, [0.1, 0.5, 0.9])
    away = (own - middle) / max(high - low, 1e-9)
    return (1 - OWN_SHARE) * probability + OWN_SHARE * (1 + away / (1 + np.abs(away))) / 2


def candidates(
    own: Mapping[str, pd.DataFrame],
    rankings: Mapping[str, pd.DataFrame],
    identity: Mapping[str, str],
    shortlist: int,
    kind: str,
    photos: int,
    placement: Mapping[str, pd.DataFrame] | None = None,
) -> dict[str, Fused]:
    """Return what may become the fused ranking, by name: each method alone, then `COMBINED`.

    Args:
        own: Tables of `rankings_table`, by method, as each ranks by itself.
        rankings: The same as they are fused, see `read_rankings`.
        identity, shortlist, kind, photos, placement: As in `fuse`.
    """
    rules = (*own, *COMBINED)
    return {rule: fuse_by(rule, own, rankings, identity, shortlist, kind, photos, placement) for rule in rules}


def fuse_by(
    rule: str,
    own: Mapping[str, pd.DataFrame],
    rankings: Mapping[str, pd.DataFrame],
    identity: Mapping[str, str],
    shortlist: int,
    kind: str,
    photos: int,
    placement: Mapping[str, pd.DataFrame] | None = None,
) -> Fused:
    """Return what one rule makes of the methods: the name of one of them, or one of `COMBINED`; the rest as above."""
    if rule in own:
        return fuse({rule: own[rule]}, identity, shortlist, kind, 1)
    return fuse(rankings, identity, shortlist, "pchip" if rule == MEAN else kind, photos, rule, placement)


def learn_fusion(
    pairs: pd.DataFrame,
    same: np.ndarray,
    asked: np.ndarray,
    methods: Sequence[str],
    kind: str,
    photos: int = 1,
    rule: str = POOL,
) -> tuple[Fusion | None, list[tuple[np.ndarray, Fusion]]]:
    """Fit a fusion on the pairs of validation queries, each query counting once.

    Args:
        pairs: P rows of `join_scores`.
        same: `(P,)` bool, the pair shows the same animal.
        asked: `(P,)` individual of the query.
        methods, kind, photos, rule: As in `fit_fusion`.

    Returns:
        The fusion, None where there are fewer than `LEAST_INDIVIDUALS`, or a method scored no pair of one animal or
        none of different ones; and for each fold of individuals their names and the fusion that was fitted on the pairs
        of all others, no fold where there are too few of these.
    """
    count = query_weights(pairs)

    def fit(places: np.ndarray) -> Fusion:
        return fit_fusion(pairs.iloc[places], same[places], count[places], methods, kind, photos, rule)

    def fittable(places: np.ndarray) -> bool:
        seen, truth = pairs.iloc[places][list(methods)].notna(), same[places]
        return all({True, False} <= set(truth[seen[method].to_numpy()]) for method in methods)

    everything, names = np.arange(len(pairs)), asked.astype(str)
    if len(np.unique(names[same])) < LEAST_INDIVIDUALS or not fittable(everything):
        return None, []
    folds = folds_by(asked)
    if not all(fittable(others) for others, _ in folds):
        return fit(everything), []
    return fit(everything), [(np.unique(names[places]), fit(others)) for others, places in folds]


def reciprocal_rank(pairs: pd.DataFrame, methods: Sequence[str]) -> np.ndarray:
    """Return the fallback where there is nothing to calibrate on: the sum of `1 / (60 + rank)`, `(P,)`.

    Reciprocal rank fusion (Cormack et al., SIGIR 2009). It ranks well, but is no probability.

    Args:
        pairs: As `join_scores` returns it.
        methods: Columns of it.
    """
    groups = pairs.groupby(["protocol", "query"], sort=False)
    ranks = {method: groups[method].rank(ascending=False, method="min") for method in methods}
    return sum(1 / (RANK_OFFSET + rank.fillna(np.inf)) for rank in ranks.values()).to_numpy()


def join_scores(rankings: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Lay the scores of several methods side by side.

    Args:
        rankings: Tables of `rankings_table`, by method.

    Returns:
        One row a pair that any of them scored, ordered by `protocol`, `query` and `candidate`, with each method's
        `score` in a column of its name (NaN where it did not score the pair) and the best of their ranks, `nearest`.
    """
    return pd.concat(join_blocks(rankings), ignore_index=True)


def join_blocks(rankings: Mapping[str, pd.DataFrame], rows: int = BLOCK) -> Iterator[pd.DataFrame]:
    """Yield the table of `join_scores` in blocks of whole queries, one at least, so that it never is in memory.

    Args:
        rankings: Tables of `rankings_table`, by method.
        rows: Rows of the methods in a block, but for the last query.
    """
    names = pair_names(rankings)
    queries, candidates = (max(len(names[column]), 1) for column in ("query", "candidate"))
    lists = {method: _listed(table, names) for method, table in rankings.items()}
    count = sum(np.bincount(asked, minlength=len(names["protocol"]) * queries) for asked, *_ in lists.values())
    ends = np.searchsorted(np.cumsum(count), np.arange(rows, count.sum() + rows, rows)) + 1
    for start, end in pairwise(np.unique([0, *ends[ends < len(count)], max(len(count), 1)])):
        own = {}
        for method, (asked, *told) in lists.items():
            some = slice(*np.searchsorted(asked, [start, end]))
            candidate, rank, score = (values[some] for values in told)
            own[method] = asked[some] * candidates + candidate, rank, score
        pair = np.unique(np.concatenate([pairs for pairs, *_ in own.values()]))
        asked = pair // candidates
        codes = {"protocol": asked // queries, "query": asked % queries, "candidate": pair % candidates}
        columns = {column: pd.Categorical.from_codes(codes[column], names[column]) for column in PAIR}
        nearest = np.full(len(pair), np.inf)
        for method, (pairs, rank, score) in own.items():
            place = np.searchsorted(pair, pairs)
            columns[method] = np.full(len(pair), np.nan)
            columns[method][place] = score
            nearest[place] = np.minimum(nearest[place], rank)
        yield pd.DataFrame(columns).assign(nearest=nearest)


def pair_names(rankings: Mapping[str, pd.DataFrame]) -> dict[str, pd.Index]:
    """Return the sorted names in each column of `PAIR`: the categories of the blocks of `join_blocks`."""
    names = {}
    for column in PAIR:
        found = [table[column].astype("category").cat.categories.astype(str) for table in rankings.values()]
        names[column] = pd.Index(np.unique(np.concatenate(found)), dtype=str)
    return names


def _listed(table: pd.DataFrame, names: Mapping[str, pd.Index]) -> tuple[np.ndarray, ...]:
    """Return protocol and query (as one number), candidate, rank and score of rows with a score, sorted by these."""
    table = table[table["score"].notna()]
    protocol, query, candidate = (categories(table[column], names[column]).codes for column in PAIR)
    asked = protocol.astype(np.int64) * max(len(names["query"]), 1) + query
    order = np.argsort(asked * max(len(names["candidate"]), 1) + candidate)
    return asked[order], candidate[order], table["rank"].to_numpy()[order], table["score"].to_numpy()[order]


def read_own(methods: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Return the rankings of methods, of a network with several seeds the lowest one."""
    return {method: read_parquet(ranking_files(method)[0], categories=PAIR) for method in methods}


def read_rankings(methods: Sequence[str], one_sided: Sequence[str], side: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """Return the rankings of methods as they are fused.

    Args:
        methods, one_sided: As `read_methods` returns them.
        side: Orientation by crop id; `one_sided` methods lose the rows of opposite flanks.
    """
    tables = read_own(methods)
    return tables | {method: drop_opposite(tables[method], side) for method in one_sided}


def query_weights(pairs: pd.DataFrame) -> np.ndarray:
    """Return weights `(P,)` under which each query of `pairs` counts as one, however many candidates it has."""
    return 1 / pairs.groupby(["protocol", "query"], sort=False)["candidate"].transform("size").to_numpy(float)


def by_identity(pairs: pd.DataFrame, identity: Mapping[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the individual of each pair's query, `(P,)`, and whether the candidate shows it too, `(P,)` bool.

    Of what nobody named nobody knows it: that is no pair of the same animal.
    """
    asked, answering = (looked_up(pairs[column], identity) for column in ("query", "candidate"))
    return asked, (asked == answering) & (asked != UNKNOWN)


def read_methods(params: Mapping[str, Any]) -> tuple[str, list[str], list[str]]:
    """Return what section `fusion` asks for: the part, the methods, and which of them never cross flanks."""
    methods = params["fusion"]["methods"]
    known = params["variants"] | params["matchers"] | params["rematchers"]
    one_sided = [name for name in methods if name in params["matchers"] and known[name].get("same_side", True)]
    return known[methods[0]]["part"], list(methods), one_sided
