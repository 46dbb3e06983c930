"""How many animals there are, from who was seen on which occasion: closed populations without places.

M0 and Mt take all animals for equally easy to see and are too low where they are not; Chao's lower bound and the
jackknife of Burnham and Overton allow for animals that differ (Mh). Formulas as in Otis et al. (1978), Chao (1987),
Burnham and Overton (1978, 1979), and the package secr, whose values the tests repeat. Intervals are log-normal in the
number of animals never seen (Burnham, in Rexstad and Burnham 1991), so that none lies below the animals seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma
from scipy.stats import ncx2, norm

CRITICAL = 3.84
"""What the jackknife's tests compare with: the 95 % point of chi-square with one degree of freedom, as printed."""

Z = norm.ppf(0.975)
NO_RECAPTURE = "no animal was seen on two occasions"


@dataclass(frozen=True)
class Captures:
    """What closed estimators need of capture histories.

    Attributes:
        per_occasion: `(T,)` animals seen on each occasion.
        frequencies: `(T,)` animals seen on exactly 1, 2, ... T occasions.
    """

    per_occasion: np.ndarray
    frequencies: np.ndarray

    @property
    def occasions(self) -> int:
        """How many occasions there are, T."""
        return len(self.per_occasion)

    @property
    def animals(self) -> int:
        """How many animals were seen, M."""
        return int(self.frequencies.sum())

    @property
    def captures(self) -> int:
        """Animals seen, summed over occasions."""
        return int(self.per_occasion.sum())

    def seen(self, times: int) -> int:
        """Return how many animals were seen on exactly `times` occasions."""
        return int(self.frequencies[times - 1]) if times <= self.occasions else 0


@dataclass(frozen=True)
class Estimate:
    """A number of animals, or a density, with its 95 % interval.

    Attributes:
        estimator: Its name.
        n: The estimate; NaN where there is none, and `note` says why.
        se: Its standard error.
        low, high: Its 95 % interval.
        animals: Animals that it rests on.
        note: What a reader must know of it.
        bound: Below what the estimate cannot lie: animals seen, or 0 of a density.
    """

    estimator: str
    n: float
    se: float
    low: float
    high: float
    animals: int
    note: str = ""
    bound: float = 0.0


def summarise(histories: np.ndarray) -> Captures:
    """Return the sufficient statistics of `(M, T)` histories, where true is seen; animals never seen do not count."""
    histories = np.asarray(histories, bool)
    times = histories.sum(axis=1)
    return Captures(histories.sum(axis=0), np.bincount(times, minlength=histories.shape[1] + 1)[1:])


def no_estimate(estimator: str, animals: int, why: str) -> Estimate:
    """Return an estimate that could not be made."""
    return Estimate(estimator, np.nan, np.nan, np.nan, np.nan, animals, why, animals)


def log_normal(n: float, se: float, bound: float, reach: float = Z) -> tuple[float, float]:
    """Return the interval of `n` that is log-normal in what lies above `bound`, by default of 95 %.

    Args:
        n: The estimate.
        se: Its standard error.
        bound: Animals seen, so that what lies above are those never seen; 0 of a density.
        reach: Standard errors to either side, on the logarithm.
    """
    above = n - bound
    factor = np.exp(reach * np.sqrt(np.log1p((se / above) ** 2)))
    return bound + above / factor, bound + above * factor


def closed_estimates(captures: Captures) -> list[Estimate]:
    """Return all estimates that these captures allow; for two occasions Chapman's stands first."""
    if captures.animals == 0:
        return [no_estimate("jackknife", 0, "no animal was seen")]
    if captures.occasions < 2:
        return [no_estimate("jackknife", captures.animals, "one occasion: shorten count.occasion_days")]
    if captures.occasions == 2:
        return [chapman(captures), m0(captures), mt(captures)]
    return [jackknife(captures), chao(captures), chao_modified(captures), m0(captures), mt(captures)]


