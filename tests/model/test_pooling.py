import pytest
import torch

from pelage.common.errors import PelageError
from pelage.model.pooling import AveragePooling, GemPooling, GridPooling, create_pooling


def test_gem_is_the_mean_at_1_and_the_maximum_far_up():
    features = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(GemPooling(1.0)(features), AveragePooling()(features))
    torch.testing.assert_close(GemPooling(400.0)(features.double()), features.amax((2, 3)), rtol=0.02, atol=0.01)
    # by hand, p = 3: ((1 + 8) / 2) ** (1 / 3)
    torch.testing.assert_close(GemPooling()(torch.tensor([[[[1.0, 2.0]]]])), torch.tensor([[4.5 ** (1 / 3)]]))


def test_the_exponent_of_gem_is_learnt_with_the_right_gradient():
    gem = GemPooling().double()
    features = torch.rand(2, 3, 2, 2, dtype=torch.float64)

    def at(exponent: float) -> float:  # GemPooling computes in float32, so by hand and not through gradcheck
        return float(features.pow(exponent).mean((2, 3)).pow(1 / exponent).sum())

    gem(features).sum().backward()
    numeric = (at(3 + 1e-4) - at(3 - 1e-4)) / 2e-4
    assert float(gem.exponent.grad) == pytest.approx(numeric, rel=1e-3) and numeric > 0


def test_grid_pooling_keeps_what_lies_where():
    features = torch.arange(2 * 4 * 6, dtype=torch.float32).view(1, 2, 4, 6)
    pooled = GridPooling(2, 3)(features).view(2, 2, 3)
    # by hand: the first cell of the first map holds 0, 1, 6, 7; the last of the second 40, 41, 46, 47
    assert pooled[0, 0, 0] == 3.5 and pooled[1, 1, 2] == 43.5
    torch.testing.assert_close(GridPooling(1, 1)(features), AveragePooling()(features))


def test_poolings_by_name():
    assert create_pooling("gem", None)[1] == 1 and create_pooling("grid", [2, 4])[1] == 8
    with pytest.raises(PelageError, match=r"model.pooling is 'map'"):
        create_pooling("map", None)
