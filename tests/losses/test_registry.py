import pytest
import torch
from pytorch_metric_learning.losses import CosFaceLoss, TripletMarginLoss

from pelage.common.errors import PelageError
from pelage.losses.adaptive_cosface import AdaptiveCosFaceLoss
from pelage.losses.registry import LOSSES, create_loss

CONFIG = {"name": "adaptive_cosface", "margin": 0.2, "scale": 16.0, "miner": "semihard"}


def test_names_lead_to_the_right_losses():
    kinds = {"triplet": TripletMarginLoss, "cosface": CosFaceLoss, "adaptive_cosface": AdaptiveCosFaceLoss}
    assert set(kinds) == set(LOSSES)
    for name, kind in kinds.items():
        assert isinstance(create_loss({**CONFIG, "name": name}, classes=3, dim=4).loss, kind)


def test_semihard_triplet_by_hand():
    # unit vectors; anchor 0 degrees, positive 20, negatives 30 (semi-hard), 10 (hard) and 90 (easy)
    angles = torch.deg2rad(torch.tensor([0.0, 20.0, 30.0, 10.0, 90.0]))
    points = torch.stack([angles.cos(), angles.sin()], dim=1)
    labels = torch.tensor([0, 0, 1, 2, 3])
    loss = create_loss({**CONFIG, "name": "triplet", "margin": 0.2}, classes=4, dim=2)

    def chord(degrees):
        return 2 * torch.sin(torch.deg2rad(torch.tensor(degrees / 2)))

    # the positive as anchor (20 degrees from the other) sees its negatives at 10, 10 and 70: no semi-hard one
    torch.testing.assert_close(loss(points, labels), chord(20) - chord(30) + 0.2)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_few_steps_pull_classes_apart(name):
    torch.manual_seed(0)
    points = torch.randn(16, 8).requires_grad_()
    labels = torch.arange(16) % 4
    loss = create_loss({**CONFIG, "name": name, "miner": "all"}, classes=4, dim=8)
    optimizer = torch.optim.Adam([points, *loss.parameters()], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss(points, labels).backward()
        optimizer.step()
    unit = torch.nn.functional.normalize(points.detach())
    cosine, same = unit @ unit.T, labels[:, None] == labels
    assert cosine[same].mean() > cosine[~same].mean() + 0.6


def test_unknown_names_are_told():
    with pytest.raises(PelageError, match=r"loss.name is 'arcfaze'.*adaptive_cosface, cosface, triplet"):
        create_loss({**CONFIG, "name": "arcfaze"}, 3, 4)
    with pytest.raises(PelageError, match=r"loss.miner is 'easy'.*all, hard, semihard"):
        create_loss({**CONFIG, "name": "triplet", "miner": "easy"}, 3, 4)
