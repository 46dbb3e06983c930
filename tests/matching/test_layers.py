"""Layers made ready for inference against kornia's."""

import pytest
import torch
from kornia.feature import LightGlue

from pelage.matching.learned.layers import _attention, prepare_layers


@pytest.fixture(scope="module")
def network() -> LightGlue:
    torch.manual_seed(5)
    return LightGlue(features=None, input_dim=128, n_layers=2, descriptor_dim=64, num_heads=2).eval()


def sides(network: LightGlue, *counts: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    torch.manual_seed(7)
    points = [torch.randn(3, count, 64) for count in counts]
    with torch.inference_mode():
        return points, [network.posenc(torch.rand(3, count, 2) * 2 - 1) for count in counts]


def test_a_layer_is_that_of_kornia(network):
    points, encodings = sides(network, 40, 24)
    for layer, ready in zip(network.transformers, prepare_layers(network, torch.float32), strict=True):
        with torch.inference_mode():
            expected, points = layer(*points, *encodings), ready(points, encodings)
        for left, right in zip(expected, points, strict=True):
            torch.testing.assert_close(left, right, atol=2e-5, rtol=1e-4)


def test_half_precision_rounds_about_as_much_as_autocast_does(network):
    points, encodings = sides(network, 40, 24)
    (layer, *_), (ready, *_) = network.transformers, prepare_layers(network, torch.bfloat16)
    with torch.inference_mode():
        exact = layer(*points, *encodings)
        with torch.autocast("cpu", torch.bfloat16):
            cast = layer(*points, *encodings)
        found = ready(points, encodings)
    for true, theirs, ours in zip(exact, cast, found, strict=True):
        assert ours.dtype == torch.float32
        assert 0 < (ours - true).abs().mean() < 1.5 * (theirs.float() - true).abs().mean()


def test_attention_is_that_of_torch():
    torch.manual_seed(1)
    query, key, value = (torch.randn(2, 3, count, 8) for count in (5, 7, 7))
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=1)
    torch.testing.assert_close(_attention(query, key, value), expected)
