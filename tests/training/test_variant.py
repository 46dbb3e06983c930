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


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"part": "flank", "view": "hog"},
            r"variants.mine.view is 'hog'; it must be one of crop, crop_edge, nobg, nobg_edge",
        ),
        ({"part": "tail", "view": "crop"}, r"variants.mine.part is 'tail'; it must be one of face, flank"),
        ({"part": "flank"}, r"variants.mine does not say its view"),
        (
            {"part": "flank", "view": "crop", "lr": 1},
            r"variants.mine has the unknown field 'lr'; known are part, view, model",
        ),
        ({"part": "flank", "view": "crop", "loss": {"margn": 1}}, r"variants.mine.loss has the unknown field 'margn'"),
        (
            {"part": "flank", "view": "crop", "loss": {"name": "x"}},
            r"loss.name of variants.mine is 'x'; it must be one of adap",
        ),
        (
            {"part": "flank", "view": "crop", "loss": {"margin": 3}},
            r"loss.margin of variants.mine is 3; it must be a number from 0 to 2",
        ),
        (
            {"part": "flank", "view": "crop", "train": {"seeds": 2}},
            r"train.seeds of variants.mine is 2; it must be a list",
        ),
        ({"part": "flank", "view": "crop", "train": {"seeds": []}}, r"train.seeds .* \[\]; .*, such as \[1, 2, 3\]"),
        ({"part": "flank", "view": "crop", "train": {"seeds": [1, 2, 1]}}, r"is \[1, 2, 1\]; .* different whole"),
        ({"part": "flank", "view": "crop", "train": {"seeds": [True]}}, r"is \[True\]; .* whole numbers from 0"),
        (
            {"part": "flank", "view": "crop", "loss": "triplet"},
            r"variants.mine.loss is 'triplet'; it must be fields and values, of name, margin",
        ),
        (
            {"part": "flank", "view": "crop", "train": {"epochs": 0}},
            r"train.epochs of variants.mine is 0, .* Set variants.mine.model.depth to 0",
        ),
    ],
)
def test_what_is_unknown_is_named_with_what_is_allowed(entry, message):
    with pytest.raises(PelageError, match=message):
        read_variant(with_variant(**entry), "mine")


def test_a_variant_without_fields():
    for entry in ("triplet", None):
        params = {**PARAMS, "variants": {"mine": entry}}
        with pytest.raises(PelageError, match=rf"variants.mine is {entry!r}; it must be fields and values, of part, "):
            read_variant(params, "mine")


def test_a_misspelt_default_is_named():
    params = with_variant(part="flank", view="crop")
    params["loss"]["margn"] = 0.1
    with pytest.raises(PelageError, match=r"loss of variants.mine has the unknown field 'margn'; known are name, "):
        read_variant(params, "mine")


def test_a_loss_that_compares_two_photos_of_an_individual_gets_two():
    few = {"part": "flank", "view": "crop", "train": {"photos_per_identity": 1}}
    second = {"plus": {"name": "triplet", "miner": "batch_hard"}}
    params = with_variant(**few)
    params["loss"] |= {"miner": "hard", "plus": "none", "miner_weights": False}
    assert read_variant(params, "mine").train["photos_per_identity"] == 1
    for loss in ({"name": "circle"}, second, {"miner_weights": True}):
        params["variants"]["mine"] = {**few, "loss": loss}
        with pytest.raises(PelageError, match=r"train.photos_per_identity of variants.mine is 1, but its loss .* two "):
            read_variant(params, "mine")


def test_unknown_variant():
    with pytest.raises(PelageError, match="variants has no entry 'none'; it has plain"):
        read_variant(PARAMS, "none")
