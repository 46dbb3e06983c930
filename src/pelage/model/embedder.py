"""Embedder: uint8 images to embeddings. Normalisation, backbone, pooling and head in one module and one file.

The file is safetensors; what the network is built from stands in its metadata, so that a model needs no parameters to
be used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pelage.common.errors import PelageError
from pelage.common.files import write_bytes
from pelage.common.params import choose
from pelage.model.backbone import create_backbone, own_size
from pelage.model.features import apply_norm, feature_layout, feature_maps, last_norm
from pelage.model.pooling import create_pooling

CHANNEL_MEAN = (0.485, 0.456, 0.406, 0.456)
CHANNEL_STD = (0.229, 0.224, 0.225, 0.225)
"""ImageNet's statistics for RGB; those of the leopard paper for the edge channel. In units of 0 to 1."""

HALF = (0.5, 0.5, 0.5)
NORMALISATIONS = ("imagenet", "half", "backbone")

DEFAULTS: Mapping[str, Any] = {
    "grid": [1, 1], "depth": 1, "hidden": 512, "normalise": "imagenet", "width": None, "height": None,
}  # fmt: skip
"""Fields that a configuration may leave out; without a size it is that of the backbone's own training."""


class Embedder(nn.Module):
    """A network that turns crops into points.

    Args:
        config: Section `model` of the parameters: `backbone`, `stride`, `pooling` (avg | gem | grid | cls), `grid`
            (rows and columns), `dim`, `depth`, `hidden`, `dropout`, `batch_norm`, `normalise`, `width` and `height`.
        channels: 3 (RGB) or 4 (RGB and edges).

    Attributes:
        dim: Numbers of an embedding: `dim` of the configuration, or without a head those that pooling leaves.

    Raises:
        PelageError: An unknown backbone, stride, pooling or grid; a size that the backbone does not take; the pooling
            `cls` of a network without a class token; or a head without numbers.
    """

    def __init__(self, config: Mapping[str, Any], channels: int) -> None:
        super().__init__()
        config = {**DEFAULTS, **config}
        size = (config["width"], config["height"]) if config["width"] else None
        self.backbone = create_backbone(config["backbone"], channels, config["stride"], size)
        width, height = size or own_size(self.backbone)
        self.layout = feature_layout(self.backbone, channels, height, width)
        self.pooling, cells = create_pooling(config["pooling"], config["grid"])
        self.takes_class = config["pooling"] == "cls"
        if self.takes_class and not self.layout.class_token:
            raise PelageError(
                f"params.yaml: model.pooling is 'cls', but {config['backbone']} has no class token. "
                "Choose avg, gem or grid, or a vision transformer such as vit_small_patch16_224."
            )
        pooled = cells * self.layout.width
        self.head = embedding_head(pooled, config)
        self.dim = config["dim"] if config["depth"] else pooled
        mean, std = _statistics(config["normalise"], self.backbone, channels)
        self.register_buffer("mean", 255 * mean.view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", 255 * std.view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Embed a batch.

        Args:
            images: `(N, C, H, W)` uint8, or float in 0 to 255.

        Returns:
            `(N, dim)`, not normalised.
        """
        return self.project(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """Return the backbone's features of a batch, as `layout` describes them."""
        return self.backbone.forward_features((images - self.mean) / self.std)

    def project(self, features: Tensor) -> Tensor:
        """Return the embeddings `(N, dim)` of features: pooling, norm and head."""
        pooled = features[:, 0] if self.takes_class else self.pooling(feature_maps(features, self.layout))
        norm = last_norm(self.backbone)
        return self.head(pooled if norm is None else apply_norm(norm, pooled, self.layout.width))


def embedding_head(inputs: int, config: Mapping[str, Any]) -> nn.Sequential:
    """Make the head: `depth` linear layers, those before the last `hidden` wide and followed by ReLU.

    Each layer has dropout before it and, with `batch_norm`, a batch norm after it. Without layers (`depth` 0) the
    pooled features are the embedding, and `dim` says nothing.

    Args:
        inputs: Width of the pooled features.
        config: `dim`, `depth`, `hidden`, `dropout` and `batch_norm`.

    Raises:
        PelageError: `dim` or `hidden` is no whole number from 1, `depth` none from 0, or `dropout` not in [0, 1).
    """
    for key, least in (("dim", 1), ("depth", 0), ("hidden", 1)):
        if type(config[key]) is not int or config[key] < least:
            raise PelageError(f"params.yaml: model.{key} is {config[key]!r}; give a whole number from {least}.")
    if not 0 <= config["dropout"] < 1:
        raise PelageError(f"params.yaml: model.dropout is {config['dropout']!r}; give a number from 0 to below 1.")
    widths = [inputs, *[config["hidden"]] * (config["depth"] - 1), *[config["dim"]] * (config["depth"] > 0)]
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(widths)):
        layers += [nn.ReLU()] if number else []
        layers += [nn.Dropout(config["dropout"]), nn.Linear(before, after)]
        layers += [nn.BatchNorm1d(after) if config["batch_norm"] else nn.Identity()]
    return nn.Sequential(*layers)


def _statistics(name: str, backbone: nn.Module, channels: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel in 0 to 1; the edge channel's are always those of the paper."""
    rgb = {
        "imagenet": (CHANNEL_MEAN[:3], CHANNEL_STD[:3]),
        "half": (HALF, HALF),
        "backbone": (backbone.pretrained_cfg["mean"], backbone.pretrained_cfg["std"]),
    }[choose(name, NORMALISATIONS, "model.normalise")]
    both = ((*rgb[0], *CHANNEL_MEAN[3:])[:channels], (*rgb[1], *CHANNEL_STD[3:])[:channels])
    return torch.tensor(both[0]), torch.tensor(both[1])


def save_model(path: Path, state: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write a model's tensors, and `about` as JSON in the metadata, atomically and with the same bytes every time."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in sorted(state.items())}
    write_bytes(path, save(tensors, {"pelage": json.dumps(about, sort_keys=True)}))


def load_model(path: Path) -> tuple[Embedder | None, dict[str, Any]]:
    """Read a model written by `save_model`.

    Returns:
        The embedder in evaluation mode (None if nothing could be trained), and `about`.

    Raises:
        PelageError: The file is missing, is no safetensors file, or was not written by `train`.
    """
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["pelage"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise PelageError(f"The model {path} is missing: run the stage train.") from error
    except (SafetensorError, KeyError, ValueError) as error:
        raise PelageError(
            f"{path} is not a model written by the stage train ({error}). Run that stage again."
        ) from error
    if not state:
        return None, about
    embedder = Embedder(about["model"], about["channels"])
    embedder.load_state_dict(state)
    return embedder.eval(), about
