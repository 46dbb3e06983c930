import math

import pytest
import torch
from pytorch_metric_learning.losses import CosFaceLoss
from torch.nn.functional import normalize

from pelage.losses.adaptive_cosface import AdaptiveCosFaceLoss, margin_shape


def test_margin_shape_by_hand():
    degrees = torch.tensor([0.0, 60.0, 90.0, 180.0], dtype=torch.float64)
    # cos 60 = 1/2: (1 - 1/4)^4 = 81/256
    expected = torch.tensor([1 / 11, (81 / 256 + 0.1) / 1.1, 1.0, 1 / 11], dtype=torch.float64)
    torch.testing.assert_close(margin_shape(torch.cos(torch.deg2rad(degrees))), expected)


def test_loss_by_hand():
    loss = AdaptiveCosFaceLoss(classes=2, dim=2, margin=0.3, scale=4.0)
    with torch.no_grad():
        loss.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
    embedding = torch.tensor([[0.5, math.sqrt(3) / 2]]) * 7  # 60 degrees from class 0, 30 from class 1
    true = 4 * (0.5 - 0.3 * (81 / 256 + 0.1) / 1.1)
    other = 4 * math.sqrt(3) / 2
    expected = math.log(math.exp(true) + math.exp(other)) - true
    assert loss(embedding, torch.tensor([0])).item() == pytest.approx(expected, rel=1e-5)


def test_gradient_agrees_with_finite_differences():
    torch.manual_seed(0)
    loss = AdaptiveCosFaceLoss(classes=5, dim=6, margin=0.28, scale=8.0).double()
    embeddings = torch.randn(7, 6, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 3, 4, 0, 1])

    def by_both(points, weight):
        return torch.func.functional_call(loss, {"weight": weight}, (points, labels))

    assert torch.autograd.gradcheck(by_both, (embeddings, loss.weight.detach().requires_grad_()))


def test_is_cosface_when_the_margin_has_no_shape():
    torch.manual_seed(0)
    ours = AdaptiveCosFaceLoss(classes=9, dim=16, margin=0.28, scale=64.0, shape=torch.ones_like)
    theirs = CosFaceLoss(num_classes=9, embedding_size=16, margin=0.28, scale=64.0)
    with torch.no_grad():
        theirs.W.copy_(ours.weight.T)
    labels = torch.randint(0, 9, (32,))
    mine, other = torch.randn(32, 16).requires_grad_(), None
    other = mine.detach().clone().requires_grad_()
    a, b = ours(mine, labels), theirs(other, labels)
    torch.testing.assert_close(a, b)
    a.backward()
    b.backward()
    torch.testing.assert_close(mine.grad, other.grad)
    torch.testing.assert_close(ours.weight.grad, theirs.W.grad.T)


def test_pushes_less_than_cosface_only_away_from_the_right_angle():
    loss = AdaptiveCosFaceLoss(classes=2, dim=2, margin=0.28, scale=16.0)
    flat = AdaptiveCosFaceLoss(classes=2, dim=2, margin=0.28, scale=16.0, shape=torch.ones_like)
    with torch.no_grad():
        loss.weight.copy_(torch.eye(2))
        flat.weight.copy_(torch.eye(2))
    right_angle, near = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.1]])
    label = torch.tensor([0])
    torch.testing.assert_close(loss(right_angle, label), flat(right_angle, label))
    assert loss(near, label) < flat(near, label)


def test_bf16_embeddings_lose_nothing_but_their_own_digits():
    torch.manual_seed(0)
    loss = AdaptiveCosFaceLoss(classes=9, dim=16)
    embeddings, labels = torch.randn(32, 16).bfloat16(), torch.randint(0, 9, (32,))
    with torch.autocast("cpu", torch.bfloat16):
        low = loss(embeddings, labels)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, loss(normalize(embeddings.float()), labels), rtol=1e-5, atol=1e-5)
    low.backward()
    assert loss.weight.grad.isfinite().all()
