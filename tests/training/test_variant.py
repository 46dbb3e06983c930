import copy

import pytest

from pelage.common.errors import PelageError
from pelage.training.variant import for_each_seed, read_variant

PARAMS = {
    "parts": ["flank", "face"],
    "model": {"backbone": "b", "dim": 8, "depth": 1},
    "loss": {"name": "cosface", "margin": 0.28},
    "train": {"seeds": [1], "lr": 0.1, "photos_per_identity": 4, "epochs": 9},
    "augment": {"crop": 0.1},
    "variants": {"plain": {"part": "flank", "view": "crop"}},
}


def with_variant(**entry):
    params = copy.deepcopy(PARAMS)
    params["variants"]["mine"] = entry
    return params


def test_own_values_lie_over_the_defaults():
    params = with_variant(part="face", view="nobg_edge", loss={"name": "triplet"}, train={"lr": 0.2})
    variant = read_variant(params, "mine")
    assert (variant.name, variant.part, variant.view, variant.channels) == ("mine", "face", "nobg_edge", 4)
    assert variant.loss == {"name": "triplet", "margin": 0.28} and variant.train == {
        "seeds": [1],
        "lr": 0.2,
        "photos_per_identity": 4,
        "epochs": 9,
    }
    assert variant.model == PARAMS["model"] and variant.augment == PARAMS["augment"]
    assert read_variant(params, "plain").loss == PARAMS["loss"]


def test_a_training_knows_its_seed_and_no_other():
    several = for_each_seed(read_variant(with_variant(part="face", view="crop", train={"seeds": [3, 1]}), "mine"))
    alone = for_each_seed(read_variant(with_variant(part="face", view="crop", train={"seeds": [1]}), "mine"))
    assert list(several) == [3, 1] and several[1] == alone[1]
    assert several[3].train == {"seed": 3, "lr": 0.1, "photos_per_identity": 4, "epochs": 9}


def test_unknown_variant():
    with pytest.raises(PelageError, match="variants has no entry 'none'; it has plain"):
        read_variant(PARAMS, "none")
