"""How many animals there are: all estimates of all populations, plain and carrying the error of identification.

The plain estimate takes each decision for right. The other one counts each of the partitions drawn from the
probabilities of the links, on the same mask, and combines them (`multiple.py`). Closed estimators need no places and
tell how many animals use the area of the stations; spatial ones tell their density, and how many live in a region.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from pelage.animals.closed import Estimate, closed_estimates, no_estimate, summarise
from pelage.animals.effort import Effort
from pelage.animals.habitat import Habitat
from pelage.animals.histories import LINKED, POPULATIONS, detections, history, population
from pelage.animals.multiple import combine
from pelage.animals.spatial import Detections, Fit, Mask, centres, fit

DENSITY, REGION = "scr", "scr_region"
DENSITY_2, REGION_2 = "scr2", "scr2_region"
SPATIAL = {DENSITY: False, DENSITY_2: True}
"""Estimators of density, and whether they leave out animals seen once."""

HUNDRED = 100
"""Densities are told of so many km2."""

COLUMNS = [
    "population", "estimator", "n", "se", "low", "high", "animals", "captures", "occasions", "carries_error", "note",
]  # fmt: skip
NO_PLACES = (
    "no station has coordinates: fill in latitude and longitude (or x, y and crs) of each station in the table of "
    "deployments that the data set names"
)
NOT_DRAWN = "no partition was drawn"


@dataclass(frozen=True)
class Counted:
    """All that was counted.

    Attributes:
        estimates: `COLUMNS`, one row an estimate.
        fits: Fitted models of the plain histories, by population and estimator.
        mask: Where centres may lie; None without places.
        region: What the mask is, in words.
        centres: `individual, x, y, spread_m`, of the linked population.
    """

    estimates: pd.DataFrame
    fits: dict[tuple[str, str], Fit] = field(default_factory=dict)
    mask: Mask | None = None
    region: str = ""
    centres: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["individual", "x", "y", "spread_m"]))


def drawn_sightings(seen: pd.DataFrame, partition: pd.DataFrame) -> pd.DataFrame:
    """Return the sightings as a partition names their animals; units that it does not know keep their name."""
    names = partition.set_index("unit")["individual"]
    return seen.assign(individual=seen["unit"].map(names).fillna(seen["individual"]))


def count_all(
    seen: pd.DataFrame,
    partitions: pd.DataFrame,
    effort: Effort,
    habitat: Habitat,
    kernel: str,
    track: Callable[[Iterable], Iterator] = iter,
) -> Counted:
    """Estimate each population, from the decisions and from the partitions drawn.

    Args:
        seen: Sightings in the survey's time (`histories.in_time`).
        partitions: Rows of data/partitions.parquet: `draw, unit, individual`.
        effort: When and where the survey looked.
        habitat: Where animals live.
        kernel: One of `spatial.KERNELS`.
        track: Shows progress over the partitions.
    """
    names, everywhere = detections(population(seen, LINKED), effort)
    mask, region = None, ""
    if effort.located.any():
        mask, region = habitat.mask(everywhere, effort.crs, kernel)
    counter = _Counter(effort, mask, kernel)
    decided = {which: counter.estimates(population(seen, which)) for which in POPULATIONS}
    fits = {(which, name): fitted for which in POPULATIONS for name, fitted in counter.fits(population(seen, which))}
    drawn: dict[str, list[dict[str, Estimate]]] = {which: [] for which in POPULATIONS}
    for _, partition in track(partitions.groupby("draw", sort=True)):
        sighted = drawn_sightings(seen, partition)
        for which in POPULATIONS:
            drawn[which].append(counter.estimates(population(sighted, which)))
    rows = []
    for which in POPULATIONS:
        own = population(seen, which)
        captures = len(own.drop_duplicates(["individual", "occasion"]))
        shared = {"population": which, "captures": captures, "occasions": effort.occasions}
        for name, estimate in decided[which].items():
            carried = combine(name, [one.get(name, no_estimate(name, 0, "")) for one in drawn[which]])
            carried = carried if drawn[which] else no_estimate(name, estimate.animals, NOT_DRAWN)
            for told, carries in ((carried, True), (estimate, False)):
                columns = ("estimator", "n", "se", "low", "high", "animals", "note")
                rows.append({**shared, **{c: getattr(told, c) for c in columns}, "carries_error": carries})
    main = fits.get((LINKED, DENSITY))
    counted = Counted(pd.DataFrame(rows, columns=COLUMNS), fits, mask, region)
    if main is None or not main.converged:
        return counted
    middle, spread = centres(main, everywhere, mask)
    table = pd.DataFrame({"individual": names, "x": middle[:, 0], "y": middle[:, 1], "spread_m": spread})
    return replace(counted, centres=table)


class _Counter:
    """Estimates of sightings, which remembers what it has counted: many partitions are the same."""

    def __init__(self, effort: Effort, mask: Mask | None, kernel: str) -> None:
        self.effort, self.mask, self.kernel = effort, mask, kernel
        self.known: dict[bytes, tuple[dict[str, Estimate], dict[str, Fit]]] = {}
        self.starts: dict[str, np.ndarray] = {}

    def estimates(self, seen: pd.DataFrame) -> dict[str, Estimate]:
        """Return all estimates, by name."""
        return self._counted(seen)[0]

    def fits(self, seen: pd.DataFrame) -> Iterable[tuple[str, Fit]]:
        """Return the fitted models, by the name of their density."""
        return self._counted(seen)[1].items()

    def _counted(self, seen: pd.DataFrame) -> tuple[dict[str, Estimate], dict[str, Fit]]:
        key = pd.factorize(seen["individual"])[0].tobytes() + seen["unit"].str.cat(sep="\n").encode()
        if key not in self.known:
            captures = summarise(history(seen, self.effort.occasions)[1])
            found = {estimate.estimator: estimate for estimate in closed_estimates(captures)}
            names, told = detections(seen, self.effort)
            fits = {name: self._fit(name, told) for name in SPATIAL} if self.mask is not None else {}
            for name in SPATIAL:
                found |= _estimates(name, fits.get(name), len(names))
            self.known[key] = found, fits
        return self.known[key]

    def _fit(self, name: str, told: Detections) -> Fit:
        """Fit from where the first fit of this kind ended, which is near."""
        fitted = fit(told, self.mask, self.kernel, SPATIAL[name], self.starts.get(name))
        if fitted.converged:
            self.starts.setdefault(name, fitted.theta)
        return fitted


def _estimates(name: str, fitted: Fit | None, animals: int) -> dict[str, Estimate]:
    """Return density, of 100 km2, and number in the region; without a fit that converged no density."""
    if fitted is None or not fitted.converged:
        return {name: replace(no_estimate(name, animals, fitted.note if fitted else NO_PLACES), bound=0.0)}
    density = fitted.estimate(name)
    scaled = {key: HUNDRED * getattr(density, key) for key in ("n", "se", "low", "high")}
    return {name: replace(density, **scaled), f"{name}_region": fitted.realised(f"{name}_region")}
