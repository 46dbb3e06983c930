"""How many animals live where: spatial capture-recapture (SCR) by maximum likelihood.

Each animal has a centre, centres are spread by chance over a mask of habitat, and a station detects an animal the less
often the farther its centre is (Efford 2004; Borchers and Efford 2008). Notation, constants and checks are those of the
package secr (Efford): the likelihood counts the ways to arrange distinct histories. With a density that is the same
everywhere, the maximum of the full likelihood is that of the one conditional on being detected, and the density is
D = n / a, the animals detected by the area that the stations effectively sample; so two parameters are searched, not
three. What depends on occasions only by which stations ran is summed over them, and the likelihood of all animals at
all cells of the mask is a product of matrices, made by blocks; logarithms throughout, so that nothing underflows.

Places are metres, areas km2, densities animals a km2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from scipy.special import expit, gammaln, logit
from threadpoolctl import threadpool_limits

from pelage.animals.closed import Estimate, log_normal
from pelage.common.parallel import parallel_map

R = TypeVar("R")

DETECTORS = ("proximity", "count", "multi")
"""A camera tells once an occasion that it saw an animal (proximity), or how often (count); a trap (multi) keeps an
animal for the occasion, and others may come."""

KERNELS = ("half_normal", "exponential", "hazard_half_normal")
STARTS = (0.002, 0.01, 0.05, 0.2, 0.5)
"""Chances of detection at the centre, or hazards, among which the search starts, with scales around the spread of
recaptures."""
SCALES = (0.5, 0.75, 1.0, 1.5, 2.5)
WIDE = 4
"""Scales that the mask reaches beyond the stations: a half-normal detects e^-8 of its maximum there."""
FINE = 0.6
"""Most spacing of the mask's cells, in scales."""
CELLS, MOST_CELLS = 64, 20_000
"""Least cells of a mask from west to east, and most of all."""
THINNED = 7
"""Of so many cells one is looked at for a start; a number that no row of cells shares."""
BLOCK = 2**18
"""Histories times cells that are looked at together: what stays near the processor."""
NEWTON = 4
"""Most steps of Newton's method; from a fit to nearly the same data two or three are enough."""
STEP = 1e-3
"""Of central differences, in logit or log units; the error of the curvature is about a millionth of it."""


@dataclass(frozen=True)
class Detections:
    """Who was detected where and when.

    Attributes:
        animal, occasion, station: `(C,)` places of each detection in the animals 0 .. n - 1, and in `usage`.
        usage: `(S, K)` bool, whether each station ran on each occasion; it did where it detected.
        places: `(K, 2)` metres east and north.
        detector: One of `DETECTORS`.
    """

    animal: np.ndarray
    occasion: np.ndarray
    station: np.ndarray
    usage: np.ndarray
    places: np.ndarray
    detector: str = "proximity"

    @property
    def animals(self) -> int:
        """How many animals were detected."""
        return len(np.unique(self.animal))

    def seen_again(self) -> Detections:
        """Return the detections of those animals that have two or more."""
        times = np.bincount(self.animal, minlength=1)
        kept = times[self.animal] > 1
        animal = np.unique(self.animal[kept], return_inverse=True)[1]
        return replace(self, animal=animal, occasion=self.occasion[kept], station=self.station[kept])

    def spread(self) -> float:
        """Return the root mean squared distance, an axis, of detections from their animal's mean (secr's RPSV)."""
        points = self.places[self.station]
        times = np.bincount(self.animal, minlength=1)
        means = np.stack([np.bincount(self.animal, axis) for axis in points.T], axis=1) / np.maximum(times, 1)[:, None]
        squares = ((points - means[self.animal]) ** 2).sum()
        freedom = 2 * (len(self.animal) - self.animals)
        return float(np.sqrt(squares / freedom)) if freedom else 0.0


@dataclass(frozen=True)
class Mask:
    """Where centres may lie.

    Attributes:
        points: `(X, 2)` metres, the middles of square cells.
        cell: Area of each, km2.
        beyond: Habitat of the region where no animal lives that a station could have detected, km2.
    """

    points: np.ndarray
    cell: float
    beyond: float = 0.0

    @property
    def area(self) -> float:
        """The area of the region in km2."""
        return len(self.points) * self.cell + self.beyond


