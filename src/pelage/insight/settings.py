"""Settings: section `insight` of the parameters, checked before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pelage.common.errors import PelageError

WHOLE = {"queries": 0, "classes": 0, "steps": 1, "jitter": 0}
"""Whole numbers, and the least that each may be."""

REAL = ("rate", "tv", "l2", "blur")


def check_settings(config: Mapping[str, Any]) -> None:
    """Say which number of section `insight` is wrong, if one is.

    Raises:
        PelageError: It is no number or out of its range.
    """
    for key, least in WHOLE.items():
        if type(config[key]) is not int or config[key] < least:
            raise PelageError(f"params.yaml: insight.{key} is {config[key]!r}; give a whole number from {least}.")
    for key in REAL:
        if type(config[key]) not in (int, float) or not 0 <= config[key] < math.inf:
            raise PelageError(f"params.yaml: insight.{key} is {config[key]!r}; give a number from 0.")
