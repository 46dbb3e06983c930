"""Score a method: all metrics of all protocols, with the same keys whatever the method and the protocol.

What was trained with several seeds has one ranking a seed. Its numbers are means over the seeds, its intervals those of
the means: they tell how far other individuals would have moved the numbers, and the spread how far other seeds would.
Closed, disjoint and validation differ from open in nothing but their queries and gallery, and in that only open has
new individuals to tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pelage.evaluation.intervals import SIGNED, LeftOut, leave_out
from pelage.evaluation.judging import Judged, Question
from pelage.evaluation.masks import FLANK, IDENTITY
from pelage.evaluation.open_set import auroc, baks_baus, false_match_threshold, least_rate, pairs_in_order, roc_curve
from pelage.evaluation.retrieval import METRICS, identity_means
from pelage.split.protocols import PSEUDO_NOVEL

SIDES = ("left", "right")
REPORTED = ("closed", "open", "disjoint", "validation")
MAIN = ("top1", "auroc", "map", "map_at_r")
"""Metrics whose spread between seeds is told."""

FLANK_METRICS = ("top1", "map", "map_at_r")
RATES = (*METRICS, *(f"flank_{key}" for key in FLANK_METRICS))
"""Metrics that are means over queries, in the order in which they are told."""

INTERVALS = ("top1", "map", "map_at_r", "dynamic_top5_ap", "flank_top1", "flank_map")
"""Means over queries whose interval is told."""

CMC_RANKS = 20
DECIDED = ("threshold", "threshold_individuals", "least_false_match_rate", "baks", "baus", "false_match_rate")
Scores = dict[str, int | float | None]


@dataclass(frozen=True)
class Threshold:
    """What decides between known and new.

    Attributes:
        individuals: Animals that it rests on.
        values: Least score of a known individual for each seed; None where the rate cannot be had.
    """

    individuals: int
    values: Sequence[float | None]


def score_protocol(
    question: Question,
    answers: Sequence[Judged],
    threshold: Threshold | None,
    baseline: Sequence[Judged] | None,
    confidence: float,
) -> Scores:
    """Return the metrics of one method in one protocol, rounded to 4 decimals, None where they have no meaning.

    Rates are means over the queries that the gallery can answer (`queries_with_match`): in the open protocol these
    are the queries of known individuals, and what becomes of the others is told by `auroc`, `baks` and `baus`.

    * `top1, top3, top5, top10`: share with a right photo among the first k; `dynamic_top5_ap` is the dynamic top-5
      average precision of the leopard study.
    * `map`, `map_at_r`: means of average precision and of average precision at R; `identity_balanced_map`,
      `identity_balanced_map_at_r` and `balanced_accuracy` (of top-1): means over individuals of their means.
    * `flank_top1`, `flank_map`, `flank_map_at_r`: the same where only the same flank is a right answer and the other
      one is junk (see `masks`), over the `queries_with_flank_match`.
    * `ranked`: share of the right photos whose rank is told. The others count as missed: a method compares a shortlist,
      or a fusion of a large gallery has them on none of its methods' lists (see `matching.rankings`).
    * `ceiling_same_flank`: share with an answer that shows the same flank, or may do so (a side is unknown).
    * `queries_encounter_free`, `top1_encounter_free`, `ceiling_same_flank_encounter_free`: queries that no photo of
      their own encounter may answer.
    * `queries_left`, `top1_left`, `queries_right`, `top1_right`: queries of one side.
    * `auroc`, `threshold`, `baks`, `baus`, `false_match_rate` (share of new animals' photos that reach the threshold),
      `threshold_individuals` (that it rests on), `least_false_match_rate` (that these can vouch for): open protocol
      only. Where less is asked, it cannot be had, and there is no threshold.
    * `<key>_low`, `<key>_high`: interval by individual, see `intervals`; None where there are too few.
    * `top1_minus_sift`: difference to the baseline in top-1 on the same queries.
    * `seeds`: number of rankings whose mean each of these is; 1 for a method that is not trained.
    * `<key>_sd`: of `MAIN`, the sample standard deviation between seeds; None where there is one seed.

    Args:
        question: Protocol, as `judging.ask` returns it.
        answers: The method's answers, one for each seed.
        threshold: What decides between known and new; None: nothing is decided.
        baseline: Answers of the baseline to the same question; None if it was asked another one.
        confidence: How often an interval shall hold what it is meant for, such as 0.95.
    """
    queries, gallery = question.rules.queries, question.rules.gallery
    identity = queries["identity"].to_numpy(object)
    answerable = question.answerable
    counted = {key: question.totals[FLANK] > 0 if key.startswith("flank_") else answerable for key in RATES}
    rates = [query_rates(judged) for judged in answers]
    per_query = {key: np.mean([rate[key] for rate in rates], axis=0) for key in rates[0]}
    free = answerable & question.encounter_free
    scores: Scores = {
        "queries": len(queries),
        "queries_with_match": int(answerable.sum()),
        "queries_with_flank_match": int((question.totals[FLANK] > 0).sum()),
        "query_identities": queries["identity"].nunique(),
        "gallery": len(gallery),
        "gallery_identities": gallery["identity"].nunique(),
    }
    total = question.totals[IDENTITY].sum()
    scores["ranked"] = _mean([len(judged.hits[IDENTITY].rank) / total for judged in answers if total])
    scores |= {key: _mean(values[counted[key]]) for key, values in per_query.items()}
    for key, name in (
        ("identity_balanced_map", "map"),
        ("identity_balanced_map_at_r", "map_at_r"),
        ("balanced_accuracy", "top1"),
    ):
        scores[key] = _mean(identity_means(per_query[name][answerable], identity[answerable]))
    scores["ceiling_same_flank"] = _mean(question.same_side[answerable])
    scores["queries_encounter_free"] = int(free.sum())
    scores["top1_encounter_free"] = _mean(per_query["top1"][free])
    scores["ceiling_same_flank_encounter_free"] = _mean(question.same_side[free])
    for side in SIDES:
        asked = answerable & (queries["orientation"] == side).to_numpy()
        scores[f"queries_{side}"], scores[f"top1_{side}"] = int(asked.sum()), _mean(per_query["top1"][asked])

    individual = np.unique(identity.astype(str), return_inverse=True)[1]
    ends = {key: leave_out(per_query[key], counted[key], individual).interval(confidence) for key in INTERVALS}
    scores |= dict.fromkeys(("auroc", *DECIDED))
    ends["auroc"] = ends["false_match_rate"] = None, None
    if question.name == "open":
        known = question.known
        told = auroc_left_out(known, [judged.score for judged in answers], individual)
        scores["auroc"], ends["auroc"] = _number(told.value), told.interval(confidence)
        if threshold is not None:
            scores["threshold_individuals"] = threshold.individuals
            scores["least_false_match_rate"] = _number(least_rate(threshold.individuals))
        if threshold is not None and None not in threshold.values:
            decided = [
                baks_baus(known, judged.right, judged.score, identity, value)
                for judged, value in zip(answers, threshold.values, strict=True)
            ]
            scores["threshold"] = _mean(threshold.values)
            scores["baks"], scores["baus"] = map(_mean, zip(*decided, strict=True))
            taken = [judged.score >= value for judged, value in zip(answers, threshold.values, strict=True)]
            told = leave_out(np.mean(taken, axis=0), ~known, individual)
            scores["false_match_rate"], ends["false_match_rate"] = _number(told.value), told.interval(confidence)
    scores["top1_minus_sift"], ends["top1_minus_sift"] = None, (None, None)
    if baseline is not None:
        gain = per_query["top1"] - np.mean([judged.right for judged in baseline], axis=0)
        scores["top1_minus_sift"] = _mean(gain[answerable])
        ends["top1_minus_sift"] = leave_out(gain, answerable, individual).interval(confidence, SIGNED)
    for key, (low, high) in ends.items():
        scores[f"{key}_low"], scores[f"{key}_high"] = _number(low), _number(high)
    each = [main_scores(question, judged) for judged in answers]
    scores["seeds"] = len(answers)
    scores |= {f"{key}_sd": _spread([one[key] for one in each]) for key in MAIN}
    return scores


def auroc_left_out(known: np.ndarray, scores: Sequence[np.ndarray], individual: np.ndarray) -> LeftOut:
    """Return the AUROC, the mean over the rankings, and what it is without each individual.

    Args:
        known: `(Q,)` bool.
        scores: `(Q,)` for each ranking.
        individual: `(Q,)` codes.
    """
    counts = np.bincount(individual).astype(float)
    of_known = np.zeros(len(counts), int)
    of_known[individual[known]] = 1
    sides = np.array([(~known).sum(), known.sum()])
    left = np.where(of_known[:, None] == [0, 1], sides - counts[:, None], sides).prod(axis=1)  # pairs without one
    values, without = [], []
    for score in scores:
        rightly = pairs_in_order(known, score)
        lost = np.bincount(individual, rightly)
        values.append(auroc(known, score))
        without.append(np.divide(rightly[known].sum() - lost, left, out=np.full(len(left), np.nan), where=left > 0))
    equal = float(counts.sum() ** 2 / (counts**2).sum()) if len(counts) else 0.0
    return LeftOut(float(np.mean(values)), np.mean(without, axis=0), of_known, equal)


def query_rates(judged: Judged) -> dict[str, np.ndarray]:
    """Return the metrics that are means over queries, `(Q,)` float each: of individuals, then of flanks."""
    return judged.hits[IDENTITY].metrics() | {
        f"flank_{key}": values for key, values in judged.hits[FLANK].metrics().items() if key in FLANK_METRICS
    }


def main_scores(question: Question, judged: Judged) -> Scores:
    """Return the metrics `MAIN` of one seed, to 4 decimals, None where they have no meaning."""
    rates, answerable = query_rates(judged), question.answerable
    opened = [auroc(question.known, judged.score)] if question.name == "open" else []
    return {key: _mean(opened if key == "auroc" else rates[key][answerable]) for key in MAIN}


def seed_scores(
    questions: Mapping[str, Question], answers: Mapping[str, Mapping[str, Judged]]
) -> dict[str, dict[str, Scores]]:
    """Return `main_scores` by protocol and seed; `answers` are those of each seed, by protocol."""
    return {
        name: {seed: main_scores(questions[name], judged[name]) for seed, judged in answers.items()}
        for name in REPORTED
    }


def score_method(
    questions: Mapping[str, Question],
    answers: Sequence[Mapping[str, Judged]],
    baseline: Sequence[Mapping[str, Judged]] | None,
    confidence: float,
    rate: float,
) -> dict[str, Scores]:
    """Return the metrics of one method in each protocol, in the order of `REPORTED`.

    The open-set threshold of a seed comes from its answers to pseudo-novel queries and from nothing else.

    Args:
        questions: By protocol.
        answers: The method's answers by protocol, for each seed.
        baseline: The answers of `sift_lnbnn` to the same questions, or None.
        confidence: As in `score_protocol`.
        rate: Share of new animals' photos that may be taken for a known animal.
    """
    identity = questions[PSEUDO_NOVEL].rules.queries["identity"].to_numpy(object)
    rooms = [judged[PSEUDO_NOVEL].score for judged in answers]
    thresholds = [false_match_threshold(score, identity, rate) for score in rooms]
    told = Threshold(len(np.unique(identity.astype(str))), thresholds)
    return {
        name: score_protocol(
            questions[name],
            [judged[name] for judged in answers],
            told,
            baseline and [judged[name] for judged in baseline],
            confidence,
        )
        for name in REPORTED
    }


def cmc_table(questions: Mapping[str, Question], answers: Sequence[Mapping[str, Judged]]) -> pd.DataFrame:
    """Return the cumulative match curve: `rank` 1..20, and a column of hit rates for each test protocol.

    With several seeds it is their mean.

    One column a protocol is what DVC's `linear` template draws as one line each. A protocol without queries is empty.
    """
    ranks = np.arange(1, CMC_RANKS + 1)
    curves: dict[str, np.ndarray | list] = {"rank": ranks}
    for name in ("closed", "open", "disjoint"):
        question = questions[name]
        first = np.concatenate([judged[name].hits[IDENTITY].first()[question.answerable] for judged in answers])
        curves[name] = (first[:, None] <= ranks).mean(0).round(4) if len(first) else [None] * CMC_RANKS
    return pd.DataFrame(curves)


def roc_table(question: Question, answers: Sequence[Judged]) -> pd.DataFrame:
    """Return the ROC of known against new in the open protocol; no rows where one of them is missing.

    With several seeds it is their mean at equal numbers of accepted queries, whatever each seed's scale of scores
    (threshold averaging, Fawcett 2006, by ranks).
    """
    ranks = [np.searchsorted(np.sort(judged.score), judged.score, "right") for judged in answers]
    curve = roc_curve(np.tile(question.known, len(answers)), np.concatenate(ranks)).round(4)
    return pd.DataFrame(curve, columns=["false_positive_rate", "true_positive_rate"])


def _mean(values: Sequence[float | None] | np.ndarray) -> float | None:
    return _number(np.mean(values)) if len(values) and None not in values else None


def _spread(values: Sequence[float | None]) -> float | None:
    return _number(np.std(values, ddof=1)) if len(values) > 1 and None not in values else None


def _number(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else round(float(value), 4)
