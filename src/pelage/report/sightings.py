"""Sightings: which animal was seen where and when, from the decisions on encounters and flanks.

A row of `data/individuals.csv` is a unit: one encounter, one flank. Both flanks of an encounter are two rows, and one
sighting.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

NUMBERS = {"probability": float, "photos": int}
"""Columns of `data/individuals.csv` and `data/rehearsal.csv` that are no text."""

Records = list[dict[str, Any]]
"""Rows of a table, for thousands of small tables are slow."""

SIDES = ("left", "right")
NAMED, KNOWN, NEW, CANNOT_TELL = "named", "known", "new", "cannot_tell"
"""Answers: the source names it; it is a named animal; it is a new one; nobody can say."""

SOURCE, MACHINE = "source", "pelage"
"""Who decided, if no reviewer did."""


def in_order(names: Iterable[str]) -> list[str]:
    """Return names as people sort them: `L2` before `L10`."""
    return sorted(names, key=lambda name: ([_place(part) for part in re.split(r"(\d+)", name)], name))


def _place(part: str) -> tuple[int, int, str]:
    return (0, int(part), "") if part.isdecimal() else (1, 0, part.casefold())


def animals_seen(individuals: pd.DataFrame) -> pd.DataFrame:
    """Say of each animal where and when it was seen, and how sure that is.

    Args:
        individuals: Rows of `data/individuals.csv`, with numbers.

    Returns:
        A row an animal, as people sort names: `individual`; `answer`: named where the source names any of its
        encounters, else new; `first` and `last` date (empty if none is told), `stations`, `encounters`, `photos`, their
        numbers; `left`, `right`, `other`: encounters that show this flank; `asked`: encounters without a name;
        `least_sure`: lowest probability among what pelage decided by itself, missing where it decided nothing;
        `best_crop` of its unit with the most photos, empty if none can be compared.
    """
    columns = [
        *("individual", "encounter", "date", "station", "side", "answer", "decided_by", "probability", "photos"),
        "best_crop",
    ]
    told = individuals.loc[individuals["individual"] != "", columns]
    animal = told["individual"]

    def encounters(rows: pd.DataFrame) -> pd.Series:
        return rows[["individual", "encounter"]].drop_duplicates().groupby("individual").size()

    dated = told[told["date"] != ""].groupby("individual")["date"]
    placed = told[told["station"] != ""].groupby("individual")["station"]
    by_machine = told[told["decided_by"] == MACHINE].groupby("individual")["probability"]
    sides = told["side"].where(told["side"].isin(SIDES), "other")
    named = told["answer"].eq(NAMED).groupby(animal).any()
    shown = told.loc[told["best_crop"] != "", ["individual", "photos", "best_crop"]]
    best = shown.sort_values("photos", ascending=False, kind="stable").drop_duplicates("individual")
    table = pd.DataFrame({
        "answer": named.map({True: NAMED, False: NEW}),
        "first": dated.min(),
        "last": dated.max(),
        "stations": placed.nunique(),
        "encounters": encounters(told),
        "photos": told.groupby("individual")["photos"].sum(),
        **{side: encounters(told[sides == side]) for side in (*SIDES, "other")},
        "asked": encounters(told[told["answer"] != NAMED]),
        "least_sure": by_machine.min(),
        "best_crop": best.set_index("individual")["best_crop"],
    }).reindex(in_order(animal.unique().tolist()))  # fmt: skip
    counts = ["stations", "encounters", "photos", *SIDES, "other", "asked"]
    table[counts] = table[counts].fillna(0).astype(int)
    table = table.fillna({"first": "", "last": "", "best_crop": ""})
    return table.rename_axis("individual").reset_index()


def units_by_animal(individuals: pd.DataFrame) -> dict[str, Records]:
    """Return the units of each animal in the order of time."""
    told = individuals[individuals["individual"] != ""].sort_values(["date", "unit"], kind="stable")
    return by_animal(told)


def by_animal(table: pd.DataFrame) -> dict[str, Records]:
    """Return the rows of each animal as they stand; no rows for any other name."""
    found: dict[str, Records] = defaultdict(list)
    for row in table.astype(object).to_dict("records"):  # cells of text cost less one by one as objects
        found[row["individual"]].append(row)
    return found


def visits(units: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return how many encounters of an animal each station has, most first; `""` for no station."""
    counts = Counter(station for station, _ in {(unit["station"], unit["encounter"]) for unit in units})
    return {station: counts[station] for station in sorted(in_order(counts), key=lambda name: -counts[name])}


def visits_in_words(counts: Mapping[str, int], most: int = 4) -> str:
    """Return stations with their encounters, `S01 × 3, S04, 2 more stations`."""
    told = [(station or "no station told") + (f" × {count}" if count > 1 else "") for station, count in counts.items()]
    more = len(told) - most
    return ", ".join(told[:most] + ([f"{more} more station" + "s" * (more > 1)] if more > 0 else []))


def day(date: str) -> str:
    """Return the day of a date in ISO 8601; a dash where none is told."""
    return date[:10] or "–"


def minute(date: str) -> str:
    """Return the day and time of a date in ISO 8601, to the minute; a dash where none is told."""
    return date[:16].replace("T", " ") or "no date"


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: `1 animal`, `1,200 animals`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def decided(row: Mapping[str, Any], sure: str) -> str:
    """Say who decided a unit, and how sure pelage was: `pelage, 97%`."""
    who = {SOURCE: "named by the source"}.get(row["decided_by"], row["decided_by"])
    return f"{who}, {sure}" if row["decided_by"] == MACHINE and row["probability"] == row["probability"] else who
