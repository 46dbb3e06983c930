"""Which individual each animal of a photo is: what was decided of units, brought back to photos."""

from __future__ import annotations

import pandas as pd

from pelage.animals.histories import CANNOT_TELL
from pelage.common.tables import UNKNOWN

NAMES = ["individual", "probability", "answer", "decided_by", "side"]
"""What is known of an animal; empty where nothing is."""

SCOPES = ("named", "survey")
"""Units whose answers are results; those of the rehearsal are a test on photos that have names."""


def named_animals(
    animals: pd.DataFrame, detections: pd.DataFrame, unit_crops: pd.DataFrame, individuals: pd.DataFrame
) -> pd.DataFrame:
    """Return the animals with what is known of each, columns `NAMES`.

    That is what the unit of its crop says: a named one before others, a flank before a face. An animal that the source
    names, but whose crop nobody could compare, keeps the source's name.

    Args:
        animals: Rows of `data/animals.csv`.
        detections: Rows of `data/detections.csv`.
        unit_crops: Rows of `data/unit_crops.csv`: `scope, unit, crop_id`.
        individuals: Rows of `data/individuals.csv`, all text.
    """
    decided = individuals.loc[individuals["scope"].isin(SCOPES), ["scope", "unit", *NAMES]].copy()
    decided.loc[decided["answer"] == CANNOT_TELL, ["individual", "probability"]] = ""
    told = unit_crops.merge(decided, on=["scope", "unit"])
    told = told.merge(detections[["crop_id", "image_id", "animal", "part"]], on="crop_id")
    told = told.assign(rank=2 * (told["individual"] == "") + (told["part"] != "flank"))
    told = told.sort_values(["image_id", "animal", "rank", "crop_id"], kind="stable")
    first = told.drop_duplicates(["image_id", "animal"]).set_index(["image_id", "animal"])[NAMES]
    made = animals.join(first, on=["image_id", "animal"])
    by_source = made["individual"].isna() & (animals["identity"] != UNKNOWN) & (animals["identity"] != "")
    known = {
        "individual": animals["identity"],
        "answer": "named",
        "decided_by": "source",
        "side": animals["orientation"],
    }
    for name, value in known.items():
        made[name] = made[name].mask(by_source, value)
    return made.fillna(dict.fromkeys(NAMES, ""))
