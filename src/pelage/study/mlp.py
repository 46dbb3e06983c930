"""The methods `mlp` and `random_mlp`: a small perceptron on 64 x 64 grey pixels, and the same one untrained.

It learns to tell the labels of the training crops apart; its last hidden layer is the embedding. What the untrained
network scores is owed to the pixels and to no learning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from pelage.common.errors import PelageError
from pelage.common.packs import Packs
from pelage.model.crops import read_crops
from pelage.split.labels import tells_its_label
from pelage.study.network import Network, activations, embeddings
from pelage.study.selection import Crops, choose_settings, fit, initial_network

GRID_COLUMNS = ["hidden", "rate", "batch", "asked", "accuracy", "loss", "chosen"]


def read_inputs(crop_ids: Sequence[str], crops: Packs, side: int) -> np.ndarray:
    """Read crops as grey pixels, each crop with mean 0 and variance 1, so that light and exposure count for nothing.

    Args:
        crop_ids: N ids whose crops are in `crops`.
        crops: Of one view and part.
        side: Pixels that both sides are stretched to.

    Returns:
        `(N, side * side)` float32; zeros for a crop of one grey.
    """
    images, _ = read_crops(crop_ids, crops, 3, side, side)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    pixels = np.array(grey, np.float32).reshape(len(images), side * side)
    pixels -= pixels.mean(axis=1, keepdims=True)
    return pixels / np.maximum(pixels.std(axis=1, keepdims=True), 1.0)


def read_grid(hidden: Any, rates: Any, batches: Any) -> dict[str, list[Any]]:
    """Return what is searched, as `choose_settings` takes it.

    Args:
        hidden: Networks to try, each the list of its hidden layers' units.
        rates: Learning rates.
        batches: Crops a batch.

    Raises:
        PelageError: One of them is no list of such values.
    """
    try:
        layers = [tuple(map(int, units)) for units in hidden]
        grid = {"hidden": layers, "rate": list(map(float, rates)), "batch": list(map(int, batches))}
        if min(min(values) for values in (*layers, grid["rate"], grid["batch"])) > 0 and layers:
            return grid
    except (TypeError, ValueError):
        pass
    raise PelageError(
        "params.yaml: mlp.rates and mlp.batches must be lists of numbers above 0, and mlp.hidden a list with one such "
        f"list a network, as in [[64], [64, 64]]; they are {rates!r}, {batches!r} and {hidden!r}."
    )


def learn(
    rows: pd.DataFrame, inputs: np.ndarray, fixed: Mapping[str, int], grid: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, Network], dict[str, Any], pd.DataFrame]:
    """Choose the settings, train the network, and keep what it started from.

    Args:
        rows: N training crops, rows of the split table.
        inputs: `(N, D)` of `read_inputs`.
        fixed: Settings that are not searched.
        grid: Those that are, and the values to try.

    Returns:
        The networks `mlp` and `random_mlp`, metrics, and the searched grid; no networks, the reason and no grid where
        there is nothing to learn.
    """
    teaches = tells_its_label(rows)
    names, labels = np.unique(rows.loc[teaches, "label"].to_numpy(str), return_inverse=True)
    crops = Crops(inputs[teaches], labels, rows.loc[teaches, "group"].to_numpy(str))
    if len(names) < 2:
        reason = f"{len(crops)} training crops with {len(names)} labels; two labels are needed"
        return {}, {"trained": False, "reason": reason}, pd.DataFrame(columns=GRID_COLUMNS)
    chosen, searched = choose_settings(crops, len(names), fixed, grid)
    with threadpool_limits(1):
        fitted = fit(crops, len(names), chosen)
        right = activations(fitted.network, crops.inputs)[-1].argmax(axis=1) == crops.labels
    networks = {"mlp": fitted.network, "random_mlp": initial_network(inputs.shape[1], len(names), chosen)}
    table = pd.DataFrame(searched, columns=GRID_COLUMNS)
    metrics = {
        "trained": True,
        "photos": len(crops),
        "labels": len(names),
        "groups": len(np.unique(crops.groups)),
        "hidden": spelled(chosen.hidden),
        "rate": chosen.rate,
        "batch": chosen.batch,
        "cross_validated_accuracy": next(row["accuracy"] for row in searched if row["chosen"]),
        "parameters": sum(array.size for array in fitted.network),
        "epochs_run": fitted.epochs,
        "best_epoch": fitted.best_epoch,
        "train_accuracy": round(float(right.mean()), 4),
        "held_out_loss": None if fitted.loss is None else round(fitted.loss, 4),
    }
    return networks, metrics, table.assign(hidden=table["hidden"].map(spelled))


def spelled(hidden: Sequence[int]) -> str:
    """Write hidden layers as `64` or `64+64`."""
    return "+".join(map(str, hidden))


def embed(network: Network, crop_ids: Sequence[str], inputs: np.ndarray) -> pd.DataFrame:
    """Return `crop_id` and `embedding` of crops, as `pelage.matching.search.cosine.search` takes them."""
    with threadpool_limits(1):
        points = embeddings(network, inputs)
    return pd.DataFrame({"crop_id": list(crop_ids), "embedding": list(points)})