def m0(captures: Captures) -> Estimate:
    """Estimate N by maximum likelihood where all animals are as likely to be seen, on all occasions (Otis 1978)."""
    t, total = captures.occasions, captures.captures
    n = _root("m0", captures, lambda n: t * np.log1p(-total / (t * n)))
    if isinstance(n, Estimate):
        return n
    p = total / (t * n)
    if p == 1:
        return _estimate("m0", n, 0.0, captures, 0.0)
    se = np.sqrt(n / ((1 - p) ** -t - t / (1 - p) + t - 1))
    return _estimate("m0", n, se, captures, (1 - p) ** t)


def mt(captures: Captures) -> Estimate:
    """Estimate N by maximum likelihood where occasions differ, and animals do not (Darroch 1958)."""
    caught = captures.per_occasion
    n = _root("mt", captures, lambda n: np.log1p(-caught / n).sum())
    if isinstance(n, Estimate):
        return n
    missed = 1 - caught / n
    if not missed.all():
        return _estimate("mt", n, 0.0, captures, 0.0)
    se = np.sqrt(n / (1 / missed.prod() + captures.occasions - 1 - (1 / missed).sum()))
    return _estimate("mt", n, se, captures, missed.prod())


def _root(name: str, captures: Captures, slope) -> float | Estimate:
    """Return where the likelihood's slope is zero: `slope(n)` and that of the ways to choose the animals, from M on."""
    animals = captures.animals
    if captures.captures == animals:
        return no_estimate(name, animals, NO_RECAPTURE)

    def whole_slope(n: float) -> float:
        with np.errstate(divide="ignore"):
            return slope(n) + digamma(n + 1) - digamma(n - animals + 1)

    if whole_slope(animals) <= 0:
        return float(animals)
    high = 2.0 * animals
    while whole_slope(high) > 0:
        high *= 2
        if high > 1e9 * animals:
            return no_estimate(name, animals, "the likelihood has no maximum: too few recaptures")
    return float(brentq(whole_slope, animals, high, xtol=1e-9))


def chao(captures: Captures) -> Estimate:
    """Estimate a lower bound of N from animals seen once and twice, where animals differ (Chao 1987, Mh).

    Where none was seen twice, the bias-corrected form f1 (f1 - 1) / 2 with its variance (Chao 1987, as in EstimateS).
    """
    animals, once, twice = captures.animals, captures.seen(1), captures.seen(2)
    if captures.captures == animals:
        return no_estimate("chao", animals, NO_RECAPTURE)
    if twice:
        r = once / twice
        n, variance = animals + once**2 / (2 * twice), twice * (r**4 / 4 + r**3 + r**2 / 2)
    else:
        n = animals + once * (once - 1) / 2
        variance = once * (once - 1) / 2 + once * (2 * once - 1) ** 2 / 4 - once**4 / (4 * n)
    return _estimate("chao", n, np.sqrt(max(variance, 0.0)), captures)


def chao_modified(captures: Captures) -> Estimate:
    """Estimate Chao's bound corrected for chances of capture that are not small (Chao 1989)."""
    t, (once, twice, thrice) = captures.occasions, (captures.seen(k) for k in (1, 2, 3))
    allowed = t * once > 2 * twice and t * twice > 3 * thrice and 3 * once * thrice > 2 * twice**2
    if not (allowed and twice):
        return no_estimate("chao_modified", captures.animals, "its conditions do not hold: see chao")
    a, r = (1 - 2 * twice / (t * once)) / (1 - 3 * thrice / (t * twice)), once / twice
    n = captures.animals + a * once**2 / (2 * twice)
    variance = twice * (a**2 * r**4 / 4 + a**2 * r**3 + a * r**2 / 2)
    return _estimate("chao_modified", n, np.sqrt(variance), captures)


