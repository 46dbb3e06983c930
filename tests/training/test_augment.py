import numpy as np
import pytest

from pelage.common.errors import PelageError
from pelage.common.seeds import generator
from pelage.training.augment import (
    augment,
    colour_matrix,
    erase,
    flips_at_random,
    geometry,
    mirrors_are_others,
    recolour,
    swap_background,
)

STILL = {"rotation": 0, "perspective": 0, "crop": 0, "colour": 0, "grey": 0, "blur": 0, "erase": 0}


def picture(channels=4, height=32, width=64):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def test_nothing_to_do_changes_nothing():
    image = picture()
    np.testing.assert_array_equal(augment(image, STILL, generator(1)), image)


@pytest.mark.parametrize(
    ("part", "flip", "at_random", "as_others"),
    [
        ("flank", "auto", False, False),
        ("face", "auto", True, False),
        ("flank", "others", False, True),
        ("face", "others", True, False),
        ("flank", "always", True, False),
        ("face", "never", False, False),
    ],
)
def test_a_mirrored_flank_is_another_animals_and_a_mirrored_face_is_the_same(part, flip, at_random, as_others):
    assert flips_at_random(part, flip) == at_random and mirrors_are_others(part, flip) == as_others


def test_unknown_flip():
    with pytest.raises(PelageError, match=r"augment.flip is 'left'.*always, auto, never, others"):
        flips_at_random("flank", "left")


def test_edges_follow_the_geometry():
    image = np.repeat(picture(1), 4, axis=2)  # the edge channel is a copy of each colour
    moved = augment(image, {**STILL, "rotation": 10, "crop": 0.3, "perspective": 0.1}, generator(1))
    assert not np.array_equal(moved, image)
    for channel in range(3):
        np.testing.assert_array_equal(moved[:, :, channel], moved[:, :, 3])


def test_edges_do_not_follow_the_colour():
    image = picture()
    changed = augment(image, {**STILL, "colour": 0.5, "grey": 0.5, "blur": 1}, generator(1))
    np.testing.assert_array_equal(changed[:, :, 3], image[:, :, 3])
    assert not np.array_equal(changed[:, :, :3], image[:, :, :3])


def test_grey_has_the_luminance_of_the_photo():
    image = np.full((4, 6, 3), (200, 100, 50), np.uint8)
    grey = recolour(image, colour_matrix(image, 0.0, 1.0, generator(1)))
    assert np.unique(grey).tolist() == [124]  # 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2


def test_contrast_is_about_the_mean_and_brightness_about_black():
    image = np.array([[[50] * 3, [150] * 3]], np.uint8)
    rng = generator(3)
    brightness, contrast, _ = 1 + 0.4 * generator(3).uniform(-1, 1, 3)
    changed = recolour(image, colour_matrix(image, 0.4, 0.0, rng))
    np.testing.assert_allclose(
        changed[0, :, 0], np.clip(brightness * (100 + contrast * np.array([-50, 50])), 0, 255), atol=0.51
    )


def test_the_warp_shows_a_part_of_the_photo_stretched_to_the_whole():
    for number in range(50):
        seen = np.linalg.inv(geometry(64, 32, 0.0, 0.0, 0.25, generator(number))) @ [[0, 64], [0, 32], [1, 1]]
        (left, right), (top, bottom), _ = seen / seen[2]
        assert left >= -1e-4 and right <= 64 + 1e-4 and top >= -1e-4 and bottom <= 32 + 1e-4
        assert 48 - 1e-4 <= right - left <= 64 + 1e-4 and 24 - 1e-4 <= bottom - top <= 32 + 1e-4


def test_perspective_moves_each_corner_by_its_share_at_most():
    corners = np.array([[0, 64, 64, 0], [0, 0, 32, 32], [1, 1, 1, 1]])
    moves = []
    for number in range(50):
        seen = np.linalg.inv(geometry(64, 32, 0.0, 0.1, 0.0, generator(number))) @ corners
        moves.append((seen / seen[2] - corners)[:2] / [[64], [32]])
    assert 0.09 < np.abs(moves).max() <= 0.1 + 1e-5
    assert np.ptp(np.array(moves)[:, 0], axis=1).min() > 0  # the corners move apart: no mere shift


def test_a_swapped_background_is_the_other_camera_without_its_animal():
    image = np.full((4, 6, 4), (200, 0, 0, 9), np.uint8)
    other = np.full((4, 6, 4), (0, 0, 100, 5), np.uint8)
    other[:, 3:] = (0, 250, 0, 5)  # the other animal, on the right
    mask, other_mask = np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.uint8)
    mask[:2], other_mask[:, 3:] = 255, 255
    mask[1] = 51  # one fifth animal
    swapped = swap_background(image, mask, other, other_mask)
    assert (swapped[0] == (200, 0, 0, 9)).all() and (swapped[1] == (40, 0, 80, 9)).all()
    assert (swapped[2:] == (0, 0, 100, 9)).all()
    assert (image == (200, 0, 0, 9)).all()


def test_erasing_hides_a_rectangle_of_2_to_20_percent():
    for number in range(50):
        image = np.full((50, 100, 4), (10, 20, 30, 255), np.uint8)
        erase(image, generator(number))
        assert (image[:, :, :3] == (10, 20, 30)).all()
        hidden = image[:, :, 3] == 0
        rows, columns = hidden.any(axis=1), hidden.any(axis=0)
        assert np.array_equal(hidden, np.outer(rows, columns))
        assert 0.01 < hidden.mean() < 0.22
