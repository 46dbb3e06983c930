"""Background model: weighted medians, a burst is one vote, exposure does not matter, a planted animal stands out."""

import numpy as np
import pytest

from pelage.preprocess.background_model import (
    SIDE,
    departure,
    learn_background,
    light,
    log_brightness,
    thumbnail,
    weighted_median,
)


@pytest.fixture
def scene():
    rng = np.random.default_rng(0)
    return np.clip(rng.normal(110, 30, (SIDE, SIDE, 3)), 1, 254).astype(np.uint8)


def photo(scene, gain=1.0, animal=None):
    image = scene.astype(float)
    if animal:
        x, y = animal
        image[y : y + 40, x : x + 60] = (200, 160, 60)
    return np.clip(image * gain, 0, 255).astype(np.uint8)


def test_weighted_median_agrees_with_numpy():
    values = np.random.default_rng(1).normal(size=(7, 3, 4, 2))
    assert weighted_median(values, np.ones((7, 3, 4, 1))) == pytest.approx(np.median(values, axis=0))


def test_weights_are_repetitions():
    values = np.random.default_rng(2).normal(size=(4, 5))
    weights = np.array([3, 1, 2, 1])
    expected = np.median(np.repeat(values, weights, axis=0), axis=0)
    assert weighted_median(values, weights[:, None].astype(float)) == pytest.approx(expected)


def test_a_long_burst_of_a_resting_animal_is_one_vote(scene):
    burst = [photo(scene, animal=(50, 60))] * 9
    others = [photo(scene)] * 3
    blank = [np.zeros((SIDE, SIDE), np.float32)] * 12
    background = learn_background(burst + others, blank, ["b"] * 9 + ["c", "d", "e"])
    assert background.median[80, 80] == pytest.approx(log_brightness(scene)[80, 80], abs=0.05)
    assert background.seen == pytest.approx(4)


def test_salient_pixels_hardly_vote(scene):
    saliency = np.zeros((320, 320), np.float32)
    saliency[120:200, 100:220] = 1
    thumbs = [photo(scene, animal=(50, 60))] * 2 + [photo(scene)]
    blank = np.zeros_like(saliency)
    background = learn_background(thumbs, [saliency, saliency, blank], ["a", "b", "c"])
    assert background.median[80, 80] == pytest.approx(log_brightness(scene)[80, 80], abs=0.05)
    assert background.seen[80, 80] < 2 <= background.seen[5, 5]
    assert departure(thumbs[0], background)[80, 80] == 0  # too few bursts showed what is behind the animal


@pytest.mark.parametrize("gain", [0.6, 1.0, 1.3])
def test_a_planted_animal_departs_and_exposure_does_not(scene, gain):
    rng = np.random.default_rng(3)
    thumbs = [np.clip(scene + rng.normal(0, 4, scene.shape), 0, 255).astype(np.uint8) for _ in range(6)]
    blank = np.zeros((SIDE, SIDE), np.float32)
    background = learn_background(thumbs, [blank] * 6, list("abcdef"))
    far = departure(photo(scene, gain, animal=(30, 100)), background)
    inside = far[102:138, 32:88]
    outside = far[:90]
    assert np.median(inside) > 3 and np.quantile(outside, 0.95) < 1


def test_light_is_told_by_colour_and_darkness(scene):
    grey = np.repeat(scene.mean(2, keepdims=True), 3, axis=2).astype(np.uint8)
    assert light(grey) == "infrared"
    assert light(scene) == "day"
    assert light((scene * 0.3).astype(np.uint8)) == "flash"


def test_thumbnail_squeezes(scene):
    assert thumbnail(np.zeros((480, 640, 3), np.uint8)).shape == (SIDE, SIDE, 3)
