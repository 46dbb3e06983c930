"""What a count says in words and in few numbers: which estimate to take, why, and what a reader must know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pelage.animals.counting import DENSITY, DENSITY_2, NO_PLACES, REGION, REGION_2, Counted
from pelage.animals.effort import LONGEST_DAYS, Effort
from pelage.animals.histories import LINKED, SIDES

WHY = {
    DENSITY: "stations have coordinates, and where an animal lives decides how often it is seen",
    DENSITY_2: "stations have coordinates, and ghosts are so many that animals seen once are left out",
    REGION: "stations have coordinates, and the data set tells where animals live",
    REGION_2: "the data set tells where animals live, and ghosts are so many that animals seen once are left out",
    "jackknife": "animals differ in how easily they are seen, which M0 and Mt deny",
    "chao": "the jackknife has no estimate; Chao's is a lower bound where animals differ",
    "chapman": "there are two occasions",
}
NAMES = {
    DENSITY: "spatial capture-recapture",
    DENSITY_2: "spatial capture-recapture without singletons",
    REGION: "spatial capture-recapture",
    REGION_2: "spatial capture-recapture without singletons",
    "jackknife": "jackknife",
    "chao": "Chao's lower bound",
    "chapman": "Chapman",
}
FEW_CAPTURES = 20
"""Recaptures below which intervals hardly hold what they promise (Otis et al. 1978; Efford and Boulanger 2019)."""


@dataclass(frozen=True)
class Errors:
    """What the rehearsal says of identification; None: nobody knows.

    Attributes:
        ghosts: Animals too many, of all units that were decided.
        merges: Animals that are several, of all animals told.
    """

    ghosts: float | None = None
    merges: float | None = None


def read_errors(numbers: Mapping[str, Any]) -> Errors:
    """Return the rates of what the stage individuals tells of its rehearsal: `units, found, ghosts, merges`."""
    told = numbers.get("rehearsal") or {}

    def share(part: str, whole: str) -> float | None:
        if told.get(part) is None or not told.get(whole):
            return None
        return told[part] / told[whole]

    return Errors(share("ghosts", "units"), share("merges", "found"))


def best(estimates: pd.DataFrame, which: str) -> pd.DataFrame:
    """Return a population's estimates by name: those that carry the error, and the plain ones where these have none."""
    own = estimates[estimates["population"] == which]
    carried = own[own["carries_error"]].set_index("estimator")
    plain = own[~own["carries_error"]].set_index("estimator")
    there = carried["n"].notna()
    return pd.concat([carried[there], plain.loc[plain.index.difference(carried.index[there], sort=False)]])


def decided(estimates: pd.DataFrame) -> pd.DataFrame:
    """Return the estimates of the linked population that take each decision for right, by name."""
    own = estimates[(estimates["population"] == LINKED) & ~estimates["carries_error"]]
    return own.set_index("estimator")


def recommended(estimates: pd.DataFrame, errors: Errors, most_ghosts: float, fenced: bool) -> tuple[str, str]:
    """Return the estimators of density and of number to be told first, empty where none has an estimate.

    Args:
        estimates: As `counting.count_all` returns them.
        errors: Of the rehearsal.
        most_ghosts: Beyond this rate of ghosts animals seen once are left out.
        fenced: Whether the data set tells where animals live, so that their number there can be asked for.
    """
    table = best(estimates, LINKED)
    able = set(table.index[table["n"].notna()])
    haunted = errors.ghosts is not None and errors.ghosts > most_ghosts
    spatial = (DENSITY_2, DENSITY) if haunted else (DENSITY,)
    density = next((name for name in spatial if name in able), "")
    numbers = [f"{density}_region"] * (fenced and bool(density)) + ["jackknife", "chao", "chapman"]
    return density, next((name for name in numbers if name in able), "")


def headline(counted: Counted, effort: Effort, errors: Errors, most_ghosts: float, fenced: bool) -> str:
    """Return the result in words: how many animals, by which estimator, and why.

    Args:
        counted: All estimates.
        effort: When and where the survey looked.
        errors: Of the rehearsal.
        most_ghosts: As for `recommended`.
        fenced: As for `recommended`.
    """
    table = best(counted.estimates, LINKED)
    seen = int(decided(counted.estimates)["animals"].max())
    if not seen:
        return "No animal was seen, so none is counted."
    density, number = recommended(counted.estimates, errors, most_ghosts, fenced)
    where = f" at {len(effort.stations)} stations" if len(effort.stations) else ""
    told = f"{seen} animals were seen on {effort.occasions} occasions{where}"
    if not density and not number:
        why = next((note for note in table["note"] if note), "too few of them were seen again")
        return f"{told}; how many there are cannot be told: {why}."
    parts = [told]
    if number:
        where = "use the area of the stations"
        if number in (REGION, REGION_2):
            where = f"live {counted.region} ({counted.mask.area:.0f} km2)"
        parts.append(f"{_interval(table.loc[number], whole=True)} {where} ({NAMES[number]}: {WHY[number]})")
    if density:
        parts.append(f"{_interval(table.loc[density])} animals per 100 km2 ({NAMES[density]}: {WHY[density]})")
    if not density and not effort.located.any():
        parts.append(NO_PLACES)
    return "; ".join(parts) + "."


