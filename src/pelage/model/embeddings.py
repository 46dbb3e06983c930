"""Embeddings: crops through a trained network, and the table that holds the points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from torch.nn.functional import normalize

from pelage.model.embedder import Embedder


def embed_images(embedder: Embedder, images: np.ndarray, batch: int, device: torch.device) -> np.ndarray:
    """Embed crops in evaluation mode; the embedder's own mode is kept.

    Args:
        embedder: On `device`.
        images: `(N, H, W, C)` uint8.
        batch: Images at a time.
        device: Where to compute, in float32.

    Returns:
        `(N, D)` float32 of length 1.
    """
    was_training = embedder.training
    embedder.eval()
    points = []
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            pixels = torch.from_numpy(np.ascontiguousarray(images[start : start + batch])).permute(0, 3, 1, 2)
            points.append(normalize(embedder(pixels.to(device))).cpu().numpy())
    embedder.train(was_training)
    return np.concatenate(points).astype(np.float32) if points else np.empty((0, 0), np.float32)


def embedding_table(crop_ids: Sequence[str], points: np.ndarray, dim: int) -> pd.DataFrame:
    """Return the table `crop_id`, `embedding` (lists of `dim` float32) of `(N, dim)` points; N may be 0."""
    values = pa.array(np.ascontiguousarray(points, np.float32).reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(values, dim)
    return pd.DataFrame(
        {
            "crop_id": pd.Series(list(crop_ids), dtype=str),
            "embedding": pd.Series(pd.arrays.ArrowExtensionArray(column)),
        }
    )
