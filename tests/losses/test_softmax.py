import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from pelage.losses.softmax import LinearSoftmaxLoss


def test_loss_by_hand():
    loss = LinearSoftmaxLoss(classes=2, dim=2)
    with torch.no_grad():
        loss.classifier.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        loss.classifier.bias.copy_(torch.tensor([0.5, 0.0]))
    # logits 3 + 0.5 and 2 * 1: the length of the embedding counts
    value = loss(torch.tensor([[3.0, 1.0]]), torch.tensor([1]))
    assert value.item() == pytest.approx(math.log(math.exp(3.5) + math.exp(2)) - 2, rel=1e-6)


def test_agrees_with_torch():
    torch.manual_seed(0)
    loss = LinearSoftmaxLoss(classes=5, dim=6)
    points, labels = torch.randn(9, 6), torch.arange(9) % 5
    torch.testing.assert_close(loss(points, labels), cross_entropy(loss.classifier(points), labels))


def test_bf16_embeddings_lose_nothing_but_their_own_digits():
    torch.manual_seed(0)
    loss = LinearSoftmaxLoss(classes=5, dim=6)
    points, labels = torch.randn(9, 6).bfloat16(), torch.arange(9) % 5
    with torch.autocast("cpu", torch.bfloat16):
        low = loss(points, labels)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, loss(points.float(), labels))
