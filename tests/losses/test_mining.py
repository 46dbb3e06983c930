from collections import Counter

import numpy as np
import pytest
import torch
from pytorch_metric_learning.losses import CosFaceLoss, TripletMarginLoss
from torch.nn.functional import normalize

from pelage.losses.adaptive_cosface import AdaptiveCosFaceLoss
from pelage.losses.mining import DISTANCES, MINERS, MinedLoss, create_distance, create_miner, mean_cross_entropy
from pelage.losses.registry import create_loss
from pelage.losses.softmax import LinearSoftmaxLoss

# photos 0 and 1 show one animal; for 0, photo 3 is nearer than 1, photo 2 a little further and photo 4 far away
DEGREES = torch.tensor([0.0, 20.0, 31.0, 10.0, 90.0])
LABELS = torch.tensor([0, 0, 1, 2, 3])
HARD = {(0, 1, 3), (1, 0, 2), (1, 0, 3)}
SEMIHARD = {(0, 1, 2)}
EASY = {(0, 1, 4), (1, 0, 4)}


def on_the_circle(degrees):
    angles = torch.deg2rad(degrees)
    return 5 * torch.stack([angles.cos(), angles.sin()], dim=1)  # length 5: only directions count


def mined(name, margin=0.2, distance="l2"):
    triplets = create_miner(name, margin, distance)(on_the_circle(DEGREES), LABELS)
    return set(zip(*(places.tolist() for places in triplets), strict=True))


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("all", HARD | SEMIHARD),
        ("easy", EASY),
        ("semihard", SEMIHARD),
        ("hard", HARD),
        ("batch_hard", {(0, 1, 3), (1, 0, 3)}),
        ("one_semihard", SEMIHARD),
    ],
)
def test_miners_choose_what_they_say(name, expected, distance):
    assert mined(name, distance=distance) == expected


def test_none_mines_nothing():
    assert create_miner("none", 0.2, "l2") is None
    assert MINERS == ("all", "easy", "semihard", "hard", "batch_hard", "one_semihard", "none")


def test_margin_is_in_the_unit_of_the_distance():
    # photo 2 is further than photo 1 by 2 sin 15.5 - 2 sin 10 = 0.19, and by cos 20 - cos 31 = 0.08
    assert mined("semihard", margin=0.1, distance="l2") == set()
    assert mined("semihard", margin=0.1, distance="cosine") == SEMIHARD


def test_distances_by_hand():
    points = on_the_circle(torch.tensor([0.0, 60.0]))
    assert create_distance("l2")(points)[0, 1].item() == pytest.approx(1.0, abs=1e-6)
    assert create_distance("l2_squared")(points)[0, 1].item() == pytest.approx(1.0, abs=1e-6)
    assert create_distance("cosine")(points)[0, 1].item() == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("create", [
    lambda: TripletMarginLoss(0.2),
    lambda: CosFaceLoss(num_classes=3, embedding_size=4, margin=0.28),
    lambda: AdaptiveCosFaceLoss(classes=3, dim=4),
    lambda: LinearSoftmaxLoss(classes=3, dim=4),
])  # fmt: skip
@pytest.mark.parametrize("name", [name for name in MINERS if name != "none"])
def test_a_batch_without_triplets_costs_nothing_and_can_be_learnt_from(name, create):
    points = torch.randn(3, 4).requires_grad_()
    loss = MinedLoss(create(), create_miner(name, 0.2, "l2"))
    for labels in ([0, 1, 2], [0, 0, 0]):
        value = loss(points, torch.tensor(labels))
        value.backward()
        assert value.item() == 0 and not points.grad.any()
        assert all(parameter.grad is not None and not parameter.grad.any() for parameter in loss.parameters())


def leopard_study_triplet_loss(features, labels, margin, choice, epoch):
    """The leopard study's loss as it stands (TripletLoss.py, `forward`), with its draws (`np.random.choice`) given."""
    dist_mat = torch.cdist(features, features)
    triplet_loss, counter = 0.0, 0
    for i in range(features.size(0)):
        pos_indices = (labels == labels[i]).nonzero(as_tuple=False).view(-1)
        pos_indices = pos_indices[pos_indices > i]
        neg_indices = (labels != labels[i]).nonzero(as_tuple=False).view(-1)
        if len(pos_indices) == 0 or len(neg_indices) == 0:
            continue
        for pos_idx in pos_indices:
            pos_dist = dist_mat[i, pos_idx]
            if epoch > 3:
                semi_hard_negatives = neg_indices[
                    (dist_mat[i, neg_indices] > pos_dist) & (dist_mat[i, neg_indices] < pos_dist + margin)
                ]
                if len(semi_hard_negatives) == 0:
                    continue
                weights = 1.0 / dist_mat[i, semi_hard_negatives]
                weights = weights / torch.sum(weights)
                neg_idx = choice(i, pos_idx.item(), semi_hard_negatives.tolist(), weights.tolist())
            else:
                neg_idx = choice(i, pos_idx.item(), neg_indices.tolist(), None)
            triplet_loss += (dist_mat[i, pos_idx] - dist_mat[i, neg_idx] + margin).relu()
            counter += 1
    return triplet_loss / counter if counter else torch.tensor(0.0)


