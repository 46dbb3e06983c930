"""Score a method: all metrics of all protocols, with the same keys whatever the method and the protocol.

Closed, disjoint and validation differ from open in nothing but their queries and gallery, and in that only open has
new individuals to tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pelage.evaluation.bootstrap import encounter_draws, interval, resampled_means
from pelage.evaluation.judging import Judged, Question
from pelage.evaluation.open_set import auroc, baks_baus, find_threshold, roc_curve
from pelage.evaluation.retrieval import (
    average_precision,
    average_precision_at_r,
    dynamic_precision,
    first_hit,
    identity_means,
)

REPORTED = ("closed", "open", "disjoint", "validation")
CMC_RANKS = 20
Scores = dict[str, int | float | None]


def score_protocol(
    question: Question,
    judged: Judged,
    threshold: float | None,
    baseline: Judged | None,
    resamples: int,
    confidence: float,
    seed: int,
) -> Scores:
    """Return the metrics of one method in one protocol, rounded to 4 decimals, None where they have no meaning.

    Rates are means over the queries that the gallery can answer (`queries_with_match`): in the open protocol these
    are the queries of known individuals, and what becomes of the others is told by `auroc`, `baks` and `baus`.

    * `top1, top3, top5, top10`: share with a right photo among the first k; `top5_match` is top5 by the name of the
      leopard study, `dynamic_top5_ap` its dynamic top-5 average precision.
    * `map`, `map_at_r`: means of average precision and of average precision at R; `identity_balanced_map`,
      `identity_balanced_map_at_r` and `balanced_accuracy` (of top-1): means over individuals of their means.
    * `ceiling_same_flank`: share with an answer that shows the same flank, or may do so (a side is unknown).
    * `queries_encounter_free`, `top1_encounter_free`: queries that no photo of their own encounter may answer.
    * `auroc, threshold, baks, baus`: open protocol only.
    * `<key>_low`, `<key>_high`: bootstrap interval over encounters.
    * `top1_minus_sift`: difference to the baseline in top-1 on the same queries and resamples.

    Args:
        question: Protocol, as `judging.ask` returns it.
        judged: The method's answers.
        threshold: Least score of a known individual, from validation.
        baseline: Answers of the baseline to the same question; None if it was asked another one.
        resamples: Number of bootstrap resamples.
        confidence: Share of resamples inside an interval, such as 0.95.
        seed: Seed of the resamples.
    """
    queries, gallery = question.rules.queries, question.rules.gallery
    identity = queries["identity"].to_numpy(object)
    answerable = question.total > 0
    first = first_hit(judged.query, judged.rank, len(queries))
    per_query = {
        **{f"top{k}": first <= k for k in (1, 3, 5, 10)},
        "dynamic_top5_ap": dynamic_precision(judged.query, judged.rank, question.total, 5),
        "top5_match": first <= 5,
        "map": average_precision(judged.query, judged.rank, question.total),
        "map_at_r": average_precision_at_r(judged.query, judged.rank, question.total),
    }
    free = answerable & question.encounter_free
    scores: Scores = {
        "queries": len(queries),
        "queries_with_match": int(answerable.sum()),
        "query_identities": queries["identity"].nunique(),
        "gallery": len(gallery),
        "gallery_identities": gallery["identity"].nunique(),
    }
    scores |= {key: _mean(values[answerable]) for key, values in per_query.items()}
    for key, name in (
        ("identity_balanced_map", "map"),
        ("identity_balanced_map_at_r", "map_at_r"),
        ("balanced_accuracy", "top1"),
    ):
        scores[key] = _mean(identity_means(per_query[name][answerable].astype(float), identity[answerable]))
    scores["ceiling_same_flank"] = _mean(question.same_side[answerable])
    scores["queries_encounter_free"] = int(free.sum())
    scores["top1_encounter_free"] = _mean(per_query["top1"][free])

    draws = encounter_draws(queries["encounter"].to_numpy(object), resamples, seed, question.name)
    resampled = {key: resampled_means(per_query[key], answerable, draws) for key in ("top1", "map", "dynamic_top5_ap")}
    scores |= dict.fromkeys(("auroc", "threshold", "baks", "baus"))
    resampled["auroc"] = np.empty(0)
    if question.name == "open":
        known = question.known
        scores["auroc"] = _number(auroc(known, judged.score)[0])
        blocks = np.array_split(draws, max(1, draws.size // 1_000_000))
        resampled["auroc"] = np.concatenate([auroc(known, judged.score, block) for block in blocks])
        if threshold is not None:
            scores["threshold"] = _number(threshold)
            decided = baks_baus(known, judged.right, judged.score, identity, threshold)
            scores["baks"], scores["baus"] = map(_number, decided)
    resampled["top1_minus_sift"] = np.empty(0)
    scores["top1_minus_sift"] = None
    if baseline is not None:
        gain = per_query["top1"].astype(float) - (first_hit(baseline.query, baseline.rank, len(queries)) <= 1)
        scores["top1_minus_sift"] = _mean(gain[answerable])
        resampled["top1_minus_sift"] = resampled_means(gain, answerable, draws)
    for key, values in resampled.items():
        scores[f"{key}_low"], scores[f"{key}_high"] = map(_number, interval(values, confidence))
    return scores


def score_method(
    questions: Mapping[str, Question],
    judged: Mapping[str, Judged],
    baseline: Mapping[str, Judged] | None,
    resamples: int,
    confidence: float,
    seed: int,
) -> dict[str, Scores]:
    """Return the metrics of one method in each protocol, in the order of `REPORTED`.

    The open-set threshold comes from the validation protocol and from nothing else.

    Args:
        questions: By protocol.
        judged: The method's answers, by protocol.
        baseline: The answers of `sift_lnbnn` to the same questions, or None.
        resamples, confidence, seed: As in `score_protocol`.
    """
    validation, answers = questions["validation"], judged["validation"]
    identity = validation.rules.queries["identity"].to_numpy(object)
    threshold = find_threshold(validation.known, answers.right, answers.score, identity)
    return {
        name: score_protocol(
            questions[name], judged[name], threshold, baseline and baseline[name], resamples, confidence, seed
        )
        for name in REPORTED
    }


def cmc_table(questions: Mapping[str, Question], judged: Mapping[str, Judged]) -> pd.DataFrame:
    """Return the cumulative match curve: `rank` 1..20, and a column of hit rates for each test protocol.

    One column a protocol is what DVC's `linear` template draws as one line each. A protocol without queries is empty.
    """
    ranks = np.arange(1, CMC_RANKS + 1)
    curves: dict[str, np.ndarray | list] = {"rank": ranks}
    for name in ("closed", "open", "disjoint"):
        question = questions[name]
        first = first_hit(judged[name].query, judged[name].rank, len(question.total))[question.total > 0]
        curves[name] = (first[:, None] <= ranks).mean(0).round(4) if len(first) else [None] * CMC_RANKS
    return pd.DataFrame(curves)


def roc_table(question: Question, judged: Judged) -> pd.DataFrame:
    """Return the ROC of known against new in the open protocol; no rows where one of them is missing."""
    curve = roc_curve(question.known, judged.score).round(4)
    return pd.DataFrame(curve, columns=["false_positive_rate", "true_positive_rate"])


def _mean(values: np.ndarray) -> float | None:
    return _number(values.mean()) if len(values) else None


def _number(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else round(float(value), 4)
