"""Registry: losses by name, with their miners, from pytorch-metric-learning where it has them.

A loss takes embeddings `(N, D)` and labels `(N,)` and gives a scalar. Those of pairs and triplets (`PAIR_LOSSES`) have
nothing to learn; those of classes (`CLASS_LOSSES`) have class centres, which are parameters of the loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from pytorch_metric_learning.losses import (
    ArcFaceLoss,
    CircleLoss,
    ContrastiveLoss,
    CosFaceLoss,
    NormalizedSoftmaxLoss,
    SubCenterArcFaceLoss,
    TripletMarginLoss,
)
from pytorch_metric_learning.reducers import MeanReducer
from torch import nn

from pelage.common.errors import PelageError
from pelage.common.params import choose
from pelage.losses.adaptive_cosface import AdaptiveCosFaceLoss
from pelage.losses.mining import MARGIN_MINERS, MinedLoss, create_distance, create_miner
from pelage.losses.softmax import LinearSoftmaxLoss
from pelage.losses.weighted_sum import WeightedSum

Config = Mapping[str, Any]

FORMS = ("margin", "soft_margin", "smooth")
"""Of a triplet whose positive is d+ and whose negative d- away: max(0, d+ - d- + m) (FaceNet; Schroff et al., CVPR
2015, there of squared distances), log(1 + exp(d+ - d-)) (Hermans et al., 2017, section 2), and
log(1 + exp(d+ - d- + m))."""


def _contrastive(config: Config) -> nn.Module:
    """Hadsell et al., CVPR 2006, unsquared: d+ of a positive pair, max(0, m - d-) of a negative one."""
    positive, negative = (1.0, 1.0 - config["margin"]) if config["distance"] == "cosine" else (0.0, config["margin"])
    return ContrastiveLoss(positive, negative, distance=create_distance(config["distance"]))


def _triplet(config: Config) -> nn.Module:
    margin = 0.0 if config["form"] == "soft_margin" else config["margin"]
    smooth = config["form"] != "margin"
    # the library's mean is over triplets that cost something; with one negative a pair it is over all, as its authors'
    reducer = MeanReducer() if config["miner"] == "one_semihard" else None
    distance = create_distance(config["distance"])
    return TripletMarginLoss(margin, smooth_loss=smooth, distance=distance, reducer=reducer)


def _circle(config: Config) -> nn.Module:
    """Sun et al., CVPR 2020, equation 6, of cosines."""
    return CircleLoss(m=config["margin"], gamma=config["scale"])


def _arcface(config: Config, classes: int, dim: int) -> nn.Module:
    """Deng et al., CVPR 2019, equation 3."""
    return ArcFaceLoss(classes, dim, margin=math.degrees(config["margin"]), scale=config["scale"])


def _subcenter_arcface(config: Config, classes: int, dim: int) -> nn.Module:
    """Deng et al., ECCV 2020: a class is as near as the nearest of its sub-centres."""
    return SubCenterArcFaceLoss(
        num_classes=classes,
        embedding_size=dim,
        margin=math.degrees(config["margin"]),
        scale=config["scale"],
        sub_centers=config["sub_centers"],
    )


def _cosface(config: Config, classes: int, dim: int) -> nn.Module:
    """Wang et al., CVPR 2018, equation 4."""
    return CosFaceLoss(classes, dim, margin=config["margin"], scale=config["scale"])


def _adaptive_cosface(config: Config, classes: int, dim: int) -> nn.Module:
    return AdaptiveCosFaceLoss(classes, dim, config["margin"], config["scale"])


def _softmax(config: Config, classes: int, dim: int) -> nn.Module:
    """Normalised (Zhai and Wu, BMVC 2019): scaled cosines to the class centres; or a linear classifier."""
    if config["normalized"]:
        return NormalizedSoftmaxLoss(classes, dim, temperature=1 / config["scale"])
    return LinearSoftmaxLoss(classes, dim)


PAIR_LOSSES: dict[str, Callable[[Config], nn.Module]] = {
    "contrastive": _contrastive,
    "triplet": _triplet,
    "circle": _circle,
}
CLASS_LOSSES: dict[str, Callable[[Config, int, int], nn.Module]] = {
    "arcface": _arcface,
    "subcenter_arcface": _subcenter_arcface,
    "cosface": _cosface,
    "adaptive_cosface": _adaptive_cosface,
    "softmax": _softmax,
}
LOSSES = (*PAIR_LOSSES, *CLASS_LOSSES)
CENTRES = ("learnt", "fixed")
"""Whether class centres learn, or stay where they start at random, as the leopard study's do: its optimiser holds the
network alone. In many dimensions such centres are nearly orthogonal."""

DISTANCE_LOSSES = ("contrastive", "triplet")
"""Losses whose margin is in the unit of `distance`, as a miner's is."""

