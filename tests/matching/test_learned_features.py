"""Learned keypoints: on the animal, strongest first, in the resized crop's pixels; from the memo the second time."""

import numpy as np
import pytest
import torch
from kornia.feature import ALIKED
from packing import pack_images
from safetensors.torch import save_file

from pelage.common.errors import PelageError
from pelage.matching.learned import features as learned_features
from pelage.matching.learned.features import (
    SPARE,
    WEIGHTS,
    extract,
    load_detector,
    load_state,
    read_learned_features,
)

CPU = torch.device("cpu")


def grid(crops) -> list:
    """A detector of known answers: a keypoint every 10 pixels, the brighter the stronger."""
    return [of_one(crop) for crop in crops]


def of_one(image):
    height, width = image.shape[2:]
    y, x = torch.meshgrid(torch.arange(0, height, 10), torch.arange(0, width, 10), indexing="ij")
    xy = torch.stack([x.flatten(), y.flatten()], 1)
    return xy.float(), image[0, 0, xy[:, 1], xy[:, 0]], (torch.ones(len(xy), 4) / 2).__getitem__


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

    def load(kind, folder, keypoints, device, batch):
        assert batch == 1
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


def test_a_gpu_takes_crops_of_equal_cells_together_and_finds_what_one_by_one_finds(tmp_path, monkeypatch):
    monkeypatch.setattr(learned_features, "BATCH", 3)
    (tmp_path / "aliked_n16.safetensors").write_bytes(b"weights")
    lots, real = [], learned_features.detect

    def on_cpu(crops, detector, keypoints, device):
        lots.append([crop.animal.shape for crop in crops])
        return real(crops, detector, keypoints, CPU)

    monkeypatch.setattr(learned_features, "load_detector", lambda *_: grid)
    monkeypatch.setattr(learned_features, "detect", on_cpu)
    heights = {"a": 60, "b": 40, "c": 33, "d": 64, "e": 65, "f": 59, "g": 90, "h": 58}
    images = {f"{name}.png": photo(height=height) for name, height in heights.items()}
    crops = pack_images(tmp_path, "crops", images)
    masks = pack_images(tmp_path, "masks", {name: image[:, :, 1] for name, image in images.items()})

    def read(device, cache, wanted=tuple(heights)):
        monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / cache))
        sizes = {"side": 100, "keypoints": 50, "device": torch.device(device)}
        return read_learned_features(crops, masks, wanted, "aliked", tmp_path, **sizes)

    alone = read("cpu", "one")
    assert [len(lot) for lot in lots] == [1] * 8
    lots.clear()
    for wanted, expected in (
        (("e", "a"), [[(65, 100)], [(60, 100)]]),
        (tuple(heights), [[(40, 100), (33, 100), (64, 100)], [(59, 100), (58, 100)], [(90, 100)]]),  # a, e are recalled
        (tuple(heights), []),
    ):
        together = read("cuda", "other", wanted)
        assert sorted(lots) == sorted(expected) and list(together) == sorted(wanted)
        for name, found in together.items():
            assert found.size == alone[name].size == (100, heights[name])
            assert np.array_equal(found.xy, alone[name].xy) and np.array_equal(found.strength, alone[name].strength)
        lots.clear()


def test_aliked_finds_in_a_crop_what_it_finds_whatever_comes_with_it(tmp_path):
    torch.manual_seed(0)
    state = ALIKED("aliked-n16").state_dict()
    save_file({name: value for name, value in state.items() if value.ndim}, tmp_path / WEIGHTS["aliked"])
    crops = [torch.rand(1, 3, height, width) for height, width in ((96, 70), (90, 64 + 1), (70, 96), (65, 81))]
    alone, many = (load_detector("aliked", tmp_path, 60, CPU, batch) for batch in (1, 4))
    network = ALIKED("aliked-n16", max_num_keypoints=60, detection_threshold=0.0).eval()
    network.load_state_dict(state)
    with torch.inference_mode():
        together = many(crops)
        for crop, found in zip(crops, together, strict=True):
            (whole,), (single,) = network(crop), alone([crop])
            expected = whole.keypoints, whole.keypoint_scores, whole.descriptors
            assert len(found[0]) == 60 and all(map(torch.equal, single[:2], expected[:2]))
            for own in (everything(single), everything(found)):
                for value, other in zip(own, expected, strict=True):
                    torch.testing.assert_close(value, other, rtol=0, atol=1e-4)
            assert single[2](torch.zeros(0, dtype=torch.long)).shape == (0, 128), "nothing lies on the animal"
            some = torch.tensor([40, 7, 8])
            torch.testing.assert_close(single[2](some), whole.descriptors[some], rtol=0, atol=1e-6)
        for left, right in zip(together, [*many(crops[:1]), *many(crops[1:])], strict=True):
            assert all(map(torch.equal, everything(left), everything(right))), "all batches are full"


def everything(found) -> tuple[torch.Tensor, ...]:
    """Positions, strengths and the descriptors of all."""
    xy, strength, describe = found
    return xy, strength, describe(torch.arange(len(xy)))


def test_missing_and_foreign_weights_are_said_in_words(tmp_path):
    with pytest.raises(PelageError, match="match_weights"):
        load_detector("aliked", tmp_path, 10, CPU)
    network = torch.nn.Linear(2, 1)
    for state in ({"weight": torch.ones(1, 2)}, {**network.state_dict(), "other": torch.ones(1)}):
        with pytest.raises(PelageError, match="another network"):
            load_state(network, state, tmp_path / "x.safetensors")
