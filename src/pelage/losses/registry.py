"""Registry: losses by name, with their miners, from pytorch-metric-learning where it has them.

A loss takes embeddings `(N, D)` and labels `(N,)` and gives a scalar; class centres are parameters of the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pytorch_metric_learning.losses import CosFaceLoss, TripletMarginLoss
from pytorch_metric_learning.miners import TripletMarginMiner
from torch import Tensor, nn

from pelage.common.params import choose
from pelage.losses.adaptive_cosface import AdaptiveCosFaceLoss

MINERS = ("all", "semihard", "hard")
"""Which triplets of a batch count: all that break the margin, or the semi-hard or hard ones among them."""


class MinedLoss(nn.Module):
    """A loss with its miner, in float32 whatever autocast says."""

    def __init__(self, loss: nn.Module, miner: nn.Module | None = None) -> None:
        super().__init__()
        self.loss = loss
        self.miner = miner

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings = embeddings.float()
            if self.miner is None:
                return self.loss(embeddings, labels)
            return self.loss(embeddings, labels, self.miner(embeddings, labels))


def _triplet(config: Mapping[str, Any], classes: int, dim: int) -> nn.Module:
    miner = choose(config["miner"], MINERS, "loss.miner")
    return MinedLoss(
        TripletMarginLoss(margin=config["margin"]), TripletMarginMiner(config["margin"], type_of_triplets=miner)
    )


def _cosface(config: Mapping[str, Any], classes: int, dim: int) -> nn.Module:
    return MinedLoss(CosFaceLoss(classes, dim, margin=config["margin"], scale=config["scale"]))


def _adaptive_cosface(config: Mapping[str, Any], classes: int, dim: int) -> nn.Module:
    return MinedLoss(AdaptiveCosFaceLoss(classes, dim, config["margin"], config["scale"]))


LOSSES: dict[str, Callable[[Mapping[str, Any], int, int], nn.Module]] = {
    "triplet": _triplet,
    "cosface": _cosface,
    "adaptive_cosface": _adaptive_cosface,
}


def create_loss(config: Mapping[str, Any], classes: int, dim: int) -> nn.Module:
    """Create a loss.

    Args:
        config: Section `loss` of the parameters: `name`, `margin`, `scale` (of those with class centres), `miner` (of
            triplet).
        classes: Number of training labels.
        dim: Length of an embedding.

    Raises:
        PelageError: An unknown name or miner.
    """
    return LOSSES[choose(config["name"], LOSSES, "loss.name")](config, classes, dim)
