"""The project's own parameters, changed a little, and what is said of them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from pelage.common.params import read_params
from pelage.settings.check import find_faults

PARAMS = read_params(Path(__file__).resolve().parents[2] / "params.yaml")


@pytest.fixture
def params() -> dict[str, Any]:
    """A copy of the project's own parameters."""
    return copy.deepcopy(PARAMS)


@pytest.fixture
def faults(params):
    """Return what is said of the parameters with some changes: `faults(("train.lr", 0))`; `...` takes a key away."""

    def told(*changes: tuple[str, Any]) -> list[str]:
        changed = copy.deepcopy(params)
        for key, value in changes:
            *path, last = key.split(".")
            section = changed
            for name in path:
                section = section.setdefault(name, {})
            if value is ...:
                del section[last]
            else:
                section[last] = value
        return list(find_faults(changed))

    return told
