"""Recipes: the trials of a sweep, from the section `sweep` of a preset.

sweep:
  grids:                        every combination of each grid
    - loss.margin: [0.25, 0.5]
      train.lr: [0.01, 0.001]
  random:                       or draws: one of a list, or a number between two (log: even in its logarithm)
    - trials: 40
      seed: 1
      factors:
        train.lr: {low: 0.00001, high: 0.001, log: true}
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pelage.common.errors import PelageError
from pelage.common.seeds import generator

Trial = dict[str, Any]


def trials(sweep: Mapping[str, Any], where: str) -> list[Trial]:
    """Return the trials of a sweep: values by the keys of `params.yaml`, joined with dots; no two alike.

    Args:
        sweep: `grids` or `random`, or both; see above.
        where: What a message calls it.

    Raises:
        PelageError: It has neither or something else, or a factor has no values.
    """
    wrong = [key for key in sweep if key not in ("grids", "random")]
    if wrong or not sweep:
        raise PelageError(f"{where}: a sweep has grids, random or both; {wrong or 'nothing'} is not known. Correct it.")
    found = [trial for grid in sweep.get("grids", []) for trial in _grid(grid, where)]
    found += [trial for spec in sweep.get("random", []) for trial in _draws(spec, where)]
    return [trial for place, trial in enumerate(found) if trial not in found[:place]]


def _grid(grid: Mapping[str, Sequence[Any]], where: str) -> list[Trial]:
    for key, values in grid.items():
        _require_list(values, key, where)
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _draws(spec: Mapping[str, Any], where: str) -> list[Trial]:
    try:
        count, seed, factors = (spec[key] for key in ("trials", "seed", "factors"))
    except KeyError as error:
        raise PelageError(f"{where}: sweep.random does not say its {error.args[0]}. Add it.") from error
    return [
        {key: _draw(spread, generator(seed, "sweep", number, key), key, where) for key, spread in factors.items()}
        for number in range(count)
    ]


def _draw(spread: Any, rng: np.random.Generator, key: str, where: str) -> Any:
    if isinstance(spread, Mapping):
        if not {"low", "high"} <= set(spread) <= {"low", "high", "log"} or not spread["low"] < spread["high"]:
            raise PelageError(f"{where}: {key} of the sweep is {spread}; give low, a larger high and, if wanted, log.")
        low, high = spread["low"], spread["high"]
        value = math.exp(rng.uniform(*map(math.log, (low, high)))) if spread.get("log") else rng.uniform(low, high)
        return float(f"{value:.3g}")
    _require_list(spread, key, where)
    return spread[rng.integers(len(spread))]


def _require_list(values: Any, key: str, where: str) -> None:
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise PelageError(f"{where}: {key} of the sweep is {values!r}; give a list of values.")


def trial_names(sweep: str, count: int) -> list[str]:
    """Return the experiments' names of a sweep, such as `bears-007`; they sort as they were made."""
    return [f"{sweep.replace('_', '-')}-{number:03d}" for number in range(1, count + 1)]


def override(key: str, value: Any) -> str:
    """Return `key=value` as `dvc exp run -S` reads it; numbers without an exponent, which YAML 1.1 reads as text."""
    if isinstance(value, bool) or value is None:
        text = str(value).lower() if value is not None else "null"
    elif isinstance(value, float):
        text = np.format_float_positional(value, trim="0")
    else:
        text = str(value)
    return f"{key}={text}"
