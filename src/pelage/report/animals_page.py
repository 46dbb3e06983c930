"""The first screen of the report, for ecologists: who was seen where and when, who is new, what needs a look, how many.

Everything here stands in a table already; it is only put in order, in words and in pictures. Pictures are asked for by
`crop_id` and filled in by whoever reads images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pelage.report.count_figures import SHOWN as ESTIMATORS
from pelage.report.sheets import percent
from pelage.report.sightings import (
    CANNOT_TELL,
    KNOWN,
    NAMED,
    NEW,
    animals_seen,
    by_animal,
    counted,
    day,
    minute,
    units_by_animal,
    visits,
    visits_in_words,
)
from pelage.report.tables import number
from pelage.report.thumbnails import thumbnails

Load = Callable[[str], np.ndarray | None]
"""Gives the image `(H, W, C)` of a crop, or None if there is none."""

SHOWN, FOLDED = 30, 470
"""Rows that a table shows at once, and that it shows when asked; the table on disk has all."""

NEW_SHOWN, PHOTOS, ASKED = 24, 4, 12
"""New animals with photos, photos of each, and questions with their photos."""

ESTIMATES = dict.fromkeys(["n", "se", "low", "high"], float) | dict.fromkeys(["animals", "captures", "occasions"], int)
"""Columns of `data/estimates.csv` that are numbers."""

QUESTIONS = {"place": int, "probability": float, "delta": float}


@dataclass(frozen=True)
class Answers:
    """What the stages individuals and count found.

    Attributes:
        individuals: Rows of `data/individuals.csv`.
        crops: Rows of `data/unit_crops.csv`, the crops of each unit.
        links: `query, candidate, probability` of `data/links.parquet`.
        questions: Rows of `data/questions.csv`.
        deployments: Rows of `data/deployments.csv`.
        estimates: Rows of `data/estimates.csv`.
        rehearsal: `rehearsal` of the metrics of the stage individuals.
        grouped: Animals of the likeliest grouping, those that are not sure among them.
        count: Metrics of the stage count.
        headline: What the stage count says in one sentence.
        caveats: What a reader of that has to know.
    """

    individuals: pd.DataFrame
    crops: pd.DataFrame
    links: pd.DataFrame
    questions: pd.DataFrame
    deployments: pd.DataFrame
    estimates: pd.DataFrame
    rehearsal: Mapping[str, Any]
    grouped: int
    count: Mapping[str, Any]
    headline: str
    caveats: Sequence[str]

    @cached_property
    def seen(self) -> pd.DataFrame:
        """Return where and when each animal was seen, as `animals_seen` does."""
        return animals_seen(self.individuals)


def first_screen(answers: Answers, addresses: Mapping[str, str], load: Load) -> dict[str, Any]:
    """Prepare the first screen.

    Args:
        answers: What was found.
        addresses: Page of each animal that has one; the table is of these.
        load: Gives the image of a crop.

    Returns:
        What the template `animals.html` shows.
    """
    individuals, seen = answers.individuals, answers.seen
    listed = seen[seen["individual"].isin(addresses)]
    asked = individuals[individuals["answer"] != NAMED]
    unclear = asked[asked["answer"] == CANNOT_TELL]
    new = new_animals(individuals, seen)
    questions = open_questions(answers)
    pictured = [*listed["best_crop"].head(SHOWN), *(crop for animal in new for crop in animal["crops"])]
    pictured += [side["crop"] for question in questions[:ASKED] for side in question["sides"]]
    pictures = thumbnails(pictured, load)
    rows = animal_rows(individuals, listed.head(SHOWN + FOLDED), addresses)
    return {
        "sentence": sentence(individuals, seen, answers.grouped),
        "numbers": {
            "animals": f"{len(seen):,}",
            "new": f"{int((seen['answer'] == NEW).sum()):,}",
            "look": f"{len(unclear) + len(questions):,}",
            "count": interval(answers.count),
            "asked": bool(len(asked)),
        },
        "rows": rows[:SHOWN],
        "folded": rows[SHOWN:],
        "left": f"{len(listed) - len(rows):,}" if len(listed) > len(rows) else "",
        "unlisted": f"{len(seen) - len(listed):,}" if len(seen) > len(listed) else "",
        "new": [animal | {"page": addresses.get(animal["name"])} for animal in new],
        "new_left": f"{int((seen['answer'] == NEW).sum()) - len(new):,}",
        "questions": questions[:ASKED],
        "questions_left": f"{len(questions) - ASKED:,}" if len(questions) > ASKED else "",
        "unclear": unclear_rows(unclear),
        "reasons": [(reason or "no reason told", f"{n:,}") for reason, n in reasons(unclear)],
        "headline": answers.headline,
        "caveats": answers.caveats,
        "estimates": estimate_rows(answers.estimates),
        "trust": trust(answers.rehearsal),
        "pictures": pictures,
    }


def interval(count: Mapping[str, Any]) -> str:
    """Return the number of animals with its interval, `24 [22 to 27]`; empty where there is none."""
    n, low, high = (count.get(name) for name in ("n", "low", "high"))
    if n is None:
        return ""
    return f"{n:.0f}" + ("" if low is None or high is None else f" [{low:.0f} to {high:.0f}]")


def sentence(individuals: pd.DataFrame, seen: pd.DataFrame, grouped: int) -> str:
    """Say who was seen where and when, and why the review and the count have other numbers of animals."""
    if seen.empty:
        return "No animal has been identified."
    dates = individuals.loc[individuals["date"] != "", "date"]
    stations = individuals.loc[individuals["station"] != "", "station"].nunique()
    told = counted(len(seen), "animal was", "animals were") + " seen"
    told += f" at {counted(stations, 'station')}" if stations else ""
    told += f" between {day(dates.min())} and {day(dates.max())}" if len(dates) else ""
    new = int((seen["answer"] == NEW).sum())
    told += f"; {counted(new, 'of them is', 'of them are')} new." if new and new < len(seen) else "."
    asked = individuals[individuals["answer"] != NAMED]
    if asked.empty:
        return told + " All photos in use have names, so there was nothing to decide."
    answered = asked["answer"].value_counts()
    words = {KNOWN: "of named animals", NEW: "of new ones", CANNOT_TELL: "that nobody can tell yet"}
    said = [f"{answered[answer]:,} {text}" for answer, text in words.items() if answered.get(answer)]
    sightings = counted(len(asked), "sighting")
    told += f" Without a name were {sightings} (one flank in one encounter): {', '.join(said)}."
    if grouped == len(seen):
        return told
    return (
        f"{told} The likeliest grouping, those that nobody is sure of among them, is {counted(grouped, 'animal')}, and "
        "the review begins with it; the count allows for mistakes and for animals that no photo shows."
    )


def animal_rows(individuals: pd.DataFrame, seen: pd.DataFrame, addresses: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a row of the page for each of some animals."""
    units = individuals[individuals["individual"].isin(seen["individual"])]
    where = {name: visits_in_words(visits(mine)) for name, mine in units_by_animal(units).items()}
    rows = []
    for row in seen.to_dict("records"):
        rows.append(
            {
                "name": row["individual"],
                "page": addresses[row["individual"]],
                "answer": row["answer"],
                "first": day(row["first"]),
                "last": day(row["last"]),
                "where": where.get(row["individual"], ""),
                "counts": [f"{row[name]:,}" for name in ("encounters", "left", "right", "photos")],
                "asked": f"{row['asked']:,}" if row["asked"] else "–",
                "sure": sure(row["least_sure"]),
                "crop": row["best_crop"],
            }
        )
    return rows


