"""Detection score: every number by hand on four photos, and nulls where there is no truth."""

import pandas as pd
import pytest

from pelage.preprocess.detect import Animal, Sighting
from pelage.preprocess.detection_score import detection_metrics, pair_boxes

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
    left, front = Animal((0, 0, 100, 50), 0.9), Animal((200, 0, 40, 40), 0.8)
    wrong = Animal((10, 10, 80, 50), 0.7)
    ghost = Animal((0, 0, 5, 5), 0.6)
    face = ("face", 0, 0, 20, 10, 0.5, "left", 0)
    return [
        Sighting(
            [left, front],
            ["left", "unknown"],
            [("flank", 0, 0, 100, 50, 0.9, "left", 0), face, ("flank", 200, 0, 40, 40, 0.8, "unknown", 1)],
            [left],
        ),
        Sighting([wrong], ["left"], [("flank", 10, 10, 80, 50, 0.7, "left", 0)], [wrong]),
        Sighting([ghost], ["unknown"], [("flank", 0, 0, 5, 5, 0.6, "unknown", 0)], []),
        Sighting(reason="no animal"),
    ]


def test_by_hand():
    assert detection_metrics(PHOTOS, sightings(), TRUTH) == {
        "photos": 4,
        "photos_without_animal": 1,
        "photos_unreadable": 0,
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
    assert nulls == list(scored)[6:]
    assert {key: counted[key] for key in list(scored)[:6]} == {key: scored[key] for key in list(scored)[:6]}


def test_each_box_is_paired_once_for_the_most_overlap():
    found = [(0, 0, 10, 10), (2, 0, 10, 10)]
    assert [(i, j) for i, j, _ in pair_boxes(found, [(2, 0, 10, 10), (0, 0, 10, 10)])] == [(0, 1), (1, 0)]
    assert pair_boxes(found, [(100, 100, 5, 5)]) == []
    assert pair_boxes([], [(0, 0, 1, 1)]) == []
