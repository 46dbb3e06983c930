"""Embedder: uint8 images to embeddings. Normalisation, backbone, pooling and head in one module and one file.

Pooling is the average, the generalised mean (GeM; Radenovic et al., TPAMI 2019, equation 2), or the average of each
cell of a grid. The file is safetensors; what the network is built from stands in its metadata, so that a model needs
no parameters to be used.
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

POOLINGS = ("avg", "gem", "grid")


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


class GridPooling(nn.Module):
    """`(N, D, h, w)` to `(N, D * rows * columns)`, the mean of each cell of a grid laid over the feature map.

    It keeps what lies where, as the part-based baseline of person re-identification does with stripes (PCB; Sun et
    al., ECCV 2018): a coat is known by the order of its spots, not by how many there are.
    """

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.cells = nn.AdaptiveAvgPool2d((rows, columns))

    def forward(self, features: Tensor) -> Tensor:
        return self.cells(features).flatten(1)


class Embedder(nn.Module):
    """A network that turns crops into points.

    Args:
        config: Section `model` of the parameters: `backbone`, `stride`, `pooling` (avg | gem | grid), `grid` (rows and
            columns), `dim`, `dropout`, `batch_norm`.
        channels: 3 (RGB) or 4 (RGB and edges).

    Raises:
        PelageError: An unknown backbone, stride, pooling or grid, or a backbone that gives no feature maps.
    """

    def __init__(self, config: Mapping[str, Any], channels: int) -> None:
        super().__init__()
        self.backbone = create_backbone(config["backbone"], channels, config["stride"])
        pooling, cells = choose(config["pooling"], POOLINGS, "model.pooling"), 1
        if pooling == "grid":
            rows, columns = _grid(config["grid"])
            self.pooling, cells = GridPooling(rows, columns), rows * columns
        else:
            self.pooling = GemPooling() if pooling == "gem" else AveragePooling()
        self.head = nn.Sequential(
            nn.Dropout(config["dropout"]),
            nn.Linear(cells * self.backbone.num_features, config["dim"]),
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


def _grid(value: Any) -> tuple[int, int]:
    if isinstance(value, list) and len(value) == 2 and all(type(side) is int and side > 0 for side in value):
        return value[0], value[1]
    raise PelageError(f"params.yaml: model.grid is {value!r}; give rows and columns, such as [2, 4].")


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
