"""Embedder: uint8 images to embeddings. Normalisation, backbone, pooling and head in one module and one file.

Pooling is the average or the generalised mean (GeM; Radenovic et al., TPAMI 2019, equation 2). The file is
safetensors; what the network is built from stands in its metadata, so that a model needs no parameters to be used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pelage.common.errors import PelageError
from pelage.common.files import write_bytes
from pelage.common.params import choose
from pelage.model.backbone import create_backbone

CHANNEL_MEAN = (0.485, 0.456, 0.406, 0.456)
CHANNEL_STD = (0.229, 0.224, 0.225, 0.225)
"""ImageNet's statistics for RGB; those of the leopard paper for the edge channel. In units of 0 to 1."""

POOLINGS = ("avg", "gem")


class AveragePooling(nn.Module):
    """`(N, D, h, w)` to `(N, D)`, the mean over places."""

    def forward(self, features: Tensor) -> Tensor:
        return features.mean(dim=(2, 3))


class GemPooling(nn.Module):
    """`(N, D, h, w)` to `(N, D)`, the generalised mean over places with a learnt exponent (1: mean, large: maximum)."""

    def __init__(self, exponent: float = 3.0) -> None:
        super().__init__()
        self.exponent = nn.Parameter(torch.tensor(exponent))

    def forward(self, features: Tensor) -> Tensor:
        powers = features.float().clamp(min=1e-6).pow(self.exponent)
        return powers.mean(dim=(2, 3)).pow(1 / self.exponent)


class Embedder(nn.Module):
    """A network that turns crops into points.

    Args:
        config: Section `model` of the parameters: `backbone`, `pooling` (avg | gem), `dim`, `dropout`, `batch_norm`.
        channels: 3 (RGB) or 4 (RGB and edges).

    Raises:
        PelageError: An unknown backbone or pooling, or a backbone that gives no feature maps.
    """

    def __init__(self, config: Mapping[str, Any], channels: int) -> None:
        super().__init__()
        self.backbone = create_backbone(config["backbone"], channels)
        pooling = choose(config["pooling"], POOLINGS, "model.pooling")
        self.pooling = GemPooling() if pooling == "gem" else AveragePooling()
        self.head = nn.Sequential(
            nn.Dropout(config["dropout"]),
            nn.Linear(self.backbone.num_features, config["dim"]),
            nn.BatchNorm1d(config["dim"]) if config["batch_norm"] else nn.Identity(),
        )
        mean, std = torch.tensor(CHANNEL_MEAN[:channels]), torch.tensor(CHANNEL_STD[:channels])
        self.register_buffer("mean", 255 * mean.view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", 255 * std.view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Embed a batch.

        Args:
            images: `(N, C, H, W)` uint8.

        Returns:
            `(N, dim)`, not normalised.
        """
        features = self.backbone.forward_features((images - self.mean) / self.std)
        if features.ndim != 4 or features.shape[1] != self.backbone.num_features:
            raise PelageError(
                f"params.yaml: model.backbone gives features of shape {tuple(features.shape)} and not feature maps. "
                "Choose a convolutional network."
            )
        return self.head(self.pooling(features))


def save_model(path: Path, state: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write a model's tensors, and `about` as JSON in the metadata, atomically and with the same bytes every time."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in sorted(state.items())}
    write_bytes(path, save(tensors, {"pelage": json.dumps(about, sort_keys=True)}))


def load_model(path: Path) -> tuple[Embedder | None, dict[str, Any]]:
    """Read a model written by `save_model`.

    Returns:
        The embedder in evaluation mode (None if `about` says that it was not trained), and `about`.

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
    if not about["trained"]:
        return None, about
    embedder = Embedder(about["model"], about["channels"])
    embedder.load_state_dict(state)
    return embedder.eval(), about