def sure(probability: float) -> str:
    """Return a probability in words; a dash where there is none."""
    return "–" if probability != probability else percent(probability)


def new_animals(individuals: pd.DataFrame, seen: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the new animals that were seen most, each with its best photos, of both flanks in turn."""
    chosen = seen[seen["answer"] == NEW].sort_values("encounters", ascending=False, kind="stable").head(NEW_SHOWN)
    units = individuals[individuals["individual"].isin(chosen["individual"])]
    again = units.sort_values("photos", ascending=False, kind="stable").groupby(["individual", "side"]).cumcount()
    mine = by_animal(units.loc[again.sort_values(kind="stable").index])
    return [
        {
            "name": row["individual"],
            "crops": list(dict.fromkeys(unit["best_crop"] for unit in mine[row["individual"]] if unit["best_crop"]))[
                :PHOTOS
            ],
            "told": f"{counted(row['encounters'], 'encounter')}, {counted(row['photos'], 'photo')}, "
            f"{day(row['first'])} to {day(row['last'])}; {visits_in_words(visits(mine[row['individual']]))}",
            "sure": sure(row["least_sure"]),
        }
        for row in chosen.to_dict("records")
    ]


def open_questions(answers: Answers) -> list[dict[str, Any]]:
    """Return what to decide next, what changes most first, with both sides in words and the crop that shows them."""
    asked = answers.questions.sort_values("place", kind="stable").to_dict("records")
    wanted = {row[side] for row in asked for side in ("unit", "other")}
    units = answers.individuals[answers.individuals["unit"].isin(wanted)].sort_values("scope", kind="stable")
    known = {row["unit"]: row for row in units.to_dict("records")}  # of equal names survey's, which comes last
    rows = []
    for row in asked:
        sides = []
        for unit in (row["unit"], row["other"]):
            mine = known.get(unit, {"best_crop": "", "station": unit, "date": ""})
            told = " · ".join(filter(None, (mine["station"], mine["date"] and minute(mine["date"]))))
            sides.append({"crop": mine["best_crop"], "told": told})
        rows.append({"who": row["individual"], "sure": sure(row["probability"]), "why": row["why"], "sides": sides})
    return rows


def reasons(unclear: pd.DataFrame) -> list[tuple[str, int]]:
    """Count why nobody can tell, most frequent reason first."""
    kinds = unclear["reason"].str.split(":").str[0]
    return sorted(kinds.value_counts().items(), key=lambda item: (-item[1], item[0]))


def unclear_rows(unclear: pd.DataFrame) -> list[dict[str, str]]:
    """Return the sightings for which nobody can tell, as many as the page has room for."""
    return [
        {
            "when": minute(row["date"]),
            "where": row["station"] or "no station told",
            "side": row["side"],
            "photos": f"{row['photos']:,}",
            "reason": row["reason"],
            "perhaps": row["likeliest"],
        }
        for row in unclear.sort_values(["date", "unit"]).head(FOLDED).to_dict("records")
    ]


def estimate_rows(estimates: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the estimates of the number of animals as text."""
    return [
        {
            "population": row["population"],
            "estimator": ESTIMATORS.get(row["estimator"], row["estimator"]),
            "n": number(row["n"], 1),
            "interval": f"{number(row['low'], 1)} to {number(row['high'], 1)}" if row["low"] == row["low"] else "–",
            "counts": [number(row[name]) for name in ("animals", "captures", "occasions")],
            "carries_error": {"true": "yes", "false": "no"}.get(str(row["carries_error"]).lower(), ""),
            "note": row["note"],
        }
        for row in estimates.to_dict("records")
    ]


def trust(rehearsal: Mapping[str, Any]) -> list[str]:
    """Say in words how far the answers can be trusted: what the same decisions were worth on photos with names.

    Args:
        rehearsal: `rehearsal` of the metrics of the stage individuals; what it does not tell is not said.
    """
    told, units, share = [], rehearsal.get("units") or 0, rehearsal.get("share_decided")
    if not units or share is None:
        return told
    decided = round(units * share)
    told.append(
        f"Of {counted(units, 'sighting')}, {decided:,} were decided without a person, the others left to people."
    )
    known, new = (rehearsal.get(f"{answer}_wrong") for answer in (KNOWN, NEW))
    if decided and known is not None and new is not None:
        told.append(_right(decided, known, new))
    if rehearsal.get("sure_precision") is not None:
        together = _of_100(rehearsal["sure_precision"])
        told.append(f"Of 100 pairs of sightings that were put together alone, {together} do show one animal.")
    if rehearsal.get("pairwise_recall") is not None:
        told.append(f"Of 100 pairs that do show one animal, {_of_100(rehearsal['pairwise_recall'])} were put together.")
    if rehearsal.get("true") is not None and rehearsal.get("found") is not None:
        found = counted(rehearsal["found"], "animal was", "animals were")
        ghosts, merges = (counted(rehearsal.get(f"{error}s") or 0, error) for error in ("ghost", "merge"))
        told.append(
            f"With the likeliest answer also where nobody could tell, {found} found where there are "
            f"{rehearsal['true']:,}: {ghosts} (an animal in pieces, which makes a count too high) and {merges} "
            "(several animals in one, which makes it too low)."
        )
    return told


def _right(decided: int, known: int, new: int) -> str:
    """Say how many decisions were right, and where all were, how many may be wrong all the same (the rule of three)."""
    if not known + new:
        return (
            f"All {counted(decided, 'decision')} made alone were right; that many cannot rule out that "
            f"{min(100, math.ceil(300 / decided))} of 100 are wrong."
        )
    named = "1 sighting of a named one was" if new == 1 else f"{new:,} sightings of named ones were"
    return (
        f"Of 100 decisions made alone, {_of_100(1 - (known + new) / decided)} were right: "
        f"{counted(known, 'sighting')} got the name of a wrong animal, {named} called new."
    )


def _of_100(share: float) -> str:
    """Return a share as a number out of 100 that claims no more than it is: 99.6 is not `100`."""
    return (
        "all" if share == 1 else f"{min(100 * share, 99.9):.0f}" if share < 0.995 else f"{min(100 * share, 99.9):.1f}"
    )
