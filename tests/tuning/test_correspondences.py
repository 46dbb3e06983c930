"""What geometry tells of keypoints: planted homographies, planted outliers, and pairs that cannot be verified."""

import cv2
import numpy as np
import pytest

from pelage.matching.learned.features import LearnedFeatures
from pelage.matching.learned.lightglue import PairMatches
from pelage.tuning.correspondences import NONE, UNKNOWN, of_different_animals, of_same_animal

SIZE = (600, 400)
WARP = np.array([[0.9, 0.08, 20], [-0.05, 1.05, 3], [1e-4, 5e-5, 1]])


def crop(xy: np.ndarray) -> LearnedFeatures:
    return LearnedFeatures(xy.astype(np.float32), np.zeros((len(xy), 4), np.float16), np.ones(len(xy)), SIZE)


def warped(xy: np.ndarray) -> np.ndarray:
    return cv2.perspectiveTransform(xy[None].astype(float), WARP)[0]


@pytest.fixture
def planted():
    """60 spots in both crops in another order, then 20 in one of them only, far from all others."""
    grid = np.stack(np.meshgrid(np.linspace(60, 500, 10), np.linspace(40, 300, 8)), axis=-1).reshape(-1, 2)
    grid = np.random.default_rng(0).permutation(grid)
    order = np.random.default_rng(1).permutation(60)
    partner = np.argsort(order)
    query, candidate = crop(grid), crop(np.concatenate([warped(grid[:60])[order], [[590.0, 395.0]]]))
    return query, candidate, partner


def matches(query: np.ndarray, candidate: np.ndarray) -> PairMatches:
    return PairMatches(query, candidate, np.ones(len(query), np.float32))


def test_a_homography_finds_all_that_are_the_same_and_those_that_are_alone(planted):
    query, candidate, partner = planted
    some = np.arange(25)  # of the 60, and ten wrong ones
    wrong = np.arange(60, 70), np.arange(10)
    found = matches(np.r_[some, wrong[0]], np.r_[partner[some], wrong[1]])
    truth = of_same_animal(query, candidate, found)
    assert truth.query[:60].tolist() == partner.tolist()
    assert (truth.query[60:] == NONE).all()
    assert truth.candidate[partner].tolist() == list(range(60)) and truth.candidate[60] == NONE


def test_what_lies_between_near_and_far_is_unknown(planted):
    query, candidate, partner = planted
    moved = candidate.xy.copy()
    diagonal = np.hypot(*SIZE)
    moved[partner[50]] += 0.02 * diagonal / np.sqrt(2)
    truth = of_same_animal(query, crop(moved), matches(np.arange(40), partner[:40]))
    assert truth.query[50] == UNKNOWN == truth.candidate[partner[50]]


def test_matches_that_agree_are_believed_where_the_coat_is_stretched(planted):
    query, candidate, partner = planted
    moved = candidate.xy.copy()
    moved[partner[7]] += 0.015 * np.hypot(*SIZE) / np.sqrt(2)  # further than SAME, but the network matched them
    truth = of_same_animal(query, crop(moved), matches(np.arange(40), partner[:40]))
    assert truth.query[7] == partner[7] and truth.candidate[partner[7]] == 7


def test_partners_are_mutual_for_any_input():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        start = rng.uniform([20, 20], [580, 380], (50, 2))
        end = warped(start) + rng.normal(scale=4, size=start.shape)
        truth = of_same_animal(crop(start), crop(end), matches(np.arange(30), np.arange(30)))
        if truth is not None:
            for one, other in ((truth.query, truth.candidate), (truth.candidate, truth.query)):
                known = np.flatnonzero(one >= 0)
                assert (other[one[known]] == known).all()
                assert len(set(one[known])) == len(known)


@pytest.mark.parametrize("count", [0, 3, 14])
def test_few_matches_verify_nothing(planted, count):
    query, candidate, partner = planted
    assert of_same_animal(query, candidate, matches(np.arange(count), partner[:count])) is None


def test_scattered_matches_and_matches_beyond_the_keypoints_verify_nothing(planted):
    query, candidate, _ = planted
    rng = np.random.default_rng(2)
    assert of_same_animal(query, candidate, matches(rng.permutation(60)[:30], rng.permutation(60)[:30])) is None
    assert of_same_animal(query, candidate, matches(np.arange(100, 130), np.arange(30))) is None
    same = crop(np.ones((40, 2)))
    assert of_same_animal(same, same, matches(np.arange(40), np.arange(40))) is None


def test_different_animals_have_nothing_in_common(planted):
    query, candidate, _ = planted
    truth = of_different_animals(query, candidate)
    assert (truth.query == NONE).all() and (truth.candidate == NONE).all()
    assert (len(truth.query), len(truth.candidate)) == (80, 61)
