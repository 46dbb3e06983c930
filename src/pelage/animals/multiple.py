"""Estimates that carry the error of identification: each of several partitions drawn is counted, and all are combined.

Rubin's rules (Rubin 1987, chapter 3): the estimate is the mean of m, and its variance the mean of theirs, within, and
1 + 1/m times that of the estimates, between. The interval is log-normal in what lies above the bound, as everywhere. On
the logarithm itself the rules would break where partitions have all animals seen: there it is no number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

from pelage.animals.closed import Estimate, Z, log_normal, no_estimate

LEAST_SHARE = 0.5
"""Of the partitions that must have an estimate."""


def combine(name: str, estimates: Sequence[Estimate]) -> Estimate:
    """Return the estimate of several partitions of the same photos (Rubin 1987, equations 3.1.2 to 3.1.6).

    The bound is the least of theirs: no partition drawn has fewer animals. `animals` is the median of those seen.
    """
    told = [estimate for estimate in estimates if np.isfinite(estimate.n)]
    animals = int(np.median([estimate.animals for estimate in estimates])) if estimates else 0
    draws = len(told)
    if draws < max(LEAST_SHARE * len(estimates), 2):
        why = max((estimate.note for estimate in estimates), key=len, default="")
        return no_estimate(name, animals, f"{draws} of {len(estimates)} partitions have an estimate: {why}")
    bound = min(estimate.bound for estimate in told)
    values = np.array([estimate.n for estimate in told])
    n, within = values.mean(), np.mean([_error(estimate) ** 2 for estimate in told])
    between = (1 + 1 / draws) * values.var(ddof=1)
    freedom = (draws - 1) * (1 + within / between) ** 2 if between > 0 else np.inf
    se, reach = np.sqrt(within + between), student.ppf(0.975, freedom)
    low, high = log_normal(n, se, bound, reach) if n - bound > 1e-6 else (bound, bound + reach * se)
    lost = len(estimates) - draws
    note = f"{lost} of {len(estimates)} partitions have no estimate" if lost else ""
    return Estimate(name, float(n), float(se), float(low), float(high), animals, note, bound)


def _error(estimate: Estimate) -> float:
    """Return a standard error; where the estimate is at its bound, that which the upper end of its interval tells."""
    at_bound = estimate.n - estimate.bound < 1e-6
    return (estimate.high - estimate.n) / Z if at_bound else estimate.se
