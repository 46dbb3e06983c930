"""Variation: in each epoch a pair shows other keypoints, and its crops are turned, scaled, stretched and moved.

Some thousand pairs are few for a network of twelve million weights. Whether this helps has not been measured apart from
what was changed with it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pelage.matching.learned.features import LearnedFeatures
from pelage.tuning.correspondences import UNKNOWN, Correspondences
from pelage.tuning.pairs import LearntPair

TURN = np.deg2rad(12)
SCALE = 0.25
STRETCH = 0.1
MOVE = 0.1
"""Most that a crop is turned (radians), scaled as a whole and along each side (natural logarithms), and moved (as a
share of its sides), either way."""


def varied(pair: LearntPair, keypoints: int, rng: np.random.Generator) -> LearntPair:
    """Return the pair by at most so many keypoints of each crop, drawn anew, at other places.

    A keypoint whose counterpart is not drawn says nothing: another that was drawn may be nearly the same.

    Args:
        pair: With N and M keypoints; it is left as it is.
        keypoints: K of each crop, or all where there are fewer. The strongest still come first.
        rng: Says which, and how the crops are moved, each in its own way.
    """
    first, second = (_drawn(len(side), keypoints, rng) for side in (pair.query, pair.candidate))
    truth = Correspondences(
        _renumbered(pair.truth.query[first], second, len(pair.candidate)),
        _renumbered(pair.truth.candidate[second], first, len(pair.query)),
    )
    return LearntPair(_moved(pair.query, first, rng), _moved(pair.candidate, second, rng), truth, pair.same)


def _drawn(count: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return the places of at most `most` of `count` keypoints, in their order: strongest first."""
    return np.arange(count) if count <= most else np.sort(rng.permutation(count)[:most])


def _renumbered(partner: np.ndarray, drawn: np.ndarray, count: int) -> np.ndarray:
    """Return counterparts by their places among those `drawn` of `count`; of the others nothing is known."""
    place = np.full(count + 1, UNKNOWN)
    place[drawn] = np.arange(len(drawn))
    return np.where(partner >= 0, place[partner], partner)


def _moved(features: LearnedFeatures, drawn: np.ndarray, rng: np.random.Generator) -> LearnedFeatures:
    """Return the keypoints at the places `drawn`, `(K,)`, where an affine map takes them, maybe beyond the crop."""
    size = np.array(features.size, float)
    turn = rng.uniform(-TURN, TURN)
    scale = np.exp(rng.uniform(-SCALE, SCALE) + rng.uniform(-STRETCH, STRETCH, 2))
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * scale[:, None]
    features = features.only(drawn)
    xy = (features.xy - size / 2) @ turned.T + size / 2 + rng.uniform(-MOVE, MOVE, 2) * size
    return replace(features, xy=xy.astype(np.float32))