DEFAULTS = {
    "distance": "l2", "form": "margin", "sub_centers": 3, "normalized": True, "miner_weights": False,
    "miner_margin": "same", "random_epochs": 0, "centres": "learnt",
}  # fmt: skip
"""Fields of the section `loss` that may be left out."""


def loss_terms(config: Config) -> list[dict[str, Any]]:
    """Return the losses that a section `loss` adds up: itself and, unless that is none, its `plus`.

    Args:
        config: See `create_loss`.

    Returns:
        One or two sections without `plus`, complete, each with its `weight`. What `plus` leaves out is the first one's.
    """
    plus = config.get("plus")
    first = {**DEFAULTS, **{field: value for field, value in config.items() if field != "plus"}, "weight": 1.0}
    return [first] if plus in (None, "none") else [first, {**first, **plus}]


def comparing(config: Config) -> list[str]:
    """Return the names of those losses of a section `loss` that teach nothing unless two photos of a class meet."""
    return [
        term["name"]
        for term in loss_terms(config)
        if term["name"] in PAIR_LOSSES or (term["miner_weights"] and term["miner"] != "none")
    ]


def _create(config: Config, classes: int, dim: int) -> nn.Module:
    if config["name"] in PAIR_LOSSES:
        loss, mined = PAIR_LOSSES[config["name"]](config), True
    else:
        loss, mined = CLASS_LOSSES[config["name"]](config, classes, dim), config["miner_weights"]
        loss.requires_grad_(choose(config["centres"], CENTRES, "loss.centres") == "learnt")
    if not mined:
        return MinedLoss(loss)
    return MinedLoss(
        loss, create_miner(config["miner"], _miner_margin(config), config["distance"], config["random_epochs"])
    )


def _miner_margin(config: Config) -> float:
    """Return the miner's margin, in the unit of `distance`; 0 of a miner that has none."""
    if config["miner"] not in MARGIN_MINERS:
        return 0.0
    if config["miner_margin"] != "same":
        return config["miner_margin"]
    if config["name"] not in DISTANCE_LOSSES:
        raise PelageError(
            f"params.yaml: loss.miner_margin is 'same', but the margin of {config['name']} is no distance, as that of "
            f"the miner {config['miner']} is. Give a number."
        )
    return config["margin"]


def create_loss(config: Config, classes: int, dim: int) -> nn.Module:
    """Create a loss: a module called with embeddings `(N, dim)` and labels `(N,)`, which returns a scalar.

    Args:
        config: Section `loss` of the parameters.
            `name`: One of `LOSSES`.
            `margin`: 0 to 2, the loss's own. A cosine (circle, cosface, adaptive_cosface), an angle in radians
            (arcface, subcenter_arcface), or in the unit of `distance` (contrastive, triplet).
            `scale`: Factor of the cosines (circle, and the losses of classes).
            `miner`: One of `MINERS`; of pairs and triplets, and of classes where `miner_weights` is true.
            `miner_margin`: The miner's, in the unit of `distance` (`MARGIN_MINERS`), or `same`, the loss's own, where
            that has this unit.
            `distance`: A key of `DISTANCES` (contrastive, triplet, every miner).
            `form`: One of `FORMS` (triplet).
            `random_epochs`: First epochs in which the miner `one_semihard` takes random negatives.
            `centres`: One of `CENTRES` (losses of classes).
            `sub_centers`: Centres a class (subcenter_arcface).
            `normalized`: Softmax of scaled cosines, not of a linear classifier (softmax).
            `miner_weights`: Losses of classes weight photos by how many of the miner's triplets they are in.
            `plus`: none, or a second loss: fields as above, and `weight`, its factor in the sum.
        classes: Number of training labels.
        dim: Length of an embedding.

    Raises:
        PelageError: `miner_margin` is `same`, but the loss's margin has another unit.
    """
    terms = loss_terms(config)
    losses = [_create(term, classes, dim) for term in terms]
    return losses[0] if len(losses) == 1 else WeightedSum(losses, [term["weight"] for term in terms])
