"""HED: agreement with a plain forward pass written out here, batches of unlike sizes, strict keys, the real weights."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from pelage.common.errors import PelageError
from pelage.model.weights import provide_weight, read_weights
from pelage.preprocess.hed import HED, hed_edges, load_hed


def _image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _plain(state, image):
    """One image through HED as its paper draws it, layer by layer."""
    x = torch.from_numpy(image[:, :, ::-1].astype(np.float32) - np.float32([104.00699, 116.66877, 122.67892]))
    x = x.permute(2, 0, 1)[None]
    sides = []
    for block, layers in enumerate([2, 2, 3, 3, 3], 1):
        if block > 1:
            x = functional.max_pool2d(x, 2, ceil_mode=True)
        for layer in range(1, layers + 1):
            key = f"block{block}_conv{layer}"
            x = functional.conv2d(x, state[f"{key}.weight"], state[f"{key}.bias"], padding=1).relu()
        side = functional.conv2d(x, state[f"dsn{block}.weight"], state[f"dsn{block}.bias"])
        sides.append(functional.interpolate(side, image.shape[:2], mode="bilinear", align_corners=False))
    fused = functional.conv2d(torch.cat(sides, 1), state["fuse.weight"], state["fuse.bias"])
    return fused.sigmoid()[0, 0].numpy() * 255


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = HED().eval()
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and "conv" in name:
            torch.nn.init.kaiming_normal_(parameter)  # so that deep layers matter
        elif "conv" in name:
            torch.nn.init.uniform_(parameter, -5, 5)  # so that padding which is not kept at zero would show
        elif parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.02)
    return model.requires_grad_(False)


@pytest.mark.parametrize("size", [(32, 48), (33, 47), (1, 1), (17, 5)])
def test_agrees_with_a_plain_forward_pass(model, size):
    image = _image(*size)
    assert np.abs(hed_edges(model, [image])[0] - _plain(model.state_dict(), image)).max() <= 0.51


def test_images_of_unlike_sizes_share_a_batch_and_keep_their_maps(model):
    images = [_image(40, 33, 1), _image(21, 60, 2), _image(9, 9, 3)]
    for image, edges in zip(images, hed_edges(model, images), strict=True):
        assert edges.shape == image.shape[:2] and edges.dtype == np.uint8
        assert np.abs(edges - _plain(model.state_dict(), image)).max() <= 0.6
        assert edges.std() > 1


def test_same_bytes_every_time(model):
    first, second = (hed_edges(model, [_image(50, 40)])[0] for _ in range(2))
    assert np.array_equal(first, second)


def test_weights_of_another_network_are_refused(model, tmp_path):
    state = model.state_dict()
    path = tmp_path / "hed.safetensors"
    with pytest.raises(PelageError, match="is missing"):
        load_hed(path)
    path.write_bytes(b"nothing")
    with pytest.raises(PelageError, match="no safetensors"):
        load_hed(path)
    save_file({key: value for key, value in state.items() if key != "dsn3.bias"}, path)
    with pytest.raises(PelageError, match=r"dsn3\.bias"):
        load_hed(path)
    save_file({**state, "fuse.weight": torch.zeros(1, 6, 1, 1)}, path)
    with pytest.raises(PelageError, match=r"fuse\.weight"):
        load_hed(path)
    save_file(state, path)
    assert load_hed(path).state_dict().keys() == state.keys()


def test_the_real_network_sees_a_square_and_agrees_with_the_plain_pass():
    try:
        weights = provide_weight(next(weight for weight in read_weights() if weight.name == "hed.safetensors"))
    except PelageError as error:
        pytest.skip(str(error))
    image = np.full((96, 96, 3), 90, np.uint8)
    image[30:70, 30:70] = (230, 190, 60)
    edges = hed_edges(load_hed(weights), [image])[0]
    assert np.abs(edges - _plain(load_file(weights), image)).max() <= 0.6
    assert edges[28:32, 40:60].max(0).min() > 128  # the upper side
    assert edges[45:55, 45:55].max() < 60 and edges[:15].max() < 60
