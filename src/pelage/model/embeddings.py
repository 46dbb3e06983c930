"""Embeddings: crops through a trained network, and the table that holds the points."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from pyarrow.parquet import write_table
from torch.nn.functional import normalize

from pelage.common.files import write_bytes
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


def write_embeddings(path: Path, crop_ids: Sequence[str], points: np.ndarray, dim: int) -> None:
    """Write the Parquet table `crop_id`, `embedding` (lists of `dim` float32) of `(N, dim)` points; N may be 0."""
    values = pa.array(np.ascontiguousarray(points, np.float32).reshape(-1))
    columns = {"crop_id": pa.array(crop_ids, pa.string()), "embedding": pa.FixedSizeListArray.from_arrays(values, dim)}
    buffer = BytesIO()
    write_table(pa.table(columns), buffer, compression="zstd")
    write_bytes(path, buffer.getvalue())
