"""Detection score: what detect found against a survey's truth, photo by photo. Scores only; decides nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pelage.common.images import read_image
from pelage.common.tables import PARTS, UNKNOWN
from pelage.preprocess.animals import WITHIN, name_counts
from pelage.preprocess.boxes import HIT, covered, cut, pad_box, pair_boxes
from pelage.preprocess.detect import Animal, Sighting

BOX = ["x", "y", "w", "h"]
REASONS = {
    "photos_without_animal": "no animal",
    "photos_without_part": "no part",
    "photos_unreadable": "unreadable",
    "photos_with_people": "people",
    "photos_without_result": "no_result",
}
"""Counts, and the reason of each in `data/rejected/detect.csv`."""

HOLDS = 0.02
"""Share of a crop that are pixels of another animal from which on it shows both."""

FACE_HIT = 0.3
"""Overlap from which on a box has found an animal, or a face (whose true extent is a matter of taste)."""


def detection_metrics(photos: pd.DataFrame, sightings: Sequence[Sighting], truth: pd.DataFrame) -> dict[str, Any]:
    """Return counts, and scores where `truth` has rows, with the same keys always.

    Args:
        photos: The rows of `clean.csv` that `sightings` belong to.
        sightings: What `detect` returned.
        truth: `truth.csv`, numbers as floats; rows of other photos are not looked at.
    """
    parts = Counter(row[0] for sighting in sightings for row in sighting.rows)
    orientations = Counter(row[6] for sighting in sightings for row in sighting.rows if row[0] == "flank")
    counts = {
        "photos": len(photos),
        **{name: sum(sighting.reason == reason for sighting in sightings) for name, reason in REASONS.items()},
        "animals": sum(len(sighting.animals) for sighting in sightings),
        "detections": {part: parts[part] for part in PARTS},
        "flank_orientation": {side: orientations[side] for side in ("left", "right", "unknown")},
    }
    known = len(truth) > 0
    rows, none = dict(list(truth.groupby("image_id"))), truth.iloc[:0]
    true = [rows.get(image_id, none) for image_id in photos["image_id"]]
    if not known:  # nothing to pair, whatever the number of photos
        sightings, true = (), ()
    with_background = box_metrics([sighting.animals for sighting in sightings], true, known)
    without = box_metrics([sighting.alone for sighting in sightings], true, known)
    without = {f"{name}_without_median": value for name, value in without.items()}
    return {**counts, **with_background, **without, **side_metrics(sightings, true), **face_metrics(sightings, true)}


def box_metrics(found: Sequence[Sequence[Animal]], true: Sequence[pd.DataFrame], known: bool) -> dict[str, Any]:
    """Return how well animals' boxes were found; every value null unless the truth is `known`.

    `mean_iou` and `share_over_half` are over true animals (one that was missed counts 0), `precision` over found ones.
    """
    best, found_count, hits = [], 0, 0
    empty = empty_found = 0
    for animals, table in zip(found, true, strict=True):
        overlaps = np.zeros(len(table))
        for _, j, overlap in pair_boxes([animal.box for animal in animals], table[["x", "y", "w", "h"]].to_numpy()):
            overlaps[j] = overlap
        best += list(overlaps)
        hits += int((overlaps >= HIT).sum())
        found_count += len(animals)
        empty += len(table) == 0
        empty_found += len(table) == 0 and len(animals) > 0
    return {
        "mean_iou": share(sum(best), len(best)) if known else None,
        "share_over_half": share(sum(value >= HIT for value in best), len(best)) if known else None,
        "precision": share(hits, found_count) if known else None,
        "empty_photos_with_detection": share(empty_found, empty) if known else None,
    }


def side_metrics(sightings: Sequence[Sighting], true: Sequence[pd.DataFrame]) -> dict[str, Any]:
    """Return how often a told side is true, how often none was told, and how often a front or back became a flank."""
    told = right = sided = undecided = ends = ends_with_flank = 0
    for sighting, table in zip(sightings, true, strict=True):
        boxes = [animal.box for animal in sighting.animals]
        for i, j, overlap in pair_boxes(boxes, table[["x", "y", "w", "h"]].to_numpy()):
            if overlap < HIT:
                continue
            judged, actual = sighting.orientations[i], table["orientation"].iloc[j]
            told += judged in ("left", "right")
            right += judged in ("left", "right") and judged == actual
            sided += actual in ("left", "right")
            ends += actual in ("front", "back")
            flanks = {row[7] for row in sighting.rows if row[0] == "flank"}
            ends_with_flank += actual in ("front", "back") and i in flanks
            undecided += actual in ("left", "right") and judged not in ("left", "right")
    return {
        "side_accuracy": share(right, told),
        "side_undecided": share(undecided, sided),
        "ends_taken_for_flanks": share(ends_with_flank, ends),
    }


def face_metrics(sightings: Sequence[Sighting], true: Sequence[pd.DataFrame]) -> dict[str, Any]:
    """Return recall and precision of face boxes at an overlap of `FACE_HIT`."""
    hits = found_count = true_count = 0
    for sighting, table in zip(sightings, true, strict=True):
        found = [row[1:5] for row in sighting.rows if row[0] == "face"]
        faces = table[["face_x", "face_y", "face_w", "face_h"]].dropna().to_numpy()
        hits += sum(overlap >= FACE_HIT for _, _, overlap in pair_boxes(found, faces))
        found_count += len(found)
        true_count += len(faces)
    known = true_count > 0
    return {
        "face_recall": share(hits, true_count) if known else None,
        "face_precision": share(hits, found_count) if known else None,
    }


def name_metrics(animals: pd.DataFrame, truth: pd.DataFrame) -> dict[str, Any]:
    """Return how many animals got their name in which way and, where the truth is known, how often it is the right one.

    Args:
        animals: Rows of `data/animals.csv`.
        truth: Rows of `truth.csv`, numbers as floats.
    """
    counts = {"claimed": dict(name_counts(animals)), "animals_shared": int(animals["shared"].sum())}
    named = animals[animals["identity"] != UNKNOWN]
    rows = dict(list(truth.groupby("image_id")))
    right = met = 0
    for image_id, mine in named[named["image_id"].isin(rows.keys())].groupby("image_id", sort=False):
        real = rows[image_id]
        for i, j, overlap in pair_boxes(mine[BOX].to_numpy(float), real[BOX].to_numpy(float)):
            met += overlap >= HIT
            right += overlap >= HIT and mine["identity"].iloc[i] == real["identity"].iloc[j]
    return {**counts, "named_right": share(right, met)}


def shared_metrics(
    detections: pd.DataFrame,
    animals: pd.DataFrame,
    photos: pd.DataFrame,
    truth: pd.DataFrame,
    masks: Path,
    padding: float,
) -> dict[str, Any]:
    """Return how many crops are marked as showing another animal and, by the truth, how many do.

    By the truth a crop is shared when `HOLDS` of it are pixels of an animal other than the one that it is of. In use
    are crops of named animals that are not marked: `shared_in_use` of them are shared by the truth. An animal is two
    (`animals_of_two`) when its box holds half of the boxes of two true ones.

    Args:
        detections, animals, photos: Rows of `detections.csv`, `animals.csv` and `clean.csv`.
        truth: Rows of `truth.csv`, numbers as floats.
        masks: Folder of the true masks.
        padding: `crop.padding`.
    """
    known = len(truth) > 0
    named = animals.set_index(["image_id", "animal"])["identity"] != UNKNOWN
    crops = detections[detections["image_id"].isin(truth["image_id"])].reset_index(drop=True)
    marked = crops["shared"].to_numpy(bool)
    used = named.reindex(pd.MultiIndex.from_frame(crops[["image_id", "animal"]])).to_numpy(bool) & ~marked
    real = np.zeros(len(crops), bool)
    several = truth[truth["image_id"].duplicated(keep=False)]
    sizes = photos.set_index("image_id")[["width", "height"]].astype(int)
    boxes, mine = dict(list(animals.groupby("image_id"))), crops.groupby("image_id").indices
    two = two_marked = 0
    for image_id, rows in several.groupby("image_id", sort=False):
        if image_id not in boxes:
            continue
        found, true_boxes = boxes[image_id][BOX].to_numpy(float), rows[BOX].to_numpy(float)
        both = (covered(true_boxes, found) >= WITHIN).sum(axis=0) > 1
        two += int(both.sum())
        two_marked += int((both & boxes[image_id]["shared"].to_numpy(bool)).sum())
        true_masks = [read_image(masks / name) > 0 for name in rows["mask"]]
        own = {i: j for i, j, _ in pair_boxes(found, true_boxes)}
        for place in mine.get(image_id, ()):
            crop = crops.iloc[place]
            window = pad_box(tuple(crop[BOX]), padding, *sizes.loc[image_id])
            held = np.array([cut(mask, window).mean() for mask in true_masks])
            held[own.get(crop["animal"], int(held.argmax()))] = 0
            real[place] = held.max() > HOLDS
    return {
        "crops_shared": int(detections["shared"].sum()),
        "crops_shared_by_truth": int(real.sum()) if known else None,
        "shared_precision": share((real & marked).sum(), int(marked.sum())),
        "shared_recall": share((real & marked).sum(), int(real.sum())),
        "shared_in_use": int((real & used).sum()) if known else None,
        "shared_in_use_share": share((real & used).sum(), int(used.sum())),
        "animals_of_two": two if known else None,
        "animals_of_two_marked": share(two_marked, two),
    }


def share(part: float, whole: int) -> float | None:
    """Return `part / whole` to 4 decimals, or None of nothing."""
    return round(float(part) / whole, 4) if whole else None
