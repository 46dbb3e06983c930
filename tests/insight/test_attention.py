"""Attention maps: they add up to the cosine, peak where two photos agree, and say when they are no sum."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from pelage.common.errors import PelageError
from pelage.insight.attention import EXPLAINED_COLUMNS, attention, choose_pairs, explain_pairs, share_on_animal
from pelage.model.embedder import Embedder
from pelage.model.embeddings import embed_images

CPU = torch.device("cpu")
CONFIG = {
    "backbone": "test_efficientnet",
    "stride": 8,
    "pooling": "avg",
    "grid": [2, 3],
    "dim": 8,
    "dropout": 0.5,
    "batch_norm": False,
    "width": 96,
    "height": 64,
}


def network(**changes) -> Embedder:
    """A random network whose batch norms and biases do something."""
    torch.manual_seed(0)
    embedder = Embedder({**CONFIG, **changes}, 3).eval()
    for module in embedder.head:
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.weight, 0.5, 2)
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.bias, std=0.1)
    return embedder


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 64, 96, 3), np.uint8)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pooling": "grid"},
        {"pooling": "grid", "grid": [3, 5], "batch_norm": True},
        {"pooling": "gem"},  # a power mean is homogeneous: Euler's theorem
        {"backbone": "test_vit", "stride": "none"},
    ],
)
def test_the_places_of_linear_networks_add_up_to_the_cosine(changes):
    embedder = network(**changes)
    images = noise(5)
    points = embed_images(embedder, images, 5, CPU)
    found = attention(embedder, images, points[::-1].copy(), 2, CPU)
    assert found.exact
    assert found.maps.shape == (5, embedder.layout.rows, embedder.layout.columns)
    np.testing.assert_allclose(found.cosines, (points * points[::-1]).sum(axis=1), atol=1e-5)
    np.testing.assert_allclose(found.maps.sum(axis=(1, 2)), found.cosines, atol=1e-5)


@pytest.mark.parametrize("changes", [{"depth": 2, "hidden": 16}, {"backbone": "test_convnext", "stride": "none"}])
def test_other_networks_are_told_apart_and_their_maps_are_derivatives(changes):
    """A place whose features grow by a small share moves the cosine (of fixed length) by that share of its number."""
    embedder = network(**changes).double()
    images, layout = noise(2), embedder.layout
    other = nn.functional.normalize(torch.ones(2, 8, dtype=torch.double), dim=1)
    found = attention(embedder, images, other.numpy(), 2, CPU)
    assert not found.exact
    with torch.no_grad():
        features = embedder.features(torch.from_numpy(images).permute(0, 3, 1, 2))
        before = embedder.project(features)
        for row, column in ((0, 0), (layout.rows - 1, layout.columns - 1)):
            moved = features.clone()
            moved[:, :, row, column] *= 1 + 1e-4
            change = ((embedder.project(moved) - before) * other).sum(dim=1) / before.norm(dim=1) / 1e-4
            np.testing.assert_allclose(found.maps[:, row, column], change, rtol=1e-2, atol=1e-7)


def test_a_class_token_is_explained_before_the_last_block():
    embedder = network(backbone="test_vit", stride="none", pooling="cls")
    for parameter in embedder.backbone.blocks.parameters():
        nn.init.normal_(parameter, std=0.3)  # as timm starts it, the token gathers next to nothing
    images = noise(3)
    points = embed_images(embedder, images, 3, CPU)
    found = attention(embedder, images, points[::-1].copy(), 2, CPU)
    assert not found.exact and found.maps.shape == (3, 4, 6)
    assert (np.ptp(found.maps, axis=(1, 2)) > 1e-4).all()
    np.testing.assert_allclose(found.cosines, (points * points[::-1]).sum(axis=1), atol=1e-5)
    assert not embedder.backbone.blocks[-1].norm1._forward_hooks
    embedder.backbone.blocks = nn.Sequential()
    with pytest.raises(PelageError, match=r"insight.variant names a network that pools by a class token"):
        attention(embedder, images, np.ones((3, 8), np.float32), 2, CPU)


@pytest.mark.parametrize("pooling", ["avg", "grid"])
@pytest.mark.parametrize("place", [(0, 0), (1, 3), (3, 5)])
def test_the_map_peaks_at_the_one_patch_that_two_images_share(pooling, place):
    embedder = network(stride=16, pooling=pooling)
    embedder.backbone.forward_features = nn.Conv2d(3, 512, 16, 16, bias=False).forward  # sees each patch on its own
    embedder.head = nn.Linear(512 * (1 if pooling == "avg" else 6), 512, bias=False)
    rng = np.random.default_rng(1)
    left, right = ((embedder.mean.view(3).numpy() + rng.normal(0, 40, (1, 64, 96, 3))).clip(0, 255) for _ in range(2))
    row, column = place[0] * 16, place[1] * 16
    right[:, row : row + 16, column : column + 16] = left[:, row : row + 16, column : column + 16]
    both = np.concatenate([left, right]).astype(np.uint8)
    points = embed_images(embedder, both, 2, CPU)
    for side in attention(embedder, both, points[::-1].copy(), 2, CPU).maps:
        assert np.unravel_index(side.argmax(), side.shape) == place
        assert side.max() > 2 * np.abs(np.delete(side.ravel(), side.argmax())).mean()


def test_both_photos_of_a_pair_are_explained():
    embedder = network()
    pairs = pd.DataFrame({"query": ["b", "b"], "candidate": ["a", "c"], "right": [True, False]})
    masks = np.zeros((3, 64, 96), np.uint8)
    masks[:, :, :48] = 255
    told, maps = explain_pairs(embedder, pairs, ["a", "b", "c"], noise(3), masks, 2, CPU)
    points = embed_images(embedder, noise(3), 3, CPU)
    np.testing.assert_allclose(told["cosine"], [points[1] @ points[0], points[1] @ points[2]], atol=1e-4)
    for side in maps.values():
        np.testing.assert_allclose(side.sum(axis=(1, 2)), told["cosine"], atol=1e-4)
    assert told["exact"].all() and (told["animal"] == 0.5).all() and told["on_animal"].between(0, 1).all()


def test_a_network_that_was_not_trained_explains_nothing():
    told, maps = explain_pairs(None, pd.DataFrame(columns=["query"]), [], noise(0), noise(0)[..., 0], 2, CPU)
    assert list(told.columns) == EXPLAINED_COLUMNS and not len(told)
    assert maps["query"].shape == maps["candidate"].shape == (0, 1, 1)


def rankings(*rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["protocol", "query", "candidate", "rank"])


def test_pairs_are_the_best_right_and_the_best_wrong_candidate():
    identities = pd.Series({"q": "lion", "r": "lion", "s": "lion", "w": "cat", "v": "cat", "z": "dog"})
    table = rankings(
        ("validation", "v", "w", 1),
        ("closed", "q", "w", 1),
        ("closed", "q", "v", 2),
        ("closed", "q", "s", 3),
        ("closed", "q", "r", 4),
        ("closed", "z", "w", 1),  # never answered
        ("closed", "w", "v", 1),  # no wrong candidate
    )
    pairs = choose_pairs(table.sample(frac=1, random_state=0), identities, 9, 1)
    assert pairs.to_numpy().tolist() == [
        ["closed", "q", "s", 3, True],
        ["closed", "q", "w", 1, False],
        ["closed", "w", "v", 1, True],
    ]
    assert choose_pairs(table[table["protocol"] == "validation"], identities, 9, 1)["query"].tolist() == ["v"]
    assert len(choose_pairs(table.iloc[:0], identities, 9, 1)) == 0


def test_queries_are_drawn_by_the_seed():
    identities = pd.Series({f"{side}{n}": n for n in range(20) for side in "qc"})
    table = rankings(*[("closed", f"q{n}", f"c{n}", 1) for n in range(20)])
    drawn = [tuple(choose_pairs(table, identities, 5, seed)["query"]) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2] and len(set(drawn[0])) == 5


def test_the_share_on_the_animal_by_hand():
    maps = np.array([[[3.0, 1.0], [-5.0, 0.0]], [[-1.0, 0.0], [0.0, 0.0]]], np.float32)
    masks = np.zeros((2, 4, 4), np.uint8)
    masks[:, :2, :1] = 255  # half of the first place
    np.testing.assert_allclose(share_on_animal(maps, masks), [1.5 / 4, np.nan])