@dataclass(frozen=True)
class Fit:
    """A fitted model.

    Attributes:
        kernel: One of `KERNELS`.
        theta: `(2,)` logit of g0 (log of lambda0 of the hazard half-normal), and log of sigma in metres.
        covariance: `(2, 2)` of theta.
        animals: n, animals that the likelihood counts.
        esa: Effective sampling area, km2.
        density, density_se: Animals a km2, and its standard error.
        log_likelihood, conditional: Maxima of the full and of the conditional log-likelihood.
        area: Of the mask, km2.
        twice: Whether it conditions on two detections or more (SCR-2).
        note: Why it is not to be trusted; empty if it converged.
    """

    kernel: str
    theta: np.ndarray
    covariance: np.ndarray
    animals: int
    esa: float
    density: float
    density_se: float
    log_likelihood: float
    conditional: float
    area: float
    twice: bool = False
    note: str = ""

    @property
    def converged(self) -> bool:
        """Whether the search ended at a maximum."""
        return not self.note

    @property
    def sigma(self) -> float:
        """The scale of movement, metres."""
        return float(np.exp(self.theta[1]))

    @property
    def intercept(self) -> float:
        """The chance of detection (or hazard) of an occasion at the animal's centre."""
        return float(np.exp(self.theta[0]) if self.kernel == "hazard_half_normal" else expit(self.theta[0]))

    def standard_errors(self) -> np.ndarray:
        """Return those of log density and of theta."""
        return np.sqrt([np.square(self.density_se / self.density), *np.diag(self.covariance)])

    def estimate(self, name: str) -> Estimate:
        """Return the density, animals a km2, log-normal."""
        interval = log_normal(self.density, self.density_se, 0.0)
        return Estimate(name, self.density, self.density_se, *interval, self.animals, self.note)

    def expected(self, name: str) -> Estimate:
        """Return how many animals such a density makes us expect in the region of the mask."""
        n, se = self.density * self.area, self.density_se * self.area
        return Estimate(name, n, se, *log_normal(n, se, 0.0), self.animals, self.note)

    def realised(self, name: str) -> Estimate:
        """Return how many animals live in the region of the mask, detected ones included (Efford and Fewster 2013)."""
        n = self.density * self.area
        se = np.sqrt(max((self.density_se * self.area) ** 2 - n, 1e-9))
        low, high = log_normal(n, se, self.animals) if n > self.animals + 1e-9 else (n, n)
        return Estimate(name, n, se, low, high, self.animals, self.note, self.animals)