def jackknife(captures: Captures) -> Estimate:
    """Estimate N by Burnham and Overton's (1979) jackknife, interpolated between orders, with unconditional error."""
    f, animals, t = captures.frequencies.astype(float), captures.animals, captures.occasions
    if captures.captures == animals:
        return no_estimate("jackknife", animals, NO_RECAPTURE)
    weights = jackknife_weights(t)
    n = weights @ f
    if animals == 1 or not f[:5].any():
        return _estimate("jackknife", float(animals), 0.0, captures)
    variances = np.maximum(weights**2 @ f - n, 0)
    steps, change = np.diff(weights, axis=0), np.diff(n)
    spread = animals / (animals - 1) * (steps**2 @ f - change**2 / animals)
    tests = np.divide(change**2, spread, out=np.zeros(len(change)), where=spread > 1e-12)
    chosen = next((k for k, value in enumerate(tests) if value < CRITICAL), len(tests))
    if chosen == len(tests):
        mixed = weights[-1]
    elif chosen:
        share = (tests[chosen - 1] - CRITICAL) / (tests[chosen - 1] - tests[chosen])
        mixed = share * weights[chosen] + (1 - share) * weights[chosen - 1]
    else:
        first = n[0] * f[0] / (n[0] - f[0]) if n[0] > f[0] else np.inf
        share = (first - CRITICAL) / (first - tests[0]) if CRITICAL < first < np.inf else 1.0
        mixed = share * weights[0] + (1 - share)
    stops = ncx2.cdf(3.8415, 1, np.maximum(tests - 1, 1e-12))
    reached = np.concatenate([[1.0], np.cumprod(1 - stops)])
    likely = reached * np.append(stops, 1.0)
    variance = likely @ variances + likely @ (n - likely @ n) ** 2
    return _estimate("jackknife", float(mixed @ f), float(np.sqrt(variance)), captures)


def jackknife_weights(t: int) -> np.ndarray:
    """Return `(K, T)` what an animal seen on i occasions counts in the jackknife of order 1 .. K = min(5, T)."""
    t1, t2, t3, t4 = (t * np.prod([t - j for j in range(1, k)], dtype=float) for k in (2, 3, 4, 5))
    rows = [
        lambda: [(t - 1) / t],
        lambda: [(2 * t - 3) / t, -((t - 2) ** 2) / t1],
        lambda: [(3 * t - 6) / t, -(3 * t**2 - 15 * t + 19) / t1, (t - 3) ** 3 / t2],
        lambda: [
            (4 * t - 10) / t,
            -(6 * t**2 - 36 * t + 55) / t1,
            (4 * t**3 - 42 * t**2 + 148 * t - 175) / t2,
            -((t - 4) ** 4) / t3,
        ],
        lambda: [
            (5 * t - 15) / t,
            -(10 * t**2 - 70 * t + 125) / t1,
            (10 * t**3 - 120 * t**2 + 485 * t - 660) / t2,
            -((t - 4) ** 5 - (t - 5) ** 5) / t3,
            (t - 5) ** 5 / t4,
        ],
    ]
    weights = np.ones((min(5, t), t))
    for order, row in enumerate(rows[: len(weights)], 1):
        weights[order - 1, :order] += row()
    return weights


def chapman(captures: Captures) -> Estimate:
    """Estimate N of two occasions (Chapman 1951; variance of Seber 1970)."""
    first, second = map(int, captures.per_occasion)
    both = captures.seen(2)
    n = (first + 1) * (second + 1) / (both + 1) - 1
    variance = (first + 1) * (second + 1) * (first - both) * (second - both) / ((both + 1) ** 2 * (both + 2))
    if both == 0:
        return no_estimate("chapman", captures.animals, NO_RECAPTURE)
    return _estimate("chapman", n, np.sqrt(variance), captures, (1 - first / n) * (1 - second / n) if n else 0.0)


def _estimate(name: str, n: float, se: float, captures: Captures, unseen: float | None = None) -> Estimate:
    """Return an estimate with its interval.

    Where it is the animals seen, the log-normal interval has no width. Then each animal was seen with the chance
    1 - `unseen` (exp(-captures / M) in the place of `unseen` where the model has none), and the upper end is that of
    M / (1 - unseen), as EstimateS has it for Chao's bound where f1 = 0.
    """
    animals = captures.animals
    if n - animals > 1e-6 and se > 0:
        return Estimate(name, n, se, *log_normal(n, se, animals), animals, bound=animals)
    unseen = np.exp(-captures.captures / animals) if unseen is None else unseen
    width = Z * np.sqrt(animals * unseen) / (1 - unseen)
    high = animals / (1 - unseen) + width
    note = "all animals seem to have been seen; the interval is that of the chance to miss one"
    return Estimate(name, float(animals), max(se, 0.0), float(animals), high, animals, note, animals)
