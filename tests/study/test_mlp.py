"""The methods mlp and random_mlp, from crops in files to points."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from packing import pack_images

from pelage.common.errors import PelageError
from pelage.common.tables import crop_file
from pelage.study.mlp import GRID_COLUMNS, embed, learn, read_grid, read_inputs

FIXED = {"epochs": 30, "patience": 5, "folds": 3, "seed": 1}
GRID = {"hidden": [(8,)], "rate": [0.003], "batch": [8]}


def rows_of(count, identities=3) -> pd.DataFrame:
    names = [f"L{place % identities}" for place in range(count)]
    table = pd.DataFrame({"crop_id": [f"p{place:02d}#0" for place in range(count)], "identity": names, "label": names})
    return table.assign(part="flank", orientation="left", group=[f"e{place // identities}" for place in range(count)])


def test_light_and_contrast_count_for_nothing(tmp_path):
    grey = np.random.default_rng(0).integers(60, 120, (32, 32), np.uint8)
    images = {"a#0": grey, "b#0": 2 * grey, "c#0": np.full((32, 32), 77, np.uint8)}
    crops = pack_images(tmp_path, "crops", {crop_file(name): np.dstack([image] * 3) for name, image in images.items()})
    one, brighter, plain = read_inputs([*images], crops, 32)
    np.testing.assert_allclose(one, brighter, atol=1e-5)
    assert one.mean() == pytest.approx(0, abs=1e-6) and one.std() == pytest.approx(1, abs=1e-5)
    assert not plain.any()


def test_what_is_learnt_tells_labels_apart_and_its_control_is_where_it_started():
    rows = rows_of(27)
    inputs = np.eye(3, 20, dtype=np.float32)[np.arange(27) % 3] * 3
    inputs += 0.5 * np.random.default_rng(0).normal(size=inputs.shape).astype(np.float32)
    networks, metrics, grid = learn(rows, inputs, FIXED | {"epochs": 100}, GRID | {"rate": [0.01]})
    assert metrics["train_accuracy"] == 1.0 and metrics["hidden"] == "8"
    assert metrics["cross_validated_accuracy"] == grid["accuracy"].max()
    again, *_ = learn(rows, inputs, FIXED | {"epochs": 1}, GRID | {"rate": [0.01]})
    assert all(map(np.array_equal, networks["random_mlp"], again["random_mlp"]))
    assert not np.array_equal(networks["mlp"][0], networks["random_mlp"][0])
    points = np.stack(embed(networks["mlp"], rows["crop_id"], inputs)["embedding"])
    alike = points @ points.T
    same = rows["identity"].to_numpy()[:, None] == rows["identity"].to_numpy()
    assert alike[same].mean() > alike[~same].mean() + 0.3


def test_one_label_teaches_nothing():
    networks, metrics, grid = learn(rows_of(6, identities=1), np.zeros((6, 4), np.float32), FIXED, GRID)
    assert not networks and metrics["trained"] is False and "two labels are needed" in metrics["reason"]
    assert grid.empty and list(grid) == GRID_COLUMNS


def test_a_grid_is_read():
    assert read_grid([[16], [64, 64]], [1e-3], [8, 32]) == {
        "hidden": [(16,), (64, 64)],
        "rate": [1e-3],
        "batch": [8, 32],
    }


@pytest.mark.parametrize(
    "wrong",
    [
        ([16], [1e-3], [8]),
        ([[16]], 1e-3, [8]),
        ([[16]], [0.0], [8]),
        ([], [1e-3], [8]),
        ([[16]], [1e-3], []),
        ([[]], [1], [8]),
    ],
)
def test_a_wrong_grid_is_named(wrong):
    with pytest.raises(PelageError, match=r"mlp\.hidden"):
        read_grid(*wrong)
