"""The methods `mlp` and `random_mlp`: a small perceptron on 64 x 64 grey pixels, and the same one untrained.

It learns to tell the labels of the training crops apart; its last hidden layer is the embedding. What the untrained
network scores is owed to the pixels and to no learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from pelage.model.crops import read_crops
from pelage.split.labels import tells_its_label
from pelage.study.network import Network, activations, embeddings
from pelage.study.selection import Crops, Settings, choose_settings, fit, initial_network


def read_inputs(crop_ids: Sequence[str], folder: Path, side: int) -> np.ndarray:
    """Read crops as grey pixels, each crop with mean 0 and variance 1, so that light and exposure count for nothing.

    Args:
        crop_ids: N ids whose crops are in `folder`.
        folder: Crops of one view and part.
        side: Pixels that both sides are stretched to.

    Returns:
        `(N, side * side)` float32; zeros for a crop of one grey.
    """
    images, _ = read_crops(crop_ids, folder, 3, side, side)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    pixels = np.array(grey, np.float32).reshape(len(images), side * side)
    pixels -= pixels.mean(axis=1, keepdims=True)
    return pixels / np.maximum(pixels.std(axis=1, keepdims=True), 1.0)


def learn(
    rows: pd.DataFrame, inputs: np.ndarray, settings: Settings, rates: Sequence[float], batches: Sequence[int]
) -> tuple[dict[str, Network], dict[str, Any]]:
    """Choose the settings, train the network, and keep what it started from.

    Args:
        rows: N training crops, rows of the split table.
        inputs: `(N, D)` of `read_inputs`.
        settings: All that is not searched.
        rates: Learning rates of the grid.
        batches: Batches of the grid.

    Returns:
        The networks `mlp` and `random_mlp`, and metrics; no networks and the reason where there is nothing to learn.
    """
    teaches = tells_its_label(rows)
    names, labels = np.unique(rows.loc[teaches, "label"].to_numpy(str), return_inverse=True)
    crops = Crops(inputs[teaches], labels, rows.loc[teaches, "encounter"].to_numpy(str))
    if len(names) < 2:
        return {}, {
            "trained": False,
            "reason": f"{len(crops)} training crops with {len(names)} labels; two labels are needed",
        }
    chosen, grid = choose_settings(crops, len(names), settings, rates, batches)
    with threadpool_limits(1):
        fitted = fit(crops, len(names), chosen)
        right = activations(fitted.network, crops.inputs)[-1].argmax(axis=1) == crops.labels
    networks = {"mlp": fitted.network, "random_mlp": initial_network(inputs.shape[1], len(names), chosen)}
    cells = {f"rate_{row['rate']:g}_batch_{row['batch']}": row for row in grid}
    return networks, {
        "trained": True,
        "photos": len(crops),
        "labels": len(names),
        "encounters": len(np.unique(crops.encounters)),
        "parameters": sum(array.size for array in fitted.network),
        "rate": chosen.rate,
        "batch": chosen.batch,
        "epochs_run": fitted.epochs,
        "best_epoch": fitted.best_epoch,
        "train_accuracy": round(float(right.mean()), 4),
        "held_out_loss": None if fitted.loss is None else round(fitted.loss, 4),
        "grid": {
            name: {key: row[key] for key in ("asked", "accuracy", "loss")} for name, row in cells.items()
        },
    }


def embed(network: Network, crop_ids: Sequence[str], inputs: np.ndarray) -> pd.DataFrame:
    """Return `crop_id` and `embedding` of crops, as `pelage.matching.cosine.search` takes them."""
    with threadpool_limits(1):
        points = embeddings(network, inputs)
    return pd.DataFrame({"crop_id": list(crop_ids), "embedding": list(points)})
