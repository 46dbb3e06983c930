"""Choice: which rule makes the fused ranking? The best method alone, unless another is better by more than chance.

Decided on validation, query by query, with the individual as the unit (see `intervals`), so that a fusion cannot lose
but by what validation could not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pelage.evaluation.intervals import SIGNED, leave_out
from pelage.evaluation.judging import ask, judge
from pelage.evaluation.masks import FLANK
from pelage.matching.fusion import POOL, Fused, candidates
from pelage.split.protocols import ProtocolSet

AUTO = "auto"
"""The rule that leaves the choice to the validation queries."""

Choice = tuple[str, str, dict[str, dict[str, Any]]]
"""What `choose_rule` returns."""


@dataclass(frozen=True)
class Practice:
    """What the validation queries say of fusions.

    Attributes:
        rule: Which fuses: the one that is wanted, or the chosen one.
        best: The best method alone.
        told: By rule, as `choose_rule` tells it.
        made: By rule, what it makes of the validation queries.
    """

    rule: str
    best: str
    told: dict[str, dict[str, Any]]
    made: dict[str, Fused]


def practise(
    own: Mapping[str, pd.DataFrame],
    rankings: Mapping[str, pd.DataFrame],
    settings: Sequence[Any],
    validation: ProtocolSet,
    wanted: str,
    confidence: float,
) -> Practice:
    """Fuse the validation queries by every rule, and say which is to fuse all.

    Args:
        own, rankings: As `candidates` takes them; rows of other protocols are not looked at.
        settings: The further arguments of `candidates`, of which tables of placements may have other protocols as well.
        validation, confidence: As in `choose_on_validation`.
        wanted: A rule, or `AUTO`. Where nothing can be calibrated it is `POOL` in any case: ranks are fused.
    """
    tables = [{name: table[table["protocol"] == "validation"] for name, table in of.items()} for of in (own, rankings)]
    made = candidates(*tables, *settings)
    ranked = {rule: fused.rankings for rule, fused in made.items()}
    rule, best, told = choose_on_validation(ranked, list(own), validation, confidence)
    rule = rule if wanted == AUTO else wanted
    return Practice(POOL if made[POOL].fusion is None else rule, best, told, made)


def choose_on_validation(
    rankings: Mapping[str, pd.DataFrame], singles: Sequence[str], validation: ProtocolSet, confidence: float
) -> Choice:
    """Choose by average precision among photos of the query's flank.

    Args:
        rankings: By rule, the table of `rankings_table`, of validation queries.
        singles, confidence: As in `choose_rule`.
        validation: What was asked.
    """
    question = ask("validation", validation)
    values = {rule: judge(table, question, rule).hits[FLANK].metrics()["map"] for rule, table in rankings.items()}
    individual = np.unique(validation.queries["identity"].astype(str), return_inverse=True)[1]
    return choose_rule(values, singles, question.totals[FLANK] > 0, individual, confidence)


def choose_rule(
    values: Mapping[str, np.ndarray],
    singles: Sequence[str],
    counted: np.ndarray,
    individual: np.ndarray,
    confidence: float,
) -> Choice:
    """Choose.

    Args:
        values: By rule, `(Q,)` the metric of each validation query.
        singles: Those of the rules that are one method alone.
        counted: `(Q,)` bool, queries that count.
        individual: `(Q,)` int, codes of the individuals.
        confidence: Of the interval that has to lie above 0.

    Returns:
        The chosen rule, the best single one (the first of equals), and by rule its mean `value`, `minus_best` (that
        single one) and the ends `low` and `high` of that difference; None where there are too few individuals.
    """
    told: dict[str, dict[str, Any]] = {}
    means = {rule: float(value[counted].mean()) if counted.any() else 0.0 for rule, value in values.items()}
    best = max(singles, key=means.__getitem__)
    for rule, value in values.items():
        apart = leave_out(value - values[best], counted, individual)
        low, high = (None, None) if rule == best else apart.interval(confidence, SIGNED)
        told[rule] = {"value": means[rule], "minus_best": means[rule] - means[best], "low": low, "high": high}
    better = [rule for rule in values if rule not in singles and (told[rule]["low"] or 0.0) > 0]
    return max(better, key=means.__getitem__, default=best), best, told
