"""What an epoch sees of a pair: fewer keypoints at other places, and nothing that is not true of the whole pair."""

import numpy as np
import pytest

from pelage.matching.learned.features import LearnedFeatures
from pelage.tuning.correspondences import NONE, UNKNOWN, Correspondences
from pelage.tuning.pairs import LearntPair
from pelage.tuning.variation import varied

SIZE = (600, 400)


def crop(count: int, seed: int) -> LearnedFeatures:
    """The first value of a descriptor is the keypoint's number."""
    xy = np.random.default_rng(seed).uniform([0, 0], SIZE, (count, 2)).astype(np.float32)
    numbers = np.arange(count, dtype=np.float16)[:, None]
    return LearnedFeatures(xy, numbers, np.linspace(1, 0.5, count, dtype=np.float32), SIZE)


@pytest.fixture
def pair() -> LearntPair:
    """Keypoints 0 to 9 of the query are 19 to 10 of the candidate, 10 to 19 have none, others are unknown."""
    query, candidate = np.full(30, UNKNOWN), np.full(25, UNKNOWN)
    query[:10], candidate[np.arange(19, 9, -1)] = np.arange(19, 9, -1), np.arange(10)
    query[10:20], candidate[:5] = NONE, NONE
    return LearntPair(crop(30, 0), crop(25, 1), Correspondences(query, candidate), True)


def drawn(features: LearnedFeatures) -> list[int]:
    return features.descriptors[:, 0].astype(int).tolist()


@pytest.mark.parametrize("keypoints", [1, 7, 12, 24, 99])
def test_truth_follows_the_keypoints_that_are_drawn(pair, keypoints):
    for seed in range(20):
        seen = varied(pair, keypoints, np.random.default_rng(seed))
        for side, own, other, known, whole in (
            ("query", seen.query, seen.candidate, seen.truth.query, pair.truth.query),
            ("candidate", seen.candidate, seen.query, seen.truth.candidate, pair.truth.candidate),
        ):
            names, others = drawn(own), drawn(other)
            assert names == sorted(names) and len(names) == len(known) == min(keypoints, len(getattr(pair, side)))
            for name, partner in zip(names, known, strict=True):
                if whole[name] >= 0:
                    assert partner == (others.index(whole[name]) if whole[name] in others else UNKNOWN)
                else:
                    assert partner == whole[name]
        assert seen.same


def test_a_crop_is_moved_as_one(pair):
    """Where keypoints come to is an affine map of where they were, the same for all and no large one."""
    maps = []
    for seed in range(50):
        seen = varied(pair, 99, np.random.default_rng(seed))
        for before, after in ((pair.query, seen.query), (pair.candidate, seen.candidate)):
            start = np.c_[before.xy, np.ones(len(before))]
            found = np.linalg.lstsq(start, after.xy, rcond=None)[0]
            np.testing.assert_allclose(start @ found, after.xy, atol=1e-2)
            maps.append(found)
            middle = np.array([*np.array(SIZE) / 2, 1]) @ found - np.array(SIZE) / 2
            assert (np.abs(middle) <= 0.1 * np.array(SIZE) + 1e-2).all()
            assert np.exp(-0.35) <= np.sqrt(np.linalg.det(found[:2])) <= np.exp(0.35)
    assert len(np.unique(np.round(maps, 3), axis=0)) == 100


def test_the_same_seed_sees_the_same_and_another_one_something_else(pair):
    one, again, other = (varied(pair, 12, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(one.query.xy, again.query.xy) and np.array_equal(one.truth.query, again.truth.query)
    assert drawn(one.query) != drawn(other.query)
