"""Scores of names, by hand."""

import numpy as np
import pytest

from pelage.matching.naming import name_scores


def test_best_photo_and_mean_of_photos():
    score, name = np.array([1.0, 4.0, 3.0]), np.array([0, 0, 2])
    assert name_scores(score, name, 3, "max").tolist() == [4, -np.inf, 3]
    assert name_scores(score, name, 3, "mean").tolist() == [2.5, -np.inf, 3]


def test_a_keypoint_votes_once_for_a_name():
    # keypoint 0 matches two photos of name 0, keypoint 1 one photo of each name
    score, name = np.array([2.0, 5.0, 1.0, 3.0]), np.array([0, 0, 0, 1])
    assert name_scores(score, name, 3, "nsum", keypoint=np.array([0, 0, 1, 1])).tolist() == [6, 3, 0]
    with pytest.raises(ValueError, match="keypoint"):
        name_scores(score, name, 3, "nsum")
