"""Judge: the probability of yes from a few named measures, by weights that a person can read in a YAML file.

A generalised additive model (Hastie and Tibshirani, 1986): the log odds are a sum of one curve a measure, each of
straight lines between knots and level beyond them. So a judge can prefer a middle: a face is neither as small as a paw
nor as large as a trunk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pelage.common.files import sha256_bytes
from pelage.common.params import read_yaml

OUTER = 0.01  # share of the cases beyond the first and beyond the last knot


@dataclass(frozen=True)
class Judge:
    """A bias and curves.

    Attributes:
        curves: For each measure its knots, ascending, and the log odds that it adds at each of them.
        bias: Log odds that are added always.
        least: Probability from which on the answer is yes.
    """

    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    bias: float
    least: float

    @classmethod
    def read(cls, path: Path, name: str) -> Judge:
        """Read one judge of a file that `as_yaml` wrote."""
        entry = read_yaml(path)[name]
        curves = {key: (curve["at"], curve["adds"]) for key, curve in entry["curves"].items()}
        return cls(curves, float(entry["bias"]), float(entry["least"]))

    def __call__(self, measures: Mapping[str, float]) -> float:
        """Return the probability of yes, 0..1."""
        odds = self.bias + sum(float(np.interp(measures[name], *curve)) for name, curve in self.curves.items())
        return float(1 / (1 + np.exp(-np.clip(odds, -30, 30))))

    @property
    def sha256(self) -> str:
        """Hash of all of it, for memo keys."""
        return sha256_bytes(self.as_yaml("judge").encode())

    def as_yaml(self, name: str) -> str:
        """Return the entry of a YAML file."""
        lines = [f"{name}:", f"  bias: {self.bias:.4g}", f"  least: {self.least:.4g}", "  curves:"]
        for key, curve in self.curves.items():
            at, adds = (", ".join(f"{value:.4g}" for value in row) for row in curve)
            lines += [f"    {key}:", f"      at: [{at}]", f"      adds: [{adds}]"]
        return "\n".join([*lines, ""])


def fit_judge(
    measures: Sequence[Mapping[str, float]], names: Sequence[str], yes: np.ndarray, cost: float, knots: int
) -> Judge:
    """Fit a judge; its `least` is 0.5 until somebody chooses another.

    Args:
        measures: N cases.
        names: Those of the measures that count.
        yes: N booleans, both answers among them.
        cost: Inverse strength of regularisation (that of scikit-learn's `LogisticRegression`).
        knots: Of each curve, at most, at quantiles; with 2 a curve rises or falls only.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import, and judging does without

    values = {name: np.array([case[name] for case in measures], float) for name in names}
    places = {name: np.unique(np.quantile(row, np.linspace(OUTER, 1 - OUTER, knots))) for name, row in values.items()}
    hats = [
        np.stack([np.interp(values[name], at, one) for one in np.eye(len(at))], axis=1) for name, at in places.items()
    ]
    machine = LogisticRegression(C=cost, max_iter=5000).fit(np.hstack(hats), yes)
    adds = np.split(machine.coef_[0], np.cumsum([len(at) for at in places.values()])[:-1])
    curves = {name: (at.tolist(), add.tolist()) for (name, at), add in zip(places.items(), adds, strict=True)}
    return Judge(curves, float(machine.intercept_[0]), 0.5)
