"""Optimisation: from the loss of a batch to the next weights.

Groups of parameters with their rates, gradients accumulated and clipped, the scaler of fp16, and the schedule. Rates
fall from the head down to the first layers of the backbone (Howard and Ruder, ACL 2018, section 3.1), along the groups
that timm gives its networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from timm.optim import param_groups_layer_decay
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from pelage.common.params import choose
from pelage.training.schedule import Schedule

OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}
PRECISIONS = {"auto": None, "fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """Return the type that the forward pass computes in where it can; None for float32.

    Args:
        precision: fp32 | bf16 | fp16 | auto (bf16 on CUDA, else fp32).
        device: Where.

    Raises:
        PelageError: An unknown precision.
    """
    chosen = PRECISIONS[choose(precision, PRECISIONS, "train.precision")]
    return torch.bfloat16 if precision == "auto" and device.type == "cuda" else chosen


def parameter_groups(backbone: nn.Module, parts: nn.Module, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return torch's parameter groups, each with its `ratio` of the learning rate and its `weight_decay`.

    The rate of the backbone is `backbone_lr_ratio` in that of the rest; of its layers each group, as timm groups them
    by depth, has `layer_decay` of the rate of the next one up. Only matrices and filters decay, and of these not what
    the network itself names (position embeddings, class tokens).

    Args:
        backbone: A timm network.
        parts: Holds the backbone and everything else that learns (head, class centres).
        config: Section `train` of the parameters.
    """
    chosen = {id(parameter): (1.0, parameter.ndim > 1) for parameter in parts.parameters()}
    kept = getattr(backbone, "no_weight_decay", set)()
    for group in param_groups_layer_decay(
        backbone, weight_decay=1.0, no_weight_decay_list=kept, layer_decay=config["layer_decay"]
    ):
        for parameter in group["params"]:
            ratio = config["backbone_lr_ratio"] * group["lr_scale"]
            chosen[id(parameter)] = (ratio, group["weight_decay"] > 0)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for parameter in parts.parameters():
        if parameter.requires_grad:
            groups.setdefault(chosen[id(parameter)], []).append(parameter)
    return [
        {"params": members, "weight_decay": config["weight_decay"] if decays else 0.0, "lr": 0.0, "ratio": ratio}
        for (ratio, decays), members in groups.items()
    ]


class Optimisation:
    """Optimizer, schedule and scaler of one training.

    Args:
        backbone: A timm network.
        parts: Holds the backbone and everything else that learns.
        config: Section `train` of the parameters: `optimizer`, `lr`, `momentum` (of sgd), `clip_norm`, `precision`,
            and what `parameter_groups` and `Schedule` read.
        steps: Steps of the whole training.
        device: Where the parameters are.

    Raises:
        PelageError: An unknown optimizer, schedule or precision.
    """

    def __init__(
        self, backbone: nn.Module, parts: nn.Module, config: Mapping[str, Any], steps: int, device: torch.device
    ) -> None:
        name = choose(config["optimizer"], OPTIMIZERS, "train.optimizer")
        own: dict[str, Any] = {"momentum": config["momentum"]} if name == "sgd" else {}
        if device.type == "cuda" and name != "sgd":  # whose kernel takes no frozen parameters
            own["fused"] = True  # one kernel for all parameters
        self.optimizer = OPTIMIZERS[name](parameter_groups(backbone, parts, config), **own)
        self.schedule = Schedule(config, steps)
        self.scaler = torch.amp.GradScaler(
            device.type, enabled=autocast_dtype(config["precision"], device) == torch.float16
        )
        self._parts, self._lr, self._clip_norm = parts, config["lr"], config["clip_norm"]

    def add(self, loss: Tensor, share: float) -> None:
        """Add the gradient of a batch, which is `share` of the step's photos."""
        self.scaler.scale(loss * share).backward()

    def step(self, number: int) -> float:
        """Change the weights by what was added, and forget it.

        Args:
            number: Of the step in the whole training, from 0.

        Returns:
            The learning rate of the head.
        """
        rate = self._lr * self.schedule.factor(number)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["ratio"]
        if self._clip_norm > 0:
            self.scaler.unscale_(self.optimizer)
            clip_grad_norm_(self._parts.parameters(), self._clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        return rate

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and numbers of optimizer, schedule and scaler."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
