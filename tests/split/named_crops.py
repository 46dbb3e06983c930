"""Crops of photos that each show one animal, whose name stands in the photo table of a test."""

import pandas as pd

from pelage.split.assign import crop_table


def named_crops(clean: pd.DataFrame, detections: pd.DataFrame) -> pd.DataFrame:
    """Return `crop_table` of photos with a column `identity`: that of all their animals."""
    animals = detections[["image_id", "animal"]].drop_duplicates().merge(clean[["image_id", "identity"]], "left")
    detections = detections if "shared" in detections else detections.assign(shared=False)
    return crop_table(clean.drop(columns="identity"), animals, detections)
