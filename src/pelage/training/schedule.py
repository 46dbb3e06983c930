"""Schedule: the learning rate of each step, as a factor between 0 and 1 of the largest one.

Constant, cosine (Loshchilov and Hutter, ICLR 2017) and one-cycle (Smith and Topin, 2018) follow from the step's number
alone; plateau goes down when validation stands still and so has a state, kept by torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from pelage.common.params import choose

SCHEDULES = ("constant", "cosine", "one_cycle", "plateau")
ONE_CYCLE_START = 1 / 25
ONE_CYCLE_END = ONE_CYCLE_START / 1e4
"""First and last factor of the one-cycle schedule, as in torch."""


def cosine(step: int, steps: int, warmup: float) -> float:
    """Return the factor of `step` (from 0): linear up to 1 in the first share `warmup`, then half a cosine to 0."""
    rising = warmup * steps
    if step < rising:
        return _rise(step, rising)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1.0, steps - rising)))


def one_cycle(step: int, steps: int, warmup: float) -> float:
    """Return the factor of `step` (from 0): half a cosine up to 1 in the first share `warmup`, and another one down.

    As torch's `OneCycleLR` with `pct_start=warmup`; the momentum stays as it is.
    """
    top = warmup * steps - 1
    if step <= top:
        return _between(ONE_CYCLE_START, 1.0, step / top if top > 0 else 1.0)
    return _between(1.0, ONE_CYCLE_END, (step - top) / (steps - 1 - top))


def _rise(step: int, rising: float) -> float:
    return (step + 1) / (rising + 1)


def _between(first: float, last: float, share: float) -> float:
    return last + (first - last) / 2 * (1 + math.cos(math.pi * share))


class Schedule:
    """The factor of each step of one training.

    Args:
        config: Section `train` of the parameters: `schedule`, `warmup`, and of plateau `plateau_factor` and
            `plateau_patience`.
        steps: Steps of the whole training.

    Raises:
        PelageError: An unknown schedule.
    """

    def __init__(self, config: Mapping[str, Any], steps: int) -> None:
        self._name = choose(config["schedule"], SCHEDULES, "train.schedule")
        self._steps, self._warmup = steps, config["warmup"]
        # torch lowers the rate of an optimizer; of this one, which learns nothing, the rate is the factor
        self._height = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        self._plateau = ReduceLROnPlateau(
            self._height, "max", config["plateau_factor"], config["plateau_patience"], threshold=0.0
        )

    def factor(self, step: int) -> float:
        """Return the factor of `step`, from 0."""
        if self._name == "cosine":
            return cosine(step, self._steps, self._warmup)
        if self._name == "one_cycle":
            return one_cycle(step, self._steps, self._warmup)
        rising = self._warmup * self._steps  # the height is 1 unless validation lowers it
        return self._height.param_groups[0]["lr"] * (_rise(step, rising) if step < rising else 1.0)

    def judged(self, value: float) -> None:
        """Take note of a validation: `value`, higher is better."""
        if self._name == "plateau":
            self._plateau.step(value)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the plateau: numbers and texts."""
        return {"plateau": self._plateau.state_dict(), "height": self._height.param_groups[0]["lr"]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self._plateau.load_state_dict(state["plateau"])
        self._height.param_groups[0]["lr"] = state["height"]
