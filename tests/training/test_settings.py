from pathlib import Path

import pytest

from pelage.common.errors import PelageError
from pelage.common.params import read_params
from pelage.training.settings import RULES, check_settings

TRAIN = read_params(Path(__file__).resolve().parents[2] / "params.yaml")["train"]


def test_the_projects_own_settings_fit_and_every_number_has_a_rule():
    check_settings(TRAIN, "v")
    assert set(TRAIN) - set(RULES) == {"seeds", "optimizer", "schedule", "precision"}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("epochs", -1, "a whole number from 0"),
        ("epochs", 2.5, "a whole number from 0"),
        ("identities_per_batch", 1, "a whole number from 2"),
        ("accumulate", True, "a whole number from 1"),
        ("momentum", 1.0, "a number from 0 to below 1"),
        ("lr", 0, "a number above 0"),
        ("lr", "fast", "a number above 0"),
        ("lr", float("nan"), "a number above 0"),
        ("layer_decay", 0, "a number above 0, at most 1"),
        ("warmup", 1.1, "a number from 0 to 1"),
        ("plateau_factor", 1, "a number between 0 and 1"),
        ("clip_norm", "none", "a number from 0"),
        ("ema", 1.0, "a number from 0 to below 1"),
        ("freeze_backbone", True, "a whole number from 0"),
        ("channels_last", "yes", "true or false"),
    ],
)
def test_what_does_not_fit_is_told_with_what_does(key, value, words):
    with pytest.raises(PelageError) as told:
        check_settings({**TRAIN, key: value}, "mine")
    assert str(told.value) == f"params.yaml: train.{key} is {value!r} for the variant mine; it must be {words}."


def test_patience_lasts_until_the_first_validation():
    check_settings({**TRAIN, "patience": 4, "validate_every": 4}, "mine")
    with pytest.raises(PelageError, match=r"train.patience is 3 .* at least train.validate_every \(4\)"):
        check_settings({**TRAIN, "patience": 3, "validate_every": 4}, "mine")