@pytest.mark.parametrize("epoch", [0, 3, 4, 30])
def test_one_negative_a_pair_as_the_leopard_study_draws_and_counts_them(epoch):
    torch.manual_seed(0)
    points, labels = normalize(torch.randn(40, 8)), torch.arange(40) % 12
    config = {"name": "triplet", "margin": 0.2, "miner": "one_semihard", "random_epochs": 4}
    loss = create_loss(config, 12, 8)
    drawn, chances = Counter(), {}
    for seed in range(100):
        loss.begin(epoch, seed)
        triplets = torch.stack(loss.miner(points, labels), dim=1).tolist()
        given = {(anchor, positive): negative for anchor, positive, negative in triplets}
        assert len(given) == len(triplets)

        def choice(anchor, positive, allowed, weights, given=given):
            negative = given.pop((anchor, positive))
            drawn[anchor, positive, negative] += 1
            even = [1 / len(allowed)] * len(allowed)
            chances.update({(anchor, positive, one): p for one, p in zip(allowed, weights or even, strict=True)})
            return negative

        theirs = leopard_study_triplet_loss(points, labels, 0.2, choice, epoch)
        assert not given, "a pair that they leave out"
        if seed < 3:
            loss.begin(epoch, seed)
            torch.testing.assert_close(loss(points, labels), theirs)
    surprise = [(drawn[one] - 100 * p) / (100 * p * (1 - p)) ** 0.5 for one, p in chances.items() if 0 < p < 1]
    assert max(map(abs, surprise)) < 5.5 and abs(np.std(surprise) - 1) < 0.15


def test_draws_of_negatives_follow_from_seed_and_epoch():
    points, labels = torch.randn(24, 8, generator=torch.Generator().manual_seed(1)), torch.arange(24) % 6

    def drawn(epoch, seed):
        miner = create_miner("one_semihard", 0.2, "l2", random_epochs=9)
        miner.begin(epoch, seed)
        return [miner(points, labels)[2].tolist() for _ in range(2)]

    first = drawn(1, 1)
    assert first == drawn(1, 1) and first[0] != first[1]
    assert drawn(2, 1) != first != drawn(1, 2)


def test_cross_entropy_weighs_photos_by_their_triplets():
    logits, labels = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 0, 1])
    triplets = tuple(torch.tensor(places) for places in ([0, 1], [1, 0], [2, 2]))  # 2 places each: weights of 1
    torch.testing.assert_close(mean_cross_entropy(logits, labels, triplets), mean_cross_entropy(logits, labels))
    once = tuple(torch.tensor(places) for places in ([0, 0], [1, 1], [2, 0]))  # 3, 2 and 1 places
    each = torch.tensor([2.0, 1 + torch.e**-1, 1 + torch.e**-2]).log()
    expected = (each * torch.tensor([1, 2 / 3, 1 / 3])).mean()
    torch.testing.assert_close(mean_cross_entropy(logits, labels, once), expected)


def test_weights_of_our_own_losses_are_the_library_s():
    torch.manual_seed(0)
    ours = AdaptiveCosFaceLoss(classes=4, dim=8, margin=0.28, scale=16.0, shape=torch.ones_like)
    theirs = CosFaceLoss(num_classes=4, embedding_size=8, margin=0.28, scale=16.0)
    with torch.no_grad():
        theirs.W.copy_(ours.weight.T)
    points, labels = torch.randn(16, 8), torch.arange(16) % 4
    for name in ("hard", "batch_hard", "semihard"):
        miner = create_miner(name, 0.2, "l2")
        mine, other = MinedLoss(ours, miner)(points, labels), MinedLoss(theirs, miner)(points, labels)
        torch.testing.assert_close(mine, other)
        assert mine < MinedLoss(ours)(points, labels)
