"""Make the split table: every detected crop with its label and subset, drawn from a seed or read from a column.

`train` holds encounters of the known individuals and is their gallery; `val` and `test` hold other encounters of them
and individuals kept out altogether; `survey` holds the crops that nobody named, and `none` what is not used.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pelage.catalogue.belonging import groups
from pelage.catalogue.clocks import right_dates
from pelage.common.errors import PelageError
from pelage.common.tables import UNKNOWN
from pelage.split.draw import draw_subsets, draw_val
from pelage.split.protocols import SPLIT_COLUMNS, SURVEY

NAMED = ("train", "val", "test")
SUBSETS = (*NAMED, SURVEY, "none")
PHOTOS = "data/clean.csv"
DETECTION_NUMBERS = {"shared": bool}
DETECTION_COLUMNS = ["crop_id", "image_id", "part", "orientation", "animal", "shared"]
ANIMAL_COLUMNS = ["image_id", "animal", "identity"]
PHOTO_COLUMNS = ["image_id", "encounter", "place", "night", "camera", "station", "date", "sha256", "phash"]


def crop_table(
    photos: pd.DataFrame, animals: pd.DataFrame, detections: pd.DataFrame, keep_shared: bool = False
) -> pd.DataFrame:
    """Join crops with their animals and photos and give each its label, in `crop_id` order.

    The label is what is learnt: `identity:orientation` for flanks (the two flanks of an animal carry different
    patterns), `identity` for other parts. `usable` tells which crops show no other animal, `used` which of these may
    train and be judged: those of named animals.

    Args:
        photos: Rows of `data/clean.csv` (columns `PHOTO_COLUMNS`).
        animals: Rows of `data/animals.csv` (columns `ANIMAL_COLUMNS`).
        keep_shared: Crops that show another animal as well may be used, too.
        detections: Rows of `data/detections.csv` (columns `DETECTION_COLUMNS`); its orientation is the one that counts.

    Raises:
        PelageError: There is no crop, or a crop of a photo that is not in `photos`.
    """
    if detections.empty:
        raise PelageError(
            "data/detections.csv has no crop, so nothing can be learnt. See data/rejected/clean.csv and "
            "data/rejected/detect.csv for the reasons, and relax the sections clean and detect of params.yaml."
        )
    absent = ~detections["image_id"].isin(photos["image_id"])
    if absent.any():
        row = int(absent.to_numpy().argmax())
        raise PelageError(
            f"data/detections.csv, row {row + 2}: the photo {detections['image_id'].iloc[row]!r} is not in {PHOTOS}. "
            "Run the stage detect again."
        )
    crops = detections[DETECTION_COLUMNS].merge(photos[PHOTO_COLUMNS], on="image_id", validate="many_to_one")
    crops = crops.merge(animals[ANIMAL_COLUMNS], "left", on=["image_id", "animal"], validate="many_to_one")
    if crops["identity"].isna().any():
        row = crops[crops["identity"].isna()].iloc[0]
        raise PelageError(
            f"data/detections.csv: the animal {row['animal']} of the crop {row['crop_id']!r} is not in "
            "data/animals.csv. Run the stage detect again."
        )
    crops["usable"] = keep_shared | ~crops["shared"]
    crops["used"] = crops["usable"] & (crops["identity"] != UNKNOWN)
    crops["label"] = crops["identity"].where(
        (crops["part"] != "flank") | (crops["identity"] == UNKNOWN), crops["identity"] + ":" + crops["orientation"]
    )
    return crops.sort_values("crop_id", ignore_index=True)


def drawn_split(
    crops: pd.DataFrame, clocks: pd.DataFrame, bits: int, revisit_gap_s: float, seed: int, **shares: float
) -> pd.DataFrame:
    """Draw the split. All named crops are in train where nobody can be recognised again (`lacking`).

    Args:
        crops: As `crop_table` makes them.
        clocks: Rows of `data/clocks.csv`: clocks that are set right.
        bits: Hamming distance up to which photos of an individual are one view and stay together.
        revisit_gap_s: Seconds within which an individual that comes back to a place is one sighting.
        seed: Draws differ by it.
        shares: `novel`, `val_novel`, `val` and `test` as in `draw_subsets`.

    Returns:
        The table of `data/split.csv`.
    """
    crops = _grouped(crops, clocks, bits, revisit_gap_s)
    visits = _visits(crops[crops["used"]])
    drawn = dict.fromkeys(visits["group"], "train") if lacking(visits) else draw_subsets(visits, seed, **shares)
    return _table(crops, visits["group"].map(drawn), published=False)


def lacking(crops: pd.DataFrame) -> str:
    """Say why nobody can be recognised again, so that there is nothing to learn and to judge; empty where it can be.

    Args:
        crops: Those of named animals: columns `identity` and `group`.
    """
    individuals = crops["identity"].nunique()
    if individuals < 2:
        return (
            f"{PHOTOS} has crops of {individuals} known individual(s); learning to tell them apart takes two at least. "
            "If there are more, fill the column identity."
        )
    if crops.groupby("identity")["group"].nunique().max() < 2:
        return (
            f"{PHOTOS}: none of its {individuals} individuals was photographed in two encounters (photos of one "
            "encounter, of one individual at one place on one day or in one night, near-equal photos, and undated "
            "photos of one folder with consecutive numbers count once), so nobody can be recognised again. If some "
            "were, check the columns date, station, sequence and encounter, split.burst_gap_s and split.revisit_gap_s."
        )
    return ""


def published_split(
    crops: pd.DataFrame,
    clocks: pd.DataFrame,
    photos: pd.DataFrame,
    column: str,
    bits: int,
    revisit_gap_s: float,
    seed: int,
    val: float,
) -> pd.DataFrame:
    """Take the split from a column of the source table that says train, test, or val; empty is in no subset.

    When the column has no val, a share of each individual's train encounters becomes val; these crops stay in the
    gallery of the closed and open protocols, so that published numbers stay comparable.

    Args:
        crops, clocks, bits, revisit_gap_s, seed, val: As in `drawn_split`.
        photos: Rows of `data/clean.csv`, with the column.
        column: Its name.

    Returns:
        The table of `data/split.csv`.

    Raises:
        PelageError: The column is missing, has another value, or trains fewer than two individuals or tests none.
    """
    if not column or column not in photos:
        raise PelageError(
            f"split.source is column, but {PHOTOS} has no column {column!r}. Name one of its columns in the data set's "
            "split_column in params.yaml, or set split.source to drawn."
        )
    wrong = ~photos[column].isin(["", "train", "val", "test"])
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise PelageError(
            f"{PHOTOS}, row {row + 2}: {column} is {photos[column].iloc[row]!r}; it must be train, val, test or empty "
            f"({int(wrong.sum())} rows have other values). Mend the source table, or set split.source to drawn."
        )
    values = crops["image_id"].map(photos.set_index("image_id")[column])
    subset = values.where(crops["used"] & (values != ""))
    train = crops[subset == "train"]
    individuals, asked = train["identity"].nunique(), int((subset == "test").sum())
    if individuals < 2 or asked == 0:
        raise PelageError(
            f"{PHOTOS}: {column} puts crops of {individuals} known individual(s) in train and {asked} in test; it "
            "takes two individuals to learn and one crop to test. Mend the column, or set split.source to drawn."
        )
    crops = _grouped(crops, clocks, bits, revisit_gap_s)
    if not (subset == "val").any():
        visits = _visits(crops.loc[train.index])
        subset = visits["group"].map(draw_val(visits, seed, val)).reindex(crops.index).fillna(subset)
    table = _table(crops, subset, published=True)
    table["gallery"] |= (table["subset"] == "val") & (values == "train")
    return table


def split_metrics(split: pd.DataFrame) -> dict[str, int | float | None]:
    """Count what each subset holds; `test_labels_in_train` is the share of known test crops whose label is in train."""
    rows = {subset: split[split["subset"] == subset] for subset in SUBSETS}
    metrics: dict[str, int | float | None] = {}
    for subset, held in rows.items():
        metrics[f"{subset}_crops"] = len(held)
        if subset != "none":
            metrics[f"{subset}_encounters"] = held["encounter"].nunique()
        if subset in NAMED:
            metrics[f"{subset}_individuals"] = held["identity"].nunique()
    for subset in ("val", "test"):
        metrics[f"{subset}_novel_individuals"] = rows[subset].loc[~rows[subset]["known"], "identity"].nunique()
    asked = rows["test"][rows["test"]["known"]]
    learnt = asked["label"].isin(rows["train"]["label"])
    metrics["test_labels_in_train"] = round(float(learnt.mean()), 4) if len(asked) else None
    return metrics


def _grouped(crops: pd.DataFrame, clocks: pd.DataFrame, bits: int, revisit_gap_s: float) -> pd.DataFrame:
    """Give crops their group; that of a crop of nobody known is its encounter, or what named photos of it belong to."""
    known = crops[crops["identity"] != UNKNOWN]
    seen = known.drop_duplicates(["image_id", "identity"])
    group = groups(seen.assign(date=right_dates(seen, clocks)), bits, revisit_gap_s)
    of_encounter = group.set_axis(seen["encounter"]).loc[lambda own: ~own.index.duplicated()]
    return crops.assign(group=crops["encounter"].map(of_encounter).fillna(crops["encounter"]))


def _visits(crops: pd.DataFrame) -> pd.DataFrame:
    told = (crops["part"] != "flank") | (crops["orientation"] != UNKNOWN)
    label = (crops["part"] + " " + crops["label"]).where(told, "")
    return pd.DataFrame({"identity": crops["identity"], "label": label, "group": crops["group"]})


def _table(crops: pd.DataFrame, subset: pd.Series, published: bool) -> pd.DataFrame:
    asked = crops["usable"] & (crops["identity"] == UNKNOWN)
    rest = pd.Series(np.where(asked, SURVEY, "none"), crops.index)
    table = crops.assign(subset=subset.reindex(crops.index).fillna(rest), published=published)
    table["known"] = table["identity"].isin(table.loc[table["subset"] == "train", "identity"])
    table["gallery"] = np.asarray(table["subset"] == "train")
    return table[SPLIT_COLUMNS]
