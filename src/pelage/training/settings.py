"""Settings: the numbers of section `train` are checked before an hour is spent on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pelage.common.errors import PelageError

Rule = tuple[Callable[[Any], bool], str]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole_from(least: int) -> Rule:
    return lambda value: type(value) is int and value >= least, f"a whole number from {least}"


POSITIVE: Rule = (lambda value: _number(value) and value > 0, "a number above 0")
FROM_ZERO: Rule = (lambda value: _number(value) and value >= 0, "a number from 0")
SHARE: Rule = (lambda value: _number(value) and 0 <= value <= 1, "a number from 0 to 1")
BELOW_ONE: Rule = (lambda value: _number(value) and 0 <= value < 1, "a number from 0 to below 1")
FRACTION: Rule = (lambda value: _number(value) and 0 < value < 1, "a number between 0 and 1")
UP_TO_ONE: Rule = (lambda value: _number(value) and 0 < value <= 1, "a number above 0, at most 1")
YES_OR_NO: Rule = (lambda value: isinstance(value, bool), "true or false")

RULES: dict[str, Rule] = {
    "epochs": _whole_from(0),
    "patience": _whole_from(1),
    "validate_every": _whole_from(1),
    "umap_every": _whole_from(0),
    "identities_per_batch": _whole_from(2),
    "photos_per_identity": _whole_from(1),
    "accumulate": _whole_from(1),
    "momentum": BELOW_ONE,
    "lr": POSITIVE,
    "backbone_lr_ratio": FROM_ZERO,
    "layer_decay": UP_TO_ONE,
    "weight_decay": FROM_ZERO,
    "warmup": SHARE,
    "plateau_factor": FRACTION,
    "plateau_patience": _whole_from(0),
    "clip_norm": FROM_ZERO,
    "ema": BELOW_ONE,
    "freeze_backbone": _whole_from(0),
    "freeze_norm": YES_OR_NO,
    "channels_last": YES_OR_NO,
    "compile": YES_OR_NO,
    "processes": _whole_from(1),
    "workers": _whole_from(0),
}
"""What each key may be; `optimizer`, `schedule` and `precision` are checked where they are chosen."""


def check_settings(config: Mapping[str, Any], variant: str) -> None:
    """Check section `train` of a variant.

    Raises:
        PelageError: A value is not what `RULES` allow (names the key, the value and what it may be), or training could
            stop before its first validation.
    """
    for key, (fits, words) in RULES.items():
        if not fits(config[key]):
            raise PelageError(
                f"params.yaml: train.{key} is {config[key]!r} for the variant {variant}; it must be {words}."
            )
    if config["patience"] < config["validate_every"]:
        raise PelageError(
            f"params.yaml: train.patience is {config['patience']} for the variant {variant}; it must be at least "
            f"train.validate_every ({config['validate_every']}), or training stops before anything is validated."
        )