def _interval(row: pd.Series, whole: bool = False) -> str:
    """Return an estimate and its interval; whole animals are rounded to the outside."""
    if whole:
        return f"{row['n']:.0f} [{np.floor(row['low']):.0f}, {np.ceil(row['high']):.0f}]"
    return f"{row['n']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"


def caveats(counted: Counted, effort: Effort, errors: Errors, left: Mapping[str, int]) -> list[str]:
    """Return sentences that stand beside the count.

    Args:
        counted: All estimates.
        effort: When and where the survey looked.
        errors: Of the rehearsal.
        left: How many units are not counted, by reason.
    """
    said = [f"{count} units are not counted: {why}." for why, count in left.items() if count]
    if effort.outside:
        said.append(
            f"{effort.outside} sightings are of times when their station did not run, as the deployments have it; it "
            "is taken to have run then. Mend the deployments."
        )
    if effort.rests_on_photos:
        said.append(
            f"Of {effort.rests_on_photos} stations only photos tell when they ran, from the first to the last: days "
            "without animals before and after are missing, and a gap between them is not known."
        )
    lost = int((~effort.located).sum())
    if lost and effort.located.any():
        said.append(f"{lost} stations have no coordinates and are left out of spatial estimates.")
    if effort.days > LONGEST_DAYS:
        said.append(
            f"The survey lasts {effort.days:.0f} days; in more than {LONGEST_DAYS} animals are born, die and move, and "
            "all estimates take the population for closed. Set count.first and count.last."
        )
    plain = decided(counted.estimates)
    again = int(plain["captures"].max() - plain["animals"].max())
    if 0 < again < FEW_CAPTURES:
        said.append(f"Recaptures: {again}; with fewer than {FEW_CAPTURES} intervals promise too much.")
    if errors.ghosts is None:
        said.append("There was no rehearsal, so nobody knows how many animals are ghosts, or several in one.")
    else:
        merges = "" if errors.merges is None else f", and {errors.merges:.1%} of animals were several"
        said.append(
            f"In the rehearsal {errors.ghosts:.1%} of units made an animal too many{merges}. Such ghosts raise these "
            "numbers; merges lower them, and make animals seem to roam."
        )
    said.append(
        "M0 and Mt take all animals for equally easy to see; where they are not, as around a station that one of them "
        "lives at, both are too low. They are for comparison."
    )
    said.append("Left, right and linked flanks are counts of the same animals: they are compared, never added.")
    return said


def metrics(counted: Counted, effort: Effort, errors: Errors, most_ghosts: float, fenced: bool) -> dict[str, Any]:
    """Return the numbers that a reviewer compares, intervals of animals rounded to the outside; None: there is none.

    Arguments as for `headline`.
    """
    table = best(counted.estimates, LINKED)
    density, number = recommended(counted.estimates, errors, most_ghosts, fenced)
    plain = decided(counted.estimates)
    fitted = counted.fits.get((LINKED, density or DENSITY))

    def told(rows: pd.DataFrame, name: str, column: str) -> float | None:
        if name not in rows.index:
            return None
        outside = {"low": np.floor, "high": np.ceil}.get(column) if name == number else None
        return _rounded(outside(rows.at[name, column]) if outside else rows.at[name, column])

    sides = {side: best(counted.estimates, side) for side in SIDES}
    return {
        "animals": int(plain["animals"].max()),
        "captures": int(plain["captures"].max()),
        "occasions": effort.occasions,
        "stations": len(effort.stations),
        "station_days": _rounded(float(effort.operating_days.sum())),
        "number_by": number or None,
        "n": told(table, number, "n"),
        "low": told(table, number, "low"),
        "high": told(table, number, "high"),
        "low_plain": told(plain, number, "low"),
        "high_plain": told(plain, number, "high"),
        **{f"n_{side}": told(rows, number, "n") for side, rows in sides.items()},
        "density_by": density or None,
        "density": told(table, density, "n"),
        "density_low": told(table, density, "low"),
        "density_high": told(table, density, "high"),
        "sigma_m": _rounded(fitted.sigma) if fitted is not None and fitted.converged else None,
        "ghosts": _rounded(errors.ghosts),
        "merges": _rounded(errors.merges),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(f"{value:.4g}")
