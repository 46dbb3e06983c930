"""Pooling: feature maps to one vector. Average, generalised mean, or the average of each cell of a grid."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pelage.common.errors import PelageError
from pelage.common.params import choose

POOLINGS = ("avg", "gem", "grid", "cls")


class AveragePooling(nn.Module):
    """`(N, D, h, w)` to `(N, D)`, the mean over places."""

    def forward(self, features: Tensor) -> Tensor:
        return features.mean(dim=(2, 3))


class GemPooling(nn.Module):
    """`(N, D, h, w)` to `(N, D)`, the generalised mean over places with a learnt exponent (1: mean, large: maximum).

    Radenovic et al., TPAMI 2019, equation 2. It is one of positive numbers: what is below 1e-6 counts as 1e-6, which
    hides the negative half of a transformer's features.
    """

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


def create_pooling(name: str, grid: Any) -> tuple[nn.Module, int]:
    """Return the pooling `avg | gem | grid`, and how many cells it keeps; `cls` takes one token and is no pooling.

    Raises:
        PelageError: Another name, or `grid` is not `[rows, columns]`.
    """
    if choose(name, POOLINGS, "model.pooling") == "grid":
        if not (isinstance(grid, list) and len(grid) == 2 and all(type(side) is int and side > 0 for side in grid)):
            raise PelageError(f"params.yaml: model.grid is {grid!r}; give rows and columns, such as [2, 4].")
        return GridPooling(*grid), grid[0] * grid[1]
    return {"avg": AveragePooling, "gem": GemPooling, "cls": nn.Identity}[name](), 1