class Likelihood:
    """The likelihood of detections on a mask, of a kernel's two parameters."""

    def __init__(self, detections: Detections, mask: Mask, kernel: str, twice: bool = False) -> None:
        """Sum up the detections; with `twice`, of animals detected at least twice, and conditional on that."""
        self.kernel, self.mask, self.twice = kernel, mask, twice
        self.detections = detections.seen_again() if twice else detections
        self.squares = cdist(detections.places, mask.points, "sqeuclidean")
        self.usage, self.pattern, self.repeats = _patterns(detections.usage)
        self.effort = detections.usage.sum(axis=0).astype(float)
        self.animals = self.detections.animals
        self.histories, self.rows, self.weight, self.arranged = self._sum_up()

    def _sum_up(self) -> tuple[csr_array, np.ndarray, np.ndarray, float]:
        """Return distinct sums `(U, K + P)`, each animal's row of them, how often each occurs, and what is arranged.

        A sum says how often an animal was detected at each station, and for traps in each pattern of running stations:
        mostly never. The last is the sum of ln(m!) over the multiplicities m of distinct histories.
        """
        told, stations = self.detections, len(self.effort)
        multi = told.detector == "multi"
        sums = np.zeros((self.animals, stations + multi * len(self.usage)))
        np.add.at(sums, (told.animal, told.station), 1)
        if multi:
            np.add.at(sums, (told.animal, stations + self.pattern[told.occasion]), 1)
        cells = told.occasion * stations + told.station
        full = [tuple(sorted(cells[of])) for of in _members(told.animal, self.animals)]
        arranged = sum(gammaln(count + 1) for count in Counter(full).values())
        if told.detector == "count":
            arranged += sum(gammaln(count + 1) for history in full for count in Counter(history).values())
        unique, rows, weight = np.unique(sums, axis=0, return_inverse=True, return_counts=True)
        return csr_array(unique), rows.ravel(), weight, float(arranged)

    def cells(self, theta: np.ndarray, find: Callable[[np.ndarray], R]) -> tuple[list[R], np.ndarray]:
        """Return what `find` makes of each block of rows of ln Pr(history | centre), and the chance of being detected.

        Logarithms are `(U, X)`, and all cores find. The chance to be detected (twice) at all is `(X,)`.
        """
        log_g, h = _kernel(self.kernel, theta, self.squares)
        exposed = self.effort @ h
        if self.detections.detector == "multi":
            sums = self.usage @ h
            with np.errstate(divide="ignore", invalid="ignore"):
                captured = np.where(sums > 0, np.log(-np.expm1(-sums) / sums), 0.0) + sums
            log = np.concatenate([_log_hazard(log_g, h), captured])
            odds = self.repeats @ np.expm1(np.minimum(sums, 700))
        elif self.detections.detector == "count":
            log, odds = _log_hazard(log_g, h), exposed
        else:
            log = log_g + h
            odds = self.effort @ np.exp(np.minimum(log_g + h, 700))
        detected = -np.expm1(-exposed)
        if self.twice:
            detected = np.maximum(detected - np.exp(-exposed) * odds, 0.0)
        rows = max(BLOCK // max(len(exposed), 1), 1)
        blocks = [self.histories[start : start + rows] for start in range(0, self.histories.shape[0], rows)]
        each = map if len(blocks) == 1 else parallel_map
        return list(each(lambda block: find(block @ log - exposed), blocks)), detected

    def parts(self, theta: np.ndarray) -> tuple[float, float]:
        """Return the conditional log-likelihood without its constant, and the effective sampling area in km2."""
        logs, detected = self.cells(theta, _log_sums)
        total = detected.sum()
        if not total > 0:
            return -np.inf, float(total * self.mask.cell)
        value = self.weight @ np.concatenate(logs) - self.animals * np.log(total)
        return float(value), float(total * self.mask.cell)

    def conditional(self, value: float) -> float:
        """Return the log-likelihood of the histories of the animals that were detected, of the first of `parts`."""
        return value + float(gammaln(self.animals + 1)) - self.arranged

    def full(self, value: float, esa: float, density: float) -> float:
        """Return the log-likelihood of histories and of how many there are, of `parts` and a density, animals a km2."""
        expected = density * esa
        return value + self.animals * np.log(expected) - expected - self.arranged


def _patterns(usage: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distinct rows of `(S, K)` usage, the row of each occasion, and on how many occasions each held."""
    unique, pattern, repeats = np.unique(usage, axis=0, return_inverse=True, return_counts=True)
    return unique.astype(float), pattern.ravel(), repeats.astype(float)


def _members(groups: np.ndarray, count: int) -> list[np.ndarray]:
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.searchsorted(groups[order], np.arange(1, count)))


def _kernel(name: str, theta: np.ndarray, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ln g and h = -ln(1 - g) of an occasion, at squared distances."""
    shape = squares * (-0.5 * np.exp(-2 * theta[1]))
    if name == "hazard_half_normal":
        h = np.exp(np.minimum(theta[0] + shape, 700))
        return np.where(h > 1e-8, np.log(np.maximum(-np.expm1(-h), 1e-300)), theta[0] + shape), h
    if name == "exponential":
        shape = -np.sqrt(-2 * shape)
    log_g = shape - np.logaddexp(0, -np.clip(theta[0], -700, 30))
    return log_g, -np.log1p(-np.exp(log_g))


def _log_hazard(log_g: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Return ln h, which is ln g where both are too small to differ."""
    return np.where(h > 1e-8, np.log(np.maximum(h, 1e-300)), log_g)


def _log_sums(log: np.ndarray) -> np.ndarray:
    """Return the logarithm of each row's sum of exponentials."""
    most = log.max(axis=1, keepdims=True)
    return np.log(np.exp(log - most).sum(axis=1)) + most[:, 0]


@threadpool_limits.wrap(limits=1)
def fit(detections: Detections, mask: Mask, kernel: str = "half_normal", twice: bool = False, start=None) -> Fit:
    """Fit by maximum likelihood.

    Args:
        detections: Who was detected where and when.
        mask: Where centres may lie.
        kernel: One of `KERNELS`.
        twice: Leave out animals detected once, which misidentified photos make, and condition on two detections (SCR-2,
            Kodi et al. 2024; the exact chance of a single detection in the place of the Poisson's).
        start: `(2,)` theta of a fit to nearly the same data: the maximum is looked for there first.

    Returns:
        The fit; where `note` says why, it has no density, or none to trust. Of a product of
        matrices as small as these one thread is faster, and sums up in the same order everywhere.
    """
    refused = unfit(detections.seen_again() if twice else detections)
    if refused:
        return _no_fit(kernel, mask, twice, refused)
    model = Likelihood(detections, mask, kernel, twice)

    def loss(theta: np.ndarray) -> float:
        value = -model.parts(theta)[0]
        return value if np.isfinite(value) else 1e10

    if start is not None:
        theta, curve, esa_slope, ended = _newton(model, np.asarray(start, float))
    if start is None or not ended:
        link = np.log if kernel == "hazard_half_normal" else logit
        start = _best_start(Likelihood(detections, replace(mask, points=mask.points[::THINNED]), kernel, twice), link)
        found = minimize(loss, start, method="BFGS", options={"gtol": 1e-2})
        theta, curve, esa_slope, ended = _newton(model, found.x)  # BFGS's own differences are coarse
    value, esa = model.parts(theta)
    density = model.animals / esa
    if not ended:
        return replace(
            _no_fit(kernel, mask, twice, "the search found no maximum: too few animals were seen at several stations"),
            theta=theta,
        )
    covariance = np.linalg.inv(curve)
    variance = 1 / model.animals + esa_slope @ covariance @ esa_slope
    return Fit(
        kernel, theta, covariance, model.animals, esa, density, density * float(np.sqrt(variance)),
        model.full(value, esa, density), model.conditional(value), mask.area, twice,
    )  # fmt: skip


def _newton(model: Likelihood, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Go up by Newton's steps; return theta, curvature, slope of ln a, and whether that is a maximum."""
    for _ in range(NEWTON):
        slope, curve, esa_slope = _differences(model, theta)
        if not (np.all(np.isfinite(curve)) and np.all(np.linalg.eigvalsh(curve) > 0)):
            return theta, curve, esa_slope, False
        step = np.linalg.solve(curve, slope)
        far = np.abs(step).max() >= 0.5
        theta = theta if far else theta - step
        if far or slope @ step < 1e-6:
            break
    return theta, curve, esa_slope, bool(slope @ step < 1e-4)


def _best_start(model: Likelihood, link) -> np.ndarray:
    """Return the best theta of a few; the mask may be coarse."""
    grid = [np.array([link(g), np.log(model.detections.spread() * scale)]) for g in STARTS for scale in SCALES]
    values = [model.parts(theta)[0] for theta in grid]
    return grid[int(np.argmax(np.nan_to_num(values, nan=-np.inf)))]


def unfit(detections: Detections) -> str:
    """Return why no model can be fitted to these detections; nothing if one can."""
    if len(detections.places) < 2:
        return "one station: how far animals move cannot be told"
    if detections.animals < 2:
        return "fewer than two animals"
    if detections.spread() == 0:
        return "no animal was seen at two stations: how far animals move cannot be told"
    return ""


def _no_fit(kernel: str, mask: Mask, twice: bool, note: str) -> Fit:
    empty = np.full(2, np.nan)
    return Fit(kernel, empty, np.full((2, 2), np.nan), 0, *[np.nan] * 5, mask.area, twice, note)


def _differences(model: Likelihood, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return slope and curvature of the negative log-likelihood and the slope of ln a, by central differences."""
    steps = np.eye(len(theta)) * STEP
    middle = -model.parts(theta)[0]
    ends = [[model.parts(theta + sign * step) for sign in (1, -1)] for step in steps]
    values = -np.array([[value for value, _ in pair] for pair in ends])
    areas = np.log([[area for _, area in pair] for pair in ends])
    slope, esa_slope = (np.subtract(*pairs.T) / (2 * STEP) for pairs in (values, areas))
    curve = np.diag((values.sum(axis=1) - 2 * middle) / STEP**2)
    corners = [-model.parts(theta + sign * steps.sum(axis=0))[0] for sign in (1, -1)]
    curve[0, 1] = curve[1, 0] = (sum(corners) - values.sum() + 2 * middle) / (2 * STEP**2)
    return slope, curve, esa_slope


def trap_buffer(places: np.ndarray, buffer: float, cells: int = CELLS) -> Mask:
    """Return a mask of square cells whose middles are within `buffer` metres of a station (secr's `trapbuffer`).

    Args:
        places: `(K, 2)` metres.
        buffer: Metres.
        cells: Cells from west to east.
    """
    low, high = places.min(axis=0) - buffer, places.max(axis=0) + buffer
    spacing = (high[0] - low[0]) / cells
    east, north = (np.arange(low[axis] + spacing / 2, high[axis], spacing) for axis in (0, 1))
    points = np.stack(np.meshgrid(east, north), axis=-1).reshape(-1, 2)
    return Mask(points[cKDTree(places).query(points)[0] <= buffer], (spacing / 1000) ** 2)


def fine_mask(places: np.ndarray, buffer: float, scale: float) -> Mask:
    """Return a mask around stations, with cells fine enough for animals that move `scale` metres, and not too many."""
    cells = cells_across(float(np.ptp(places[:, 0])) + 2 * buffer, scale)
    mask = trap_buffer(places, buffer, cells)
    many = len(mask.points) / MOST_CELLS
    return trap_buffer(places, buffer, int(cells / np.sqrt(many))) if many > 1 else mask


def cells_across(width: float, scale: float) -> int:
    """Return how many cells there should be along `width` metres."""
    return int(np.clip(np.ceil(width / (FINE * scale)), CELLS, 500)) if scale > 0 else CELLS


def fit_with_buffer(
    detections: Detections, kernel: str = "half_normal", buffer: float | None = None
) -> tuple[Fit, Mask]:
    """Fit on a mask around the stations; without a `buffer` in metres, one of `WIDE` fitted scales."""
    spread = detections.spread()
    first = buffer or WIDE * (spread or 1000.0)
    mask = fine_mask(detections.places, first, spread)
    fitted = fit(detections, mask, kernel)
    extent = float(np.ptp(detections.places, axis=0).max())
    for _ in range(4):
        if not fitted.converged:
            break
        wanted = first if buffer else WIDE * fitted.sigma
        if wanted > 20 * max(extent, spread):
            return replace(fitted, note="animals seem to move far beyond the stations: sigma cannot be told"), mask
        if abs(wanted / first - 1) < 0.02:
            break
        first, mask = wanted, fine_mask(detections.places, wanted, fitted.sigma)
        before, fitted = fitted, fit(detections, mask, kernel, start=fitted.theta)
        if fitted.converged and abs(fitted.sigma / before.sigma - 1) < 0.02:
            break
    return fitted, mask


def centres(fitted: Fit, detections: Detections, mask: Mask) -> tuple[np.ndarray, np.ndarray]:
    """Return where each animal's centre is expected, `(n, 2)` metres, and its standard deviation an axis, `(n,)`."""

    def middle(log: np.ndarray) -> np.ndarray:
        share = np.exp(log - _log_sums(log)[:, None])
        mean = share @ mask.points
        return np.column_stack([mean, np.maximum(share @ mask.points**2 - mean**2, 0).mean(axis=1)])

    model = Likelihood(detections, mask, fitted.kernel)
    mean, variance = np.split(np.concatenate(model.cells(fitted.theta, middle)[0])[model.rows], [2], axis=1)
    return mean, np.sqrt(variance[:, 0])
