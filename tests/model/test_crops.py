import numpy as np
import pytest
from packing import pack_images

from pelage.common.errors import PelageError
from pelage.common.files import sha256_bytes
from pelage.common.images import encode_png
from pelage.common.packs import Packs
from pelage.common.tables import crop_file
from pelage.model import crops
from pelage.model.crops import fit, present, read_crops, read_masks, view_channels


def packed(data, colours):
    """Return crops of one colour each, by crop id."""
    images = {crop_file(crop_id): np.full((20, 30, 4), colour, np.uint8) for crop_id, colour in colours.items()}
    return pack_images(data, "crops", images)


@pytest.mark.parametrize("limit", [crops.MEMORY_LIMIT, 10])
def test_crops_come_in_the_order_asked_from_memory_or_file(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(crops, "MEMORY_LIMIT", limit)
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / "cache"))
    crops_ = packed(tmp_path, {f"s/{number}#0": number for number in range(9)})
    ids = [f"s/{number}#0" for number in (4, 2, 8)]
    images, digests = read_crops(ids, crops_, channels=4, width=16, height=8)
    assert images.shape == (3, 8, 16, 4) and images.dtype == np.uint8
    assert images[:, 0, 0, 0].tolist() == [4, 2, 8]
    assert isinstance(images, np.memmap) == (limit == 10)
    assert digests[0] == sha256_bytes(encode_png(np.full((20, 30, 4), 4, np.uint8)))
    assert not [path for path in tmp_path.glob("cache/*") if path.stat().st_size]  # nothing is left behind


def test_shrinking_averages():
    image = np.zeros((4, 8, 3), np.uint8)
    image[::2, ::2] = 200
    np.testing.assert_array_equal(fit(image, 3, width=4, height=2), np.full((2, 4, 3), 50))


def test_masks_are_read_and_a_missing_one_is_the_whole_crop(tmp_path):
    mask = np.zeros((20, 30), np.uint8)
    mask[:10] = 255
    packs = pack_images(tmp_path, "masks", {crop_file("a#0"): mask})
    masks, digests = read_masks(["b#0", "a#0"], packs, width=3, height=4)
    assert masks.tolist() == [[[255] * 3] * 4, [[255] * 3] * 2 + [[0] * 3] * 2]
    assert digests == ["", sha256_bytes(encode_png(mask))]


def test_edges_are_dropped_for_rgb_and_demanded_for_four_channels():
    assert fit(np.zeros((4, 4, 4), np.uint8), 3, 2, 2).shape == (2, 2, 3)
    assert fit(np.zeros((4, 4), np.uint8), 3, 2, 2).shape == (2, 2, 3)
    with pytest.raises(PelageError, match=r"x.png has no edge channel"):
        fit(np.zeros((4, 4, 3), np.uint8), 4, 2, 2, "x.png")


def test_rejected_crops_are_absent_and_a_missing_folder_is_told(tmp_path):
    assert present(["b#0", "a#0"], packed(tmp_path, {"a#0": 1})) == ["a#0"]
    with pytest.raises(PelageError, match=r"none.csv is missing.*run the stage"):
        Packs(tmp_path / "none", tmp_path)


def test_views():
    assert view_channels("nobg", "v") == 3 and view_channels("crop_edge", "v") == 4
    with pytest.raises(PelageError, match=r"variants.x.view is 'hog'.*crop, crop_edge, nobg, nobg_edge"):
        view_channels("hog", "variants.x.view")
