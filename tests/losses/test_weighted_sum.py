import torch
from pytorch_metric_learning.losses import ArcFaceLoss, TripletMarginLoss

from pelage.losses.adaptive_cosface import AdaptiveCosFaceLoss
from pelage.losses.weighted_sum import WeightedSum


def test_is_the_sum_of_its_parts_and_so_is_its_gradient():
    torch.manual_seed(0)
    parts = [ArcFaceLoss(4, 8, margin=28.6, scale=16), TripletMarginLoss(0.3), AdaptiveCosFaceLoss(4, 8)]
    weights = [1.0, 0.25, 3.0]
    points, labels = torch.randn(12, 8).requires_grad_(), torch.arange(12) % 4
    total = WeightedSum(parts, weights)(points, labels)
    values = [part(points, labels) for part in parts]
    torch.testing.assert_close(total, values[0] + 0.25 * values[1] + 3 * values[2])
    (whole,) = torch.autograd.grad(total, points, retain_graph=True)
    each = [torch.autograd.grad(value, points)[0] for value in values]
    torch.testing.assert_close(whole, each[0] + 0.25 * each[1] + 3 * each[2])


def test_class_centres_of_all_parts_are_its_parameters():
    arcface, cosface = ArcFaceLoss(4, 8), AdaptiveCosFaceLoss(5, 8)
    total = WeightedSum([arcface, cosface], [1.0, 1.0])
    assert {id(parameter) for parameter in total.parameters()} == {id(arcface.W), id(cosface.weight)}
    assert set(total.state_dict()) == {"losses.0.W", "losses.1.weight"}
