"""The method `orb_sift_brisk_lightgbm`: gradient-boosted trees that tell pairs of one animal from pairs of two.

LightGBM (Ke et al., NeurIPS 2017) learns from the pairs of training crops. Few pairs show the same animal, so a model
that always says no is nearly always right; hence average precision and ROC AUC, next to a constant model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, roc_auc_score

from pelage.common.errors import PelageError
from pelage.matching.rankings import empty_rankings, join_rankings, kept, rankings_table
from pelage.split.labels import opposite_sides, tells_its_label
from pelage.split.protocols import ProtocolSet
from pelage.study.pair_features import KINDS, Described, compare_all

JUDGED = ("validation", "closed", "disjoint")
"""Protocols whose pairs are judged; those of `open` are closed ones and pairs of animals that the gallery lacks."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of N crops.

    Attributes:
        first: `(P,)` int, places of the queries.
        second: `(P,)` int, places of the candidates.
        same: `(P,)` bool, both show the same animal.
    """

    first: np.ndarray
    second: np.ndarray
    same: np.ndarray

    @property
    def of_both_kinds(self) -> bool:
        """Whether some show one animal and some two."""
        return bool(self.same.any() and not self.same.all())


def comparable(chosen: ProtocolSet) -> np.ndarray:
    """Tell which pairs are compared, `(Q, G)` bool: allowed ones, save a left flank with a right one."""
    return chosen.may_answer(chosen.queries, chosen.gallery) & ~opposite_sides(chosen.queries, chosen.gallery)


def pairs_of(chosen: ProtocolSet, places: pd.Index) -> Pairs:
    """Return the pairs of a query and a candidate that are compared; `places` are the ids of all crops."""
    first, second = np.nonzero(comparable(chosen))
    identity = (chosen.queries["identity"].to_numpy(object)[first], chosen.gallery["identity"].to_numpy(object)[second])
    at = [places.get_indexer(rows["crop_id"]) for rows in (chosen.queries, chosen.gallery)]
    return Pairs(at[0][first], at[1][second], identity[0] == identity[1])


Lesson = tuple[np.ndarray, np.ndarray]
"""Features of pairs `(P, F)` and which of them are the same `(P,)`."""


def learn(
    training: Lesson, validation: Lesson | None, rounds: int, patience: int, **settings: float
) -> lightgbm.Booster:
    """Learn to tell pairs of one animal, with one thread and the same trees each time.

    Args:
        training: Pairs of both kinds.
        validation: Other pairs of both kinds, whose average precision says when to stop. None: all trees are grown.
        rounds: Most trees.
        patience: Trees without a better average precision before training stops.
        **settings: Parameters of LightGBM.

    Raises:
        PelageError: LightGBM refuses a parameter.
    """
    fixed = {"objective": "binary", "metric": "average_precision", "verbosity": -1}
    fixed |= {"deterministic": True, "force_row_wise": True, "num_threads": 1}
    data = lightgbm.Dataset(*training)
    asked = {}
    if validation:
        stop = lightgbm.early_stopping(patience, verbose=False)
        asked = {"valid_sets": [data.create_valid(*validation)], "callbacks": [stop]}
    try:
        return lightgbm.train(fixed | settings, data, rounds, **asked)
    except lightgbm.basic.LightGBMError as error:
        raise PelageError(f"params.yaml: LightGBM refuses the section pairs: {error}") from error


def best_threshold(same: np.ndarray, scores: np.ndarray) -> float:
    """Return the score from which on a pair is called the same with the highest F1."""
    precision, recall, thresholds = precision_recall_curve(same, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    return float(thresholds[f1[:-1].argmax()])


def judge(same: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, float]:
    """Judge scores of pairs of both kinds.

    Args:
        same: `(P,)` bool.
        scores: `(P,)`, higher is more alike.
        threshold: Score from which on a pair is called the same.

    Returns:
        `average_precision` and `roc_auc`, for which a constant score gets the share of same pairs and 0.5;
        `accuracy`, which it may well win; `f1`.
    """
    called = scores >= threshold
    numbers = {
        "average_precision": average_precision_score(same, scores),
        "roc_auc": roc_auc_score(same, scores),
        "accuracy": (called == same).mean(),
        "f1": f1_score(same, called, zero_division=0.0),
    }
    return {name: round(float(number), 4) for name, number in numbers.items()}


def rank_pairs(
    described: Mapping[str, Described], sets: Mapping[str, ProtocolSet], depth: int, whole: int = 0, **settings: float
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Learn from the training crops and rank the gallery of each protocol for each of its queries.

    Args:
        described: Keypoints by crop id. Crops that are not in it take no part.
        sets: Protocols by name.
        depth: Most candidates a query of a gallery of more than `whole` crops.
        whole: Crops of the largest gallery that is ranked as a whole.
        **settings: As in `learn`.

    Returns:
        The table of `rankings_table`, with probabilities as scores, 0 for a left flank and a right one; and metrics,
        those of a constant model with the suffix `_constant`. No ranking, and the reason, where there is nothing to
        learn.
    """
    names = pd.Index(described)
    sets = {protocol: _present(chosen, names) for protocol, chosen in sets.items()}
    rows = sets["validation"].gallery
    rows = rows[tells_its_label(rows)]
    pairs = {"training": pairs_of(ProtocolSet(rows, rows), names)}
    pairs |= {protocol: pairs_of(chosen, names) for protocol, chosen in sets.items()}
    training, validation = pairs["training"], pairs["validation"]
    metrics: dict[str, Any] = {"trained": training.of_both_kinds, "crops": len(rows)}
    metrics |= {"pairs": len(training.same), "same": int(training.same.sum())}
    if not training.of_both_kinds:
        reason = "among the training crops are not both pairs of one animal and pairs of two"
        return empty_rankings(), metrics | {"reason": reason}

    wanted = np.zeros((len(names), len(names)), bool)
    for some in pairs.values():
        wanted[some.first, some.second] = True
    features = compare_all(list(described.values()), wanted)
    place = np.cumsum(wanted).reshape(wanted.shape) - 1  # of a pair in `features`

    def lesson(some: Pairs) -> Lesson:
        return features[place[some.first, some.second]], some.same

    model = learn(lesson(training), lesson(validation) if validation.of_both_kinds else None, **settings)
    scores = np.zeros(wanted.shape, np.float32)
    scores[wanted] = model.predict(features)

    threshold = 0.5
    if validation.of_both_kinds:
        threshold = best_threshold(validation.same, scores[validation.first, validation.second])
    gain = model.feature_importance("gain").reshape(len(KINDS), -1).sum(axis=1)
    metrics |= {"trees": model.best_iteration or model.current_iteration(), "threshold": round(threshold, 4)}
    metrics |= {f"gain_{kind}": round(float(share), 4) for kind, share in zip(KINDS, gain / gain.sum(), strict=True)}
    for protocol in JUDGED:
        some = pairs[protocol]
        metrics[protocol] = {"pairs": len(some.same), "same": int(some.same.sum())}
        if some.of_both_kinds:
            metrics[protocol] |= judge(some.same, scores[some.first, some.second], threshold)
            constant = judge(some.same, np.full(len(some.same), training.same.mean()), threshold)
            metrics[protocol] |= {f"{name}_constant": number for name, number in constant.items()}

    tables = []
    for protocol, chosen in sets.items():
        asked, answering = (list(part["crop_id"]) for part in (chosen.queries, chosen.gallery))
        alike = scores[np.ix_(names.get_indexer(asked), names.get_indexer(answering))]
        permitted = chosen.may_answer(chosen.queries, chosen.gallery)
        relevant = chosen.relevant(chosen.queries, chosen.gallery)
        most = kept(len(answering), depth, whole)
        tables.append(rankings_table(protocol, asked, answering, alike, permitted, most, relevant))
    return join_rankings(tables), metrics


def _present(chosen: ProtocolSet, names: pd.Index) -> ProtocolSet:
    queries, gallery = (rows[rows["crop_id"].isin(names)] for rows in (chosen.queries, chosen.gallery))
    return replace(chosen, queries=queries, gallery=gallery)
