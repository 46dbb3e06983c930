"""Detection score: every number by hand on four photos, and nulls where there is no truth."""

import numpy as np
import pandas as pd
import pytest

from pelage.common.images import write_png
from pelage.preprocess.detect import Animal, Sighting
from pelage.preprocess.detection_score import detection_metrics, name_metrics, shared_metrics

TRUTH = pd.DataFrame(
    [
        ("a", "left", 0, 0, 100, 50, 0, 0, 20, 20),
        ("a", "front", 200, 0, 40, 80, 205, 5, 30, 30),
        ("b", "right", 10, 10, 100, 50, None, None, None, None),
        ("d", "right", 0, 0, 10, 10, None, None, None, None),
        ("not in the table", "right", 0, 0, 10, 10, None, None, None, None),
    ],
    columns=["image_id", "orientation", "x", "y", "w", "h", "face_x", "face_y", "face_w", "face_h"],
).astype(dict.fromkeys(["face_x", "face_y", "face_w", "face_h"], float))
PHOTOS = pd.DataFrame({"image_id": ["a", "b", "c", "d"]})


def sightings():
    left, front = Animal((0, 0, 100, 50), 0.9, "saliency"), Animal((200, 0, 40, 40), 0.8, "saliency")
    wrong = Animal((10, 10, 80, 50), 0.7, "saliency")
    ghost = Animal((0, 0, 5, 5), 0.6, "saliency")
    face = ("face", 0, 0, 20, 10, 0.5, "left", 0)
    return [
        Sighting(
            (300, 200),
            [left, front],
            ["left", "unknown"],
            [("flank", 0, 0, 100, 50, 0.9, "left", 0), face, ("flank", 200, 0, 40, 40, 0.8, "unknown", 1)],
            [left],
        ),
        Sighting((300, 200), [wrong], ["left"], [("flank", 10, 10, 80, 50, 0.7, "left", 0)], [wrong]),
        Sighting((300, 200), [ghost], ["unknown"], [("flank", 0, 0, 5, 5, 0.6, "unknown", 0)], []),
        Sighting(reason="no animal"),
    ]


def test_by_hand():
    assert detection_metrics(PHOTOS, sightings(), TRUTH) == {
        "photos": 4,
        "photos_without_animal": 1,
        "photos_without_part": 0,
        "photos_unreadable": 0,
        "photos_with_people": 0,
        "photos_without_result": 0,
        "animals": 4,
        "detections": {"flank": 4, "face": 1},
        "flank_orientation": {"left": 2, "right": 0, "unknown": 2},
        "mean_iou": pytest.approx((1 + 0.5 + 0.8 + 0) / 4),
        "share_over_half": 0.75,
        "precision": 0.75,
        "empty_photos_with_detection": 1.0,
        "mean_iou_without_median": pytest.approx((1 + 0 + 0.8 + 0) / 4),
        "share_over_half_without_median": 0.5,
        "precision_without_median": 1.0,
        "empty_photos_with_detection_without_median": 0.0,
        "side_accuracy": 0.5,
        "side_undecided": 0.0,
        "ends_taken_for_flanks": 1.0,
        "face_recall": 0.5,
        "face_precision": 1.0,
    }


def test_without_truth_the_same_keys_and_nulls():
    scored, counted = (detection_metrics(PHOTOS, sightings(), truth) for truth in (TRUTH, TRUTH.iloc[:0]))
    assert list(scored) == list(counted)
    nulls = [key for key, value in counted.items() if value is None]
    assert nulls == list(scored)[9:]
    assert {key: counted[key] for key in list(scored)[:6]} == {key: scored[key] for key in list(scored)[:6]}


def animals_of(*rows):
    columns = ["image_id", "animal", "x", "y", "w", "h", "identity", "claimed", "shared"]
    return pd.DataFrame(rows, columns=columns)


def test_names_by_hand():
    animals = animals_of(
        ("a", 0, 0, 0, 100, 50, "L1", "box", False),
        ("a", 1, 200, 0, 40, 80, "L2", "alone", True),
        ("b", 0, 10, 10, 100, 50, "unknown", "several_animals", False),
        ("d", 0, 50, 50, 10, 10, "L3", "alone", False),
    )
    truth = TRUTH.assign(identity=["L1", "L9", "L1", "L3", "L4"])
    found = name_metrics(animals, truth)
    assert found["claimed"] == {
        "box": 1, "alone": 2, "nobody": 0, "several_animals": 1, "several_names": 0, "conflict": 0,
    }  # fmt: skip
    assert found["animals_shared"] == 1
    assert found["named_right"] == 0.5  # of the two named ones that are where a true animal is
    assert name_metrics(animals, truth.iloc[:0])["named_right"] is None


def test_shared_crops_by_hand(tmp_path):
    """Two true animals side by side under three boxes, one of them around both, and a photo of one animal.

    Crops 0 and 2 hold a tenth of the second animal, crop 3 half of either; 1 shows the second alone, 4 its only one.
    """
    for number, columns in enumerate([slice(0, 100), slice(100, 200)]):
        mask = np.zeros((100, 300), np.uint8)
        mask[:, columns] = 255
        write_png(tmp_path / f"{number}.png", mask)
    true = [("p", 0, 0, 100, 100, "0.png"), ("p", 100, 0, 100, 100, "1.png"), ("q", 0, 0, 50, 50, "")]
    truth = pd.DataFrame(true, columns=["image_id", *"xywh", "mask"])
    animals = animals_of(
        ("p", 0, 0, 0, 100, 100, "L1", "box", False),
        ("p", 1, 100, 0, 100, 100, "L2", "box", False),
        ("p", 2, 0, 0, 200, 100, "L1", "box", True),
        ("q", 0, 0, 0, 50, 50, "unknown", "nobody", True),
        ("r", 0, 0, 0, 50, 50, "L3", "alone", True),
    )
    crops = [
        *(("p", 0, 0, 0, 111, 100, True), ("p", 1, 120, 0, 80, 100, False), ("p", 0, 40, 0, 70, 100, False)),
        *(("p", 2, 0, 0, 200, 100, True), ("q", 0, 0, 0, 50, 50, True), ("r", 0, 0, 0, 50, 50, True)),
    ]
    detections = pd.DataFrame(crops, columns=["image_id", "animal", *"xywh", "shared"])
    photos = pd.DataFrame({"image_id": ["p", "q", "r"], "width": [300] * 3, "height": [100] * 3})
    assert shared_metrics(detections, animals, photos, truth, tmp_path, 0.0) == {
        "crops_shared": 4,
        "crops_shared_by_truth": 3,
        "shared_precision": pytest.approx(2 / 3, abs=1e-4),  # of those marked whose truth is known
        "shared_recall": pytest.approx(2 / 3, abs=1e-4),
        "shared_in_use": 1,
        "shared_in_use_share": 0.5,
        "animals_of_two": 1,
        "animals_of_two_marked": 1.0,
    }
    blind = shared_metrics(detections, animals, photos, truth.iloc[:0], tmp_path, 0.0)
    assert blind.pop("crops_shared") == 4 and set(blind.values()) == {None} and len(blind) == 7
