import numpy as np
import pytest

from pelage.common.errors import PelageError
from pelage.common.seeds import generator
from pelage.training.augment import augment, augment_batch, colour_matrix, erase, flips, geometry, recolour

STILL = {"rotation": 0, "crop": 0, "colour": 0, "grey": 0, "erase": 0, "flip": "auto"}
LIVELY = {"rotation": 10, "crop": 0.3, "colour": 0.4, "grey": 0.3, "erase": 0.5, "flip": "auto"}


def picture(channels=4, height=32, width=64):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def test_nothing_to_do_changes_nothing():
    image = picture()
    np.testing.assert_array_equal(augment(image, "flank", STILL, generator(1)), image)


def test_a_flank_is_never_mirrored_and_a_face_is_half_of_the_time():
    image = picture()
    faces = [augment(image, "face", STILL, generator(1, i)) for i in range(40)]
    mirrored = [np.array_equal(face, image[:, ::-1]) for face in faces]
    assert 10 < sum(mirrored) < 30
    assert all(m or np.array_equal(face, image) for m, face in zip(mirrored, faces, strict=True))
    assert all(np.array_equal(augment(image, "flank", STILL, generator(1, i)), image) for i in range(40))
    assert flips("flank", "always") and not flips("face", "never")
    with pytest.raises(PelageError, match=r"augment.flip is 'left'.*always, auto, never"):
        flips("flank", "left")


def test_edges_follow_the_geometry():
    image = np.repeat(picture(1), 4, axis=2)  # the edge channel is a copy of each colour
    moved = augment(image, "flank", {**STILL, "rotation": 10, "crop": 0.3}, generator(1))
    assert not np.array_equal(moved, image)
    for channel in range(3):
        np.testing.assert_array_equal(moved[:, :, channel], moved[:, :, 3])


def test_edges_do_not_follow_the_colour():
    image = picture()
    changed = augment(image, "flank", {**STILL, "colour": 0.5}, generator(1))
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
        warp = np.vstack([geometry(64, 32, 0.0, 0.25, False, generator(number)), [0, 0, 1]])
        corners = np.linalg.inv(warp) @ np.array([[0, 64], [0, 32], [1, 1]])
        (left, right), (top, bottom), _ = corners
        assert left >= 0 and right <= 64 + 1e-9 and top >= 0 and bottom <= 32 + 1e-9
        assert 48 <= right - left <= 64 and 24 <= bottom - top <= 32


def test_erasing_hides_a_rectangle_of_2_to_20_percent():
    for number in range(50):
        image = np.full((50, 100, 4), (10, 20, 30, 255), np.uint8)
        erase(image, generator(number))
        assert (image[:, :, :3] == (10, 20, 30)).all()
        hidden = image[:, :, 3] == 0
        rows, columns = hidden.any(axis=1), hidden.any(axis=0)
        assert np.array_equal(hidden, np.outer(rows, columns))
        assert 0.01 < hidden.mean() < 0.22


def test_a_crop_depends_on_seed_epoch_and_place_only():
    images = np.stack([picture()] * 6)
    whole = augment_batch(images, "flank", LIVELY, seed=1, epoch=2, first=10)
    halves = [augment_batch(images[:3], "flank", LIVELY, 1, 2, first) for first in (13, 10)]
    np.testing.assert_array_equal(whole, np.concatenate(halves[::-1]))
    assert len(np.unique(whole.reshape(6, -1), axis=0)) == 6
    for other in ((2, 2, 10), (1, 3, 10)):
        assert not np.array_equal(whole, augment_batch(images, "flank", LIVELY, *other))
