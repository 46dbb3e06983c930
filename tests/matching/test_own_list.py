"""The list that learned keypoints make themselves: whose descriptors are nearest, among those that may answer."""

import numpy as np
import pandas as pd
import pytest

from pelage.matching.learned.features import LearnedFeatures
from pelage.matching.learned.own_list import as_local, own_list
from pelage.matching.learned.rematch import shortlist
from pelage.split.protocols import ProtocolSet


def crop(seed: int, width: int, shown: int = 60) -> LearnedFeatures:
    """Random keypoints with descriptors of length 1."""
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(shown, width))
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    xy = rng.uniform(0, 200, (shown, 2)).astype(np.float32)
    return LearnedFeatures(xy, descriptors.astype(np.float16), np.ones(shown, np.float32), (200, 200))


def seen_again(features: LearnedFeatures, seed: int, share: float) -> LearnedFeatures:
    """The same animal moved, of which only a share of the keypoints is found again."""
    other = crop(seed, features.descriptors.shape[1], len(features))
    again = np.random.default_rng(seed).random(len(features)) < share
    xy = np.where(again[:, None], features.xy + np.float32([7, -4]), other.xy)
    descriptors = np.where(again[:, None], features.descriptors, other.descriptors)
    return LearnedFeatures(xy.astype(np.float32), descriptors, features.strength, features.size)


def rows(names: str, sides: str, identity: str) -> pd.DataFrame:
    count = len(names)
    columns = {"crop_id": list(names), "identity": list(identity), "orientation": [SIDES[side] for side in sides]}
    columns |= {key: [f"{name}1" for name in names] for key in ("group", "encounter")}
    return pd.DataFrame({**columns, "image_id": list(names), "subset": ["test"] * count})


SIDES = {"l": "left", "r": "right"}


@pytest.mark.parametrize("width", [128, 256])
def test_those_with_the_nearest_keypoints_come_first_and_opposite_flanks_not_at_all(width):
    features = {name: crop(seed, width) for seed, name in enumerate("qabcdefg")}
    features["c"] = seen_again(features["q"], 20, 0.7)
    features["e"] = seen_again(features["q"], 21, 0.4)
    features["f"] = seen_again(features["q"], 22, 0.9)  # of the other flank, so it is another animal's
    features["g"] = LearnedFeatures(*(values[:0] for values in (features["g"].xy, features["g"].descriptors,
                                      features["g"].strength)), (200, 200))  # fmt: skip
    sets = {"closed": ProtocolSet(rows("q", "l", "1"), rows("abcdefg", "lllllrl", "2314567"))}
    table = own_list(features, sets, depth=4, same_side=True)
    side = pd.Series({name: "right" if name == "f" else "left" for name in features})
    assert shortlist([table], [2], side)["candidate"].tolist() == ["c", "e"]
    assert "f" not in set(table["candidate"]) and (table["score"] > 0).all()
    both = own_list(features, sets, depth=4, same_side=False)
    assert shortlist([both], [3], None)["candidate"].tolist() == ["f", "c", "e"]


def test_bytes_keep_the_distances_of_descriptors():
    features = crop(0, 128)
    own = as_local(features).descriptors.astype(float)
    exact = features.descriptors.astype(float)
    for place in range(0, 60, 7):
        told = np.linalg.norm(own - own[place], axis=1) / 400
        np.testing.assert_allclose(told, np.linalg.norm(exact - exact[place], axis=1), atol=0.02)
