"""Counts by camera: what became of each photo in detection, so that none is lost without a word."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pelage.common.errors import PelageError
from pelage.common.tables import UNKNOWN

PEOPLE = "people"
"""Reason in `data/rejected/detect.csv` of photos in which people were detected; no page shows these."""

CAMERA = ["place", "camera"]
ALWAYS = ("with_part", "no_part", "no_animal", "unreadable", PEOPLE)
"""What may become of a photo, each a column always; other reasons are columns where they occur."""

NUMBERS = dict.fromkeys([*ALWAYS, "photos", "animals", "named"], int)
WORDS = {
    "photos": "photos",
    "with_part": "with crops",
    "no_part": "animal, none of the parts",
    "no_animal": "no animal",
    "no_result": "not in the results file",
    "other_species": "other species only",
    PEOPLE: "people, set aside",
    "animals": "animals",
    "named": "of these named",
}
SHOWN, FOLDED = 50, 450
"""Cameras that a page shows at once, and that it shows when asked; the table on disk has all."""


def with_people(rejected: pd.DataFrame) -> set[str]:
    """Return the ids of photos that were set aside because of people, of rows of `data/rejected/detect.csv`."""
    return set(rejected.loc[rejected["reason"] == PEOPLE, "image_id"])


def fates(clean: pd.DataFrame, animals: pd.DataFrame, detections: pd.DataFrame, rejected: pd.DataFrame) -> pd.Series:
    """Return what became of each photo, `(N,)` words: the columns of `camera_counts`, each photo one of them.

    Args:
        clean: N rows of `data/clean.csv`.
        animals: Rows of `data/animals.csv`.
        detections: Rows of `data/detections.csv`.
        rejected: Rows of `data/rejected/detect.csv`; of several of one photo the first counts.

    Raises:
        PelageError: A photo is in none of the tables.
    """
    ids = clean["image_id"]
    fate = ids.map(rejected.drop_duplicates("image_id").set_index("image_id")["reason"].str.replace(" ", "_"))
    fate = fate.mask(ids.isin(animals["image_id"]), "no_part")
    fate = fate.mask(ids.isin(detections["image_id"]), "with_part")
    fate = fate.mask(ids.isin(with_people(rejected)), PEOPLE)
    if fate.isna().any():
        raise PelageError(
            f"data/clean.csv: photo {ids[fate.isna()].iloc[0]!r} is neither in data/animals.csv nor in "
            f"data/rejected/detect.csv (and {int(fate.isna().sum()) - 1} others). Run the stage detect again."
        )
    return fate.rename("fate")


def camera_counts(
    clean: pd.DataFrame, animals: pd.DataFrame, detections: pd.DataFrame, rejected: pd.DataFrame
) -> pd.DataFrame:
    """Count photos of each camera by what became of them, and its animals. Arguments as in `fates`.

    Returns:
        One row a camera, ordered by `place` and `camera`: `photos`; the columns of `ALWAYS` and other reasons, which
        add up to `photos`; `animals`, those without a part too, and how many of them are `named`.
    """
    fate = fates(clean, animals, detections, rejected)
    counted = pd.crosstab([clean["place"], clean["camera"]], fate)
    others = sorted(set(counted.columns) - set(ALWAYS))
    counted = counted.reindex(columns=[*ALWAYS, *others], fill_value=0)
    counted.insert(0, "photos", counted.sum(axis=1))
    seen = animals[["image_id", "identity"]].merge(clean[["image_id", *CAMERA]], on="image_id")
    seen = seen.assign(named=seen["identity"] != UNKNOWN).groupby(CAMERA)["named"].agg(["size", "sum"])
    seen = seen.reindex(counted.index, fill_value=0).astype(int)
    return counted.assign(animals=seen["size"], named=seen["sum"]).rename_axis(columns=None).reset_index()


def camera_page(counts: pd.DataFrame) -> dict[str, Any]:
    """Prepare counts for a page: cameras with the most photos without an animal first, and the sum of all.

    Args:
        counts: What `camera_counts` returns; columns that are 0 everywhere are left out.

    Returns:
        `sentence`, `headings`, `total` (cells), which cell is `empty` (photos without an animal), `shown` and `folded`
        (rows), and how many are `left` out. A row has `camera`, `cells`, and `empty`: its share of those in percent.
    """
    columns = [name for name in counts.columns if name not in CAMERA]
    columns = [name for name in columns if name in ("photos", "with_part", "no_animal") or counts[name].any()]
    worst = counts.sort_values(["no_animal", *CAMERA], ascending=[False, True, True], kind="stable")
    rows = [
        {
            "camera": " ".join(dict.fromkeys(filter(None, (row["place"], row["camera"])))) or "no camera told",
            "cells": [f"{row[name]:,}" for name in columns],
            "empty": f"{100 * row['no_animal'] / row['photos']:.1f}",
        }
        for row in worst.head(SHOWN + FOLDED).to_dict("records")
    ]
    total = counts[columns].sum()
    return {
        "sentence": sentence(counts),
        "headings": [WORDS.get(name, name.replace("_", " ")) for name in columns],
        "total": [f"{total[name]:,}" for name in columns],
        "empty": columns.index("no_animal"),
        "shown": rows[:SHOWN],
        "folded": rows[SHOWN:],
        "left": f"{len(counts) - len(rows):,}" if len(counts) > len(rows) else "",
    }


def sentence(counts: pd.DataFrame) -> str:
    """Say in words what became of all photos."""
    total = counts[[name for name in counts.columns if name not in CAMERA]].sum()
    found = total["with_part"] + total["no_part"]
    told = f"An animal was found on {found:,} of {total['photos']:,} photos"
    if total["no_part"]:
        told += f", but on {total['no_part']:,} of these none shows a part that is looked for"
    told += f"; {total['no_animal']:,} show no animal"
    if found + total["no_animal"] < total["photos"]:
        told += ", the others have other reasons"
    return told + "."
