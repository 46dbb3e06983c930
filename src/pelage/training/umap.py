"""UMAP: what validation sees, laid out in a plane (McInnes, Healy and Melville, 2018).

Each picture starts from the one before it, the first from the two principal components, so that points can be followed
from one to the next. With a seed and one thread the same points give the same picture.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from torch import Tensor

from pelage.training.dataset import TrainingData

NEIGHBOURS = 15
"""Nearest points that a point is to stay near; UMAP's own default."""


def lay_out(points: np.ndarray, before: np.ndarray | None, seed: int) -> np.ndarray:
    """Return places in the plane of points on the sphere.

    Args:
        points: `(N, D)` of length 1; at least 3.
        before: `(N, 2)` places to start from.
        seed: Of what UMAP draws.

    Returns:
        `(N, 2)` float32.
    """
    from umap import UMAP  # compiles itself for some seconds

    start = "pca" if before is None else before
    neighbours = min(NEIGHBOURS, len(points) - 1)
    return UMAP(neighbours, metric="cosine", init=start, random_state=seed, n_jobs=1).fit_transform(points)


def umap_table(data: TrainingData | None, pictures: Mapping[int, Tensor]) -> pd.DataFrame:
    """Return a row a picture and crop: `epoch`, `crop_id`, `x`, `y`; no row if there is no picture.

    Args:
        data: What was validated on; None where nothing was trained.
        pictures: Epoch -> `(Q + G, 2)` places of the queries of validation and of its gallery.
    """
    rows = []
    for epoch, places in pictures.items():
        crops = [data.ids[place] for place in (*data.validation.queries, *data.validation.gallery)]
        rows += [(epoch, crop, x, y) for crop, (x, y) in zip(crops, places.tolist(), strict=True)]
    types = {"epoch": int, "crop_id": str, "x": np.float32, "y": np.float32}
    return pd.DataFrame(rows, columns=list(types)).astype(types)
