"""Calibration: from a method's score to the probability that two photos show the same animal.

Logistic as Platt (1999) has it, on a power of the score (Yeo and Johnson, Biometrika 2000): methods score in cosines,
in counts, or in sums with long tails. Isotonic (Zadrozny and Elkan, KDD 2002) follows the data more freely; it needs
several hundred pairs of the same animal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.special import expit, logit
from scipy.stats import yeojohnson
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold

from pelage.common.errors import PelageError
from pelage.common.params import choose

PENALTY = 1000.0
"""Inverse strength of the logistic curve's penalty: hardly any, but enough where scores separate the pairs."""

POWERS = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Exponents of Yeo and Johnson's transform: 1 leaves the score as it is, 0 is its logarithm (of 1 + score)."""

LOGISTIC_SHARE = 0.01
"""Share of the logistic curve in an isotonic one: its steps rise a little, so a method's own order is kept."""

KINDS = ("logistic", "isotonic", "pchip")

Curve = Callable[[np.ndarray], np.ndarray]
"""Scores `(P,)` to probabilities `(P,)`, never falling."""


@dataclass(frozen=True)
class Logistic:
    """`expit(slope * yeojohnson(score, power) + intercept)`; the slope is never negative."""

    power: float
    slope: float
    intercept: float

    def __call__(self, score: np.ndarray) -> np.ndarray:
        return expit(self.slope * yeojohnson(np.asarray(score, float), self.power) + self.intercept)


@dataclass(frozen=True)
class Pchip:
    """Isotonic, with the middles of its steps joined by a monotone cubic curve (Fritsch and Butland 1984), as in
    WildFusion: it has no plateaus, so a method's own order is kept between the outermost steps."""

    curve: PchipInterpolator | None
    level: float

    def __call__(self, score: np.ndarray) -> np.ndarray:
        score = np.asarray(score, float)
        if self.curve is None:
            return np.full(len(score), self.level)
        return np.clip(self.curve(np.clip(score, self.curve.x[0], self.curve.x[-1])), 0, 1)


@dataclass(frozen=True)
class Isotonic:
    """A step curve, with a small share of the logistic one."""

    steps: IsotonicRegression
    logistic: Logistic

    def __call__(self, score: np.ndarray) -> np.ndarray:
        if not len(score):
            return self.logistic(score)
        return (1 - LOGISTIC_SHARE) * self.steps.predict(score) + LOGISTIC_SHARE * self.logistic(score)


def fit_curve(score: np.ndarray, same: np.ndarray, weight: np.ndarray, kind: str) -> Curve:
    """Fit the curve of one method.

    The power is the one of `POWERS` under which the pairs are likeliest. A method whose higher scores go with fewer
    pairs of the same animal says nothing worth having: its logistic curve is flat, at the share of such pairs.

    Args:
        score: `(P,)` scores of pairs.
        same: `(P,)` bool, the two photos show the same animal.
        weight: `(P,)` what each pair counts.
        kind: One of `KINDS`.

    Raises:
        PelageError: Pairs of the same animal, or of different ones, are missing.
    """
    choose(kind, KINDS, "fusion.calibration")
    score, same = np.asarray(score, float), np.asarray(same, bool)
    if same.all() or not same.any():
        lacking = "different animals" if len(same) and same.all() else "the same animal"
        raise PelageError(
            f"The validation subset has no pair of {lacking} to calibrate a method on. Give it more encounters of "
            "known individuals (params.yaml: split.val), or leave the method out of fusion.methods."
        )
    if kind == "pchip":
        return _fit_pchip(score, same, weight)
    curves = [_fit_logistic(score, same, weight, power) for power in POWERS]
    curve = min(curves, key=lambda curve: log_loss(same, curve(score), sample_weight=weight))
    if kind == "logistic":
        return curve
    return Isotonic(IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(score, same, weight), curve)


def _fit_pchip(score: np.ndarray, same: np.ndarray, weight: np.ndarray) -> Pchip:
    steps = IsotonicRegression(y_min=0, y_max=1).fit(score, same, weight).predict(score)
    levels, step = np.unique(steps, return_inverse=True)
    middle = np.bincount(step, weight * score) / np.bincount(step, weight)
    if len(levels) < 2:
        return Pchip(None, float(levels[0]))
    return Pchip(PchipInterpolator(middle, levels), float(levels[0]))


def _fit_logistic(score: np.ndarray, same: np.ndarray, weight: np.ndarray, power: float) -> Logistic:
    shaped = yeojohnson(score, power)
    middle, spread = shaped.mean(), shaped.std() or 1.0
    model = LogisticRegression(C=PENALTY, max_iter=1000).fit(((shaped - middle) / spread)[:, None], same, weight)
    slope = float(model.coef_[0, 0] / spread)
    if slope <= 0:
        return Logistic(power, 0.0, float(logit(np.average(same, weights=weight))))
    return Logistic(power, slope, float(model.intercept_[0] - slope * middle))


def folds_by(group: np.ndarray, folds: int = 5) -> list[tuple[np.ndarray, np.ndarray]]:
    """Deal groups into folds of about equal numbers of pairs.

    Args:
        group: `(P,)` what stays together.
        folds: Most of them; with a single group there is one, which has nothing beside it.

    Returns:
        For each fold the places of the pairs outside and of those inside, each pair inside once.
    """
    folds = min(folds, len(np.unique(group)))
    if folds < 2:
        return [(np.zeros(0, int), np.arange(len(group)))]
    return list(GroupKFold(folds).split(group, groups=group))
