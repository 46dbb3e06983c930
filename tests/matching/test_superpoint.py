"""SuperPoint: which pixel of a cell a channel stands for, suppression, and descriptors between cells, by hand."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.ndimage import map_coordinates

from pelage.common.errors import PelageError
from pelage.matching.learned.features import WEIGHTS, extract, load_detector
from pelage.matching.learned.lightglue import Effort, load_lightglue, match_pairs
from pelage.matching.learned.superpoint import SuperPoint, sampled

CPU = torch.device("cpu")


def network(**settings) -> SuperPoint:
    torch.manual_seed(0)
    return SuperPoint(**{"keypoints": 1000, "threshold": 0.016, "border": 0, **settings}).eval()


def detect(found: SuperPoint, height: int, width: int):
    with torch.inference_mode():
        return found(torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("channel", [0, 7, 8, 37])
def test_a_channel_is_a_pixel_of_its_cell(channel):
    always = network(border=1)
    torch.nn.init.zeros_(always.convPb.weight)
    torch.nn.init.zeros_(always.convPb.bias)
    always.convPb.bias.data[channel] = 5.0
    xy, descriptors, strength = detect(always, 27, 43)
    row, column = divmod(channel, 8)
    cells = [(x, y) for y in range(row, 24, 8) for x in range(column, 40, 8)]
    inside = [[x, y] for x, y in cells if 0 < x < 39 and 0 < y < 23]
    assert sorted(xy.tolist()) == sorted(inside)
    assert strength.unique().numel() == 1 and descriptors.shape == (len(xy), 256)


def test_keypoints_keep_their_distance_and_nothing_probable_is_left_out():
    found = network(radius=3)
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        xy, _, strength = found(image)
        few = SuperPoint(5, 0.016, 3, 0)
        few.load_state_dict(found.state_dict())
        assert torch.equal(few(image)[0], xy[:5])
    places = xy.numpy().astype(int)
    apart = np.abs(places[:, None] - places[None]).max(axis=2) + 99 * np.eye(len(places), dtype=int)
    assert len(places) > 50 and apart.min() > 3 and (np.diff(strength) <= 0).all()
    taken = np.zeros((64, 96), bool)
    for x, y in places:
        taken[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4] = True
    every = network(radius=0, keypoints=10**6)
    left = every(image)[0].numpy().astype(int)
    assert taken[left[:, 1], left[:, 0]].all()


def test_descriptors_are_interpolated_between_cells():
    grid = torch.randn(1, 6, 5, 7)
    xy = torch.tensor([[3.5, 3.5], [20.0, 11.0], [40.5, 30.25]])
    place = (xy.numpy() - 3.5) / (8 * np.array([7, 5]) - 4.5) * (np.array([7, 5]) - 1)
    expected = np.array([map_coordinates(layer, place.T[::-1], order=1, cval=0) for layer in grid[0].numpy()]).T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(sampled(grid, xy), expected, atol=1e-5)


def test_a_users_weights_detect_and_match(tmp_path):
    from kornia.feature import LightGlue

    save_file(network().state_dict(), tmp_path / WEIGHTS["superpoint"])
    glue = LightGlue(features=None, input_dim=256).state_dict()
    save_file(
        {name: tensor for name, tensor in glue.items() if tensor.ndim}, tmp_path / "superpoint_lightglue.safetensors"
    )
    detector = load_detector("superpoint", tmp_path, 200, CPU)
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    mask = np.zeros((60, 90), np.uint8)
    mask[10:50, 10:80] = 255
    features = extract(image, mask, detector, side=120, keypoints=50, device=CPU)
    assert len(features) == 50 and features.descriptors.shape == (50, 256) and features.size == (120, 80)
    glued = load_lightglue("superpoint", tmp_path, CPU)
    effort = Effort(batch=1, adaptive=False, give_up=0, glance=0, half=False)
    (matches,) = match_pairs(glued, [features], [features], effort)
    assert len(matches.query) <= 50
    save_file({"conv1a.weight": torch.zeros(64, 1, 3, 3)}, tmp_path / WEIGHTS["superpoint"])
    with pytest.raises(PelageError, match="another network"):
        load_detector("superpoint", tmp_path, 200, CPU)
