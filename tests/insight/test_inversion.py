"""Inversion: images that a trained network takes for the centre of their class, and for no other's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from pelage.insight.inversion import CLASS_COLUMNS, class_centroids, invert, invert_classes, total_variation
from pelage.model.embedder import Embedder
from pelage.model.embeddings import embed_images

CPU = torch.device("cpu")
MODEL = {
    "backbone": "test_resnet",
    "stride": 8,
    "pooling": "avg",
    "grid": [1, 1],
    "dim": 8,
    "dropout": 0.0,
    "batch_norm": False,
    "width": 32,
    "height": 32,
}
CONFIG = {"classes": 3, "steps": 40, "rate": 3.0, "tv": 1.0, "l2": 0.1, "jitter": 2, "blur": 1.0, "seed": 1}


@pytest.fixture(scope="module")
def learnt():
    """A network that tells four patterns apart, and their centroids."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    embedder = Embedder(MODEL, 4)
    labels = np.arange(16) % 4
    patterns = rng.integers(0, 2, (4, 4, 4, 1)).repeat(8, 1).repeat(8, 2)
    images = (60 + 120 * patterns[labels] + rng.integers(-50, 50, (16, 32, 32, 4))).clip(0, 255).astype(np.uint8)
    pixels, wanted = torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels)
    optimizer = torch.optim.Adam(embedder.parameters(), lr=3e-3)
    for _ in range(25):
        optimizer.zero_grad()
        cross_entropy(8 * normalize(embedder(pixels))[:, :4], wanted).backward()
        optimizer.step()
    embedder.eval()
    ids = [f"c{n}" for n in range(16)]
    crops = pd.DataFrame({"crop_id": ids, "label": [f"class {label}" for label in labels]})
    points = embed_images(embedder, images, 16, CPU)
    return embedder, class_centroids(crops, pd.DataFrame({"crop_id": ids, "embedding": list(points)}))


def test_centroids_by_hand():
    crops = pd.DataFrame({"crop_id": ["1", "2", "3", "lost"], "label": ["b", "a", "b", "a"]})
    embeddings = pd.DataFrame({"crop_id": ["3", "2", "1"], "embedding": [[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]]})
    centroids = class_centroids(crops, embeddings)
    assert centroids.labels.tolist() == ["a", "b"] and centroids.crops.tolist() == [1, 2]
    np.testing.assert_allclose(centroids.points, [[0.6, 0.8], [0.5**0.5, 0.5**0.5]], rtol=1e-6)
    np.testing.assert_allclose(centroids.spread, [1, 0.5**0.5])  # both stand at 45 degrees from it
    assert len(class_centroids(crops, embeddings.iloc[:0]).points) == 0


def test_total_variation_by_hand():
    image = torch.tensor([[[[0.0, 1.0, 5.0], [3.0, 0.0, 5.0], [9.0, 9.0, 9.0]]]])
    # steps to the right and below from (0,0): 1, 3; (0,1): 4, -1; (1,0): -3, 6; (1,1): 5, 9
    expected = (1 + 9 + 16 + 1 + 9 + 36 + 25 + 81) / 4
    assert total_variation(image).item() == pytest.approx(expected)


def test_each_image_is_nearer_to_its_class_than_to_any_other(learnt):
    classes, images = invert_classes(*learnt, 32, 32, CONFIG, 2, CPU)
    assert images.shape == (3, 32, 32, 4) and images.dtype == np.uint8
    assert list(classes.columns) == CLASS_COLUMNS and set(classes["label"]) < set(learnt[1].labels)
    assert (classes["cosine"] > 0.8).all() and (classes["cosine"] > classes["next_cosine"] + 0.2).all()
    assert (classes["label"] != classes["next_label"]).all() and (classes["crops"] == 4).all()
    cosines = embed_images(learnt[0], images, 3, CPU) @ learnt[1].points.T
    np.testing.assert_allclose(np.sort(cosines)[:, :-3:-1], classes[["cosine", "next_cosine"]], atol=1e-4)


def test_the_same_seed_gives_the_same_bytes(learnt):
    made = [invert_classes(*learnt, 32, 32, {**CONFIG, "steps": 4, "seed": seed}, 2, CPU)[1] for seed in (1, 1, 2)]
    assert made[0].tobytes() == made[1].tobytes() != made[2].tobytes()


def test_regularisers_smooth_the_image(learnt):
    def roughness(**changes) -> float:
        config = {**CONFIG, "steps": 20, **changes}
        images = invert(learnt[0], learnt[1].points[:2], 32, 32, config, CPU)
        return total_variation(torch.from_numpy(images).permute(0, 3, 1, 2) / 255).mean().item()

    free = roughness(tv=0.0, blur=0.0)
    assert roughness(tv=50.0, blur=0.0) < 0.7 * free
    assert roughness(tv=0.0, blur=2.0) < 0.7 * free


def test_a_network_that_was_not_trained_is_not_inverted():
    nothing = class_centroids(
        pd.DataFrame(columns=["crop_id", "label"]), pd.DataFrame(columns=["crop_id", "embedding"])
    )
    classes, images = invert_classes(None, nothing, 32, 32, CONFIG, 2, CPU)
    assert list(classes.columns) == CLASS_COLUMNS and not len(classes) and not len(images)
