"""Learned keypoints: on the animal, strongest first, in the resized crop's pixels; from the memo the second time."""

import numpy as np
import pytest
import torch
from packing import pack_images

from pelage.common.errors import PelageError
from pelage.matching.learned import features as learned_features
from pelage.matching.learned.features import SPARE, extract, load_detector, load_state, read_learned_features

CPU = torch.device("cpu")


def grid(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A detector of known answers: a keypoint every 10 pixels, the brighter the stronger."""
    height, width = image.shape[2:]
    y, x = torch.meshgrid(torch.arange(0, height, 10), torch.arange(0, width, 10), indexing="ij")
    xy = torch.stack([x.flatten(), y.flatten()], 1)
    return xy.float(), torch.ones(len(xy), 4) / 2, image[0, 0, xy[:, 1], xy[:, 0]]


def photo(width=100, height=60) -> np.ndarray:
    ramp = np.linspace(0, 255, width).astype(np.uint8)
    return np.broadcast_to(ramp[None, :, None], (height, width, 3)).copy()


def test_keypoints_on_the_animal_strongest_first():
    mask = np.zeros((60, 100), np.uint8)
    mask[:, :50] = 255
    found = extract(photo(), mask, grid, side=100, keypoints=7, device=CPU)
    assert found.xy.tolist() == [[40, y] for y in range(0, 60, 10)] + [[30, 0]]
    assert (np.diff(found.strength) <= 0).all() and found.descriptors.dtype == np.float16
    assert found.size == (100, 60)


def test_a_crop_is_scaled_by_its_longer_side_and_an_empty_mask_has_no_keypoints():
    found = extract(photo(), np.ones((60, 100), np.uint8), grid, side=200, keypoints=1000, device=CPU)
    assert found.size == (200, 120) and len(found) == 20 * 12
    assert len(extract(photo(), np.zeros((60, 100), np.uint8), grid, side=200, keypoints=9, device=CPU)) == 0


def test_the_memo_is_asked_first_and_a_changed_mask_is_seen(tmp_path, monkeypatch):
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "aliked_n16.safetensors").write_bytes(b"weights")
    asked = []

    def load(kind, folder, keypoints, device):
        asked.append(keypoints)
        return grid

    monkeypatch.setattr(learned_features, "load_detector", load)
    crops = pack_images(tmp_path, "crops", {"a.png": photo()})

    def read(shown=255):
        masks = pack_images(tmp_path, "masks", {"a.png": np.full((60, 100), shown, np.uint8)})
        wanted = {"side": 100, "keypoints": 50, "device": CPU}
        return read_learned_features(crops, masks, ["a", "gone"], "aliked", tmp_path, **wanted)["a"]

    first = read()
    assert len(first) == 50 and asked == [SPARE * 50]
    with monkeypatch.context() as patched:
        patched.setattr(learned_features, "extract", lambda *_, **__: pytest.fail("found again"))
        again = read()
    assert all(np.array_equal(getattr(first, name), getattr(again, name)) for name in ("xy", "descriptors", "size"))
    assert len(read(shown=0)) == 0


def test_missing_and_foreign_weights_are_said_in_words(tmp_path):
    with pytest.raises(PelageError, match="match_weights"):
        load_detector("aliked", tmp_path, 10, CPU)
    network = torch.nn.Linear(2, 1)
    for state in ({"weight": torch.ones(1, 2)}, {**network.state_dict(), "other": torch.ones(1)}):
        with pytest.raises(PelageError, match="another network"):
            load_state(network, state, tmp_path / "x.safetensors")
