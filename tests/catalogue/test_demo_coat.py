"""Coats: two different flanks an animal, the same in every encounter, at the same place of the body in any pose."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pelage.catalogue.demo.animal import Pose, body
from pelage.catalogue.demo.pattern import gray_scott, grow_coat
from pelage.catalogue.demo.render import Place, View, render
from pelage.common.seeds import generator

VIEW = View(focal=600, horizon=200, height=0.55)
ABOVE = np.array([0.0, 1.0, -0.5])


@pytest.fixture(scope="module")
def coats():
    return [grow_coat(7, individual) for individual in (0, 1)]


def grey(image: np.ndarray) -> np.ndarray:
    """Trunk of a flank, without its slow changes of brightness."""
    trunk = cv2.cvtColor(image[40:120, 60:260], cv2.COLOR_RGB2GRAY).astype(np.float32)
    return trunk - cv2.GaussianBlur(trunk, (0, 0), 20)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def flank_on_photo(coat, heading: float, pose: Pose, depth: float = 2.4) -> np.ndarray:
    """The trunk as seen from the side, head to the right, at a fixed size."""
    layer = render(body(pose), coat, Place(0.0, depth, heading), VIEW, ABOVE)
    image = np.zeros((480, 640, 3), np.float32)
    height, width = layer.cover.shape
    image[layer.top : layer.top + height, layer.left : layer.left + width] = layer.coat
    if np.cos(heading) < 0:
        image = image[:, ::-1]
    scale = VIEW.focal / (depth - 0.12)
    corners = np.float32([[320 - 0.3 * scale, 0], [320 + 0.2 * scale, 0], [0, 0], [0, 0]])
    rows = [VIEW.horizon + (VIEW.height - y) * scale for y in (0.58, 0.42)]
    source = np.float32([[corners[0, 0], rows[0]], [corners[1, 0], rows[0]], [corners[0, 0], rows[1]]])
    warp = cv2.getAffineTransform(source, np.float32([[0, 0], [150, 0], [0, 48]]))
    patch = cv2.cvtColor(cv2.warpAffine(image, warp, (150, 48)), cv2.COLOR_RGB2GRAY)
    return patch - cv2.GaussianBlur(patch, (0, 0), 16)


def test_gray_scott_without_activator_stays_flat_and_grows_spots_from_noise():
    spots = gray_scott(np.full((60, 60), 0.3, np.float32), 1500, generator(1, "spots"))
    assert np.isfinite(spots).all() and spots.min() > -1e-3 and 0.2 < spots.max() < 0.6
    count = cv2.connectedComponents((spots > 0.15).astype(np.uint8))[0] - 1
    assert 8 < count < 80


def test_coats_differ_between_flanks_and_animals_and_stay_over_life(coats):
    first, second = coats
    assert np.array_equal(grow_coat(7, 0).atlas, first.atlas)
    assert correlation(grey(first.flank("left")), grey(first.flank("right"))) < 0.25
    assert correlation(grey(first.flank("left")), grey(second.flank("left"))) < 0.25
    assert correlation(grey(first.face[60:160, 80:240]), grey(second.face[60:160, 80:240])) < 0.9
    assert grey(first.flank("left")).std() > 25  # rosettes are black on ochre


def test_a_flank_looks_the_same_in_other_poses_and_sizes(coats):
    plain = flank_on_photo(coats[0], 0.0, Pose())
    walking = flank_on_photo(coats[0], 0.0, Pose(phase=0.4, head_yaw=-0.9, tail_lift=0.4, head_drop=0.1), depth=2.8)
    other_animal = flank_on_photo(coats[1], 0.0, Pose())
    other_flank = flank_on_photo(coats[0], np.pi, Pose())
    assert correlation(plain, walking) > 0.5
    assert correlation(plain, other_animal) < 0.25
    assert correlation(plain, other_flank) < 0.25


def test_right_flank_is_seen_when_the_head_is_to_the_right(coats):
    """What stands to the right of the trunk's middle in the photo carries the right flank's colours, not the left's."""
    red, blue = coats[0].atlas.copy(), np.array([0, 0, 255], np.uint8)
    red[:200, :356, :3] = [255, 0, 0]
    red[:200, 364:720, :3] = blue
    painted = type(coats[0])(red)
    for heading, expected in ((0.0, 2), (np.pi, 0)):
        layer = render(body(Pose()), painted, Place(0.0, 2.4, heading), VIEW, ABOVE)
        middle = layer.coat[layer.coat.shape[0] // 2, layer.coat.shape[1] // 2]
        assert middle.argmax() == expected and middle.max() > 200


def test_faces_are_seen_from_the_front_only(coats):
    def head_and_eyes(heading: float) -> tuple[int, float]:
        layer = render(body(Pose()), coats[0], Place(0.0, 2.0, heading), VIEW, ABOVE)
        return int(layer.head.sum()), float(layer.eye.sum())

    front, back = head_and_eyes(-np.pi / 2), head_and_eyes(np.pi / 2)
    assert front[0] > 3000 and front[1] > 40
    assert back[1] < 1


def test_an_animal_outside_the_frame_is_not_there(coats):
    assert render(body(Pose()), coats[0], Place(9.0, 2.4, 0.0), VIEW, ABOVE) is None
