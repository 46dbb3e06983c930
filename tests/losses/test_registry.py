import math

import pytest
import torch
from pytorch_metric_learning import losses
from torch import nn
from torch.nn.functional import cross_entropy, normalize, softplus, triplet_margin_loss

from pelage.common.errors import PelageError
from pelage.losses.adaptive_cosface import AdaptiveCosFaceLoss
from pelage.losses.mining import MINERS
from pelage.losses.registry import CLASS_LOSSES, LOSSES, PAIR_LOSSES, comparing, create_loss, loss_terms
from pelage.losses.softmax import LinearSoftmaxLoss
from pelage.losses.weighted_sum import WeightedSum

CONFIG = {"name": "adaptive_cosface", "margin": 0.2, "scale": 16.0, "miner": "semihard", "miner_margin": 0.2}

SUM = {"name": "arcface", "miner": "none", "plus": {"name": "triplet", "miner": "batch_hard", "weight": 0.5}}

KINDS = [
    *({"name": name, "miner": "none"} for name in LOSSES if name != "subcenter_arcface"),
    {"name": "subcenter_arcface", "miner": "none", "sub_centers": 2, "margin": 0.5},
    {"name": "contrastive", "miner": "none", "distance": "cosine"},
    {"name": "contrastive", "miner": "batch_hard", "margin": 1.0},
    {"name": "triplet", "miner": "none", "distance": "cosine"},
    {"name": "triplet", "miner": "batch_hard", "form": "soft_margin"},
    {"name": "triplet", "miner": "all", "form": "smooth"},
    {"name": "triplet", "miner": "easy", "form": "smooth"},
    {"name": "triplet", "miner": "one_semihard", "margin": 0.5, "miner_margin": "same"},
    {"name": "triplet", "miner": "all", "distance": "l2_squared"},
    {"name": "circle", "miner": "batch_hard"},
    {"name": "softmax", "miner": "none", "normalized": False},
    {"name": "arcface", "miner": "batch_hard", "miner_weights": True},
    {"name": "softmax", "normalized": False, "miner": "all", "miner_weights": True},
    SUM,
]


def described(config):
    return "-".join(str(value) for value in config.values() if not isinstance(value, dict)) + "+" * ("plus" in config)


def create(classes=4, dim=2, **config):
    return create_loss({**CONFIG, **config}, classes, dim)


def at(*degrees):
    """Embeddings of these directions and different lengths, which do not count."""
    angles = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([angles.cos(), angles.sin()], dim=1) * torch.arange(1, len(degrees) + 1)[:, None]


def chord(degrees):
    return 2 * math.sin(math.radians(degrees) / 2)


def cos(degrees):
    return math.cos(math.radians(degrees))


def approx(value):
    return pytest.approx(value, rel=1e-5)


def test_names_lead_to_the_right_losses():
    kinds = {
        "contrastive": losses.ContrastiveLoss,
        "triplet": losses.TripletMarginLoss,
        "circle": losses.CircleLoss,
        "arcface": losses.ArcFaceLoss,
        "subcenter_arcface": losses.SubCenterArcFaceLoss,
        "cosface": losses.CosFaceLoss,
        "adaptive_cosface": AdaptiveCosFaceLoss,
        "softmax": losses.NormalizedSoftmaxLoss,
    }
    assert set(kinds) == set(LOSSES)
    for name, kind in kinds.items():
        loss = create(name=name)
        assert type(loss.loss) is kind
        assert (loss.miner is not None) == (name in PAIR_LOSSES)
        assert bool(list(loss.parameters())) == (name in CLASS_LOSSES)
    assert type(create(name="softmax", normalized=False).loss) is LinearSoftmaxLoss


def test_contrastive_by_hand():
    points, labels = at(0.0, 60.0, 90.0), torch.tensor([0, 0, 1])
    # one positive pair, 60 degrees; negative pairs of 90 degrees (far enough) and 30; means over what costs something
    loss = create(name="contrastive", miner="none", margin=1.0)
    assert loss(points, labels).item() == approx(chord(60) + 1 - chord(30))
    loss = create(name="contrastive", miner="none", margin=0.5, distance="cosine")
    assert loss(points, labels).item() == approx(1 - cos(60) + 0.5 - (1 - cos(30)))


@pytest.mark.parametrize("distance", ["l2", "l2_squared", "cosine"])
def test_triplet_forms_by_hand(distance):
    points, labels = at(0.0, 20.0, 50.0), torch.tensor([0, 0, 1])
    far = {"l2": chord, "l2_squared": lambda a: chord(a) ** 2, "cosine": lambda a: 1 - cos(a)}[distance]
    differences = torch.tensor([far(20) - far(50), far(20) - far(30)])  # of either photo as anchor
    forms = {
        "margin": (differences + 0.7).relu(),
        "soft_margin": torch.log(1 + differences.exp()),
        "smooth": torch.log(1 + (differences + 0.7).exp()),
    }
    for form, expected in forms.items():
        loss = create(name="triplet", form=form, miner="none", margin=0.7, distance=distance)
        assert loss(points, labels).item() == approx(expected.mean().item())


def test_semihard_triplet_by_hand():
    # anchor 0 degrees, positive 20, negatives 30 (semi-hard), 10 (hard) and 90 (easy)
    points, labels = at(0.0, 20.0, 30.0, 10.0, 90.0), torch.tensor([0, 0, 1, 2, 3])
    # the positive as anchor (20 degrees from the other) sees its negatives at 10, 10 and 70: no semi-hard one
    assert create(name="triplet")(points, labels).item() == approx(chord(20) - chord(30) + 0.2)


def test_triplet_agrees_with_torch():
    torch.manual_seed(0)
    points, labels = torch.randn(10, 6), torch.arange(10) % 3
    unit = normalize(points)
    triplets = [
        (a, p, n)
        for a in range(10)
        for p in range(10)
        for n in range(10)
        if a != p and labels[a] == labels[p] and labels[a] != labels[n]
    ]
    a, p, n = torch.tensor(triplets).T
    each = triplet_margin_loss(unit[a], unit[p], unit[n], margin=0.3, reduction="none")
    loss = create(name="triplet", miner="none", margin=0.3)
    torch.testing.assert_close(loss(points, labels), each[each > 0].mean(), rtol=1e-4, atol=1e-5)


def test_circle_by_hand():
    points, labels = at(0.0, 40.0, 70.0, 100.0), torch.tensor([0, 0, 1, 2])
    margin, scale = 0.25, 8.0

    def one(anchor, positive, negatives):
        def near(other):
            return torch.tensor(cos(anchor - other))

        pull = torch.exp(-scale * (1 + margin - near(positive)).relu() * (near(positive) - (1 - margin)))
        push = sum(torch.exp(scale * (near(n) + margin).relu() * (near(n) - margin)) for n in negatives)
        return torch.log(1 + pull * push).item()

    expected = (one(0, 40, [70, 100]) + one(40, 0, [70, 100])) / 2  # the others have no positive
    loss = create(name="circle", miner="none", margin=margin, scale=scale)
    assert loss(points, labels).item() == approx(expected)


def classified(loss, centres):
    """Lay class centres at these degrees."""
    with torch.no_grad():
        loss.loss.W.copy_(at(*centres).T)
    return loss


def test_arcface_and_cosface_by_hand():
    # 60 degrees from its class, 30 from the other one
    points, label = at(60.0), torch.tensor([0])
    for name, true in (("arcface", math.cos(math.radians(60) + 0.5)), ("cosface", cos(60) - 0.5)):
        loss = classified(create(name=name, classes=2, margin=0.5, scale=4.0), [0.0, 90.0])
        expected = math.log(math.exp(4 * true) + math.exp(4 * cos(30))) - 4 * true
        assert loss(points, label).item() == approx(expected)


def test_subcenter_arcface_takes_the_nearest_centre_of_a_class():
    points, labels = at(60.0, 80.0), torch.tensor([0, 1])
    loss = classified(
        create(name="subcenter_arcface", classes=2, margin=0.5, sub_centers=2), [-90.0, 50.0, 180.0, 120.0]
    )
    plain = classified(create(name="arcface", classes=2, margin=0.5), [50.0, 120.0])
    torch.testing.assert_close(loss(points, labels), plain(points, labels))


def test_normalized_softmax_agrees_with_torch():
    torch.manual_seed(0)
    loss = create(name="softmax", classes=5, dim=6, scale=12.0)
    points, labels = torch.randn(9, 6), torch.arange(9) % 5
    cosine = normalize(points) @ normalize(loss.loss.W, dim=0)
    torch.testing.assert_close(loss(points, labels), cross_entropy(12 * cosine, labels))


def test_losses_of_classes_weigh_by_the_miner_only_if_asked():
    torch.manual_seed(0)
    points, labels = torch.randn(16, 8), torch.arange(16) % 4
    for name in CLASS_LOSSES:
        values = []
        for own in ({"miner": "none"}, {"miner": "hard"}, {"miner": "hard", "miner_weights": True}):
            torch.manual_seed(1)
            values.append(create(name=name, dim=8, **own)(points, labels).item())
        assert values[0] == values[1] > values[2]


def test_sum_is_the_weighted_sum_of_its_parts():
    torch.manual_seed(0)
    points, labels = torch.randn(16, 8), torch.arange(16) % 4
    plus = {"name": "triplet", "weight": 0.5, "miner": "batch_hard", "margin": 0.3}
    total = create(name="arcface", dim=8, plus=plus)
    arcface, triplet = total.losses
    hard = create(name="triplet", miner="batch_hard", margin=0.3)
    torch.testing.assert_close(triplet(points, labels), hard(points, labels))
    torch.testing.assert_close(total(points, labels), arcface(points, labels) + 0.5 * triplet(points, labels))
    assert type(total) is WeightedSum and type(arcface.loss) is losses.ArcFaceLoss and arcface.miner is None


def test_sum_learns_the_class_centres_of_both():
    total = create(name="arcface", plus={"name": "adaptive_cosface"}, classes=3, dim=5)
    assert sorted(tuple(parameter.shape) for parameter in total.parameters()) == [(3, 5), (5, 3)]


def test_fixed_centres_stay_where_they_start_and_the_network_learns_against_them():
    points, labels = torch.randn(8, 6).requires_grad_(), torch.arange(8) % 4
    for name in CLASS_LOSSES:
        loss = create(name=name, dim=6, centres="fixed")
        assert list(loss.parameters()) and not any(parameter.requires_grad for parameter in loss.parameters())
        (gradient,) = torch.autograd.grad(loss(points, labels), points)
        assert gradient.any()
    with pytest.raises(PelageError, match=r"loss.centres is 'frozen'; it must be one of fixed, learnt"):
        create(name="cosface", centres="frozen")


def test_parts_of_a_sum_begin_their_epochs():
    total = create(name="arcface", plus={"name": "triplet", "miner": "one_semihard", "margin": 0.3, "random_epochs": 2})
    points, labels = at(0.0, 5.0, 170.0), torch.tensor([0, 0, 1])
    mined = []
    for epoch in (1, 2):
        total.begin(epoch, seed=1)
        mined.append(len(total.losses[1].miner(points, labels)[0]))
    assert mined == [1, 0]  # at random; no semi-hard one


def test_plus_none_is_the_loss_alone():
    for plus in ("none", None):
        assert type(create(plus=plus).loss) is AdaptiveCosFaceLoss


def test_what_plus_leaves_out_is_the_first_one_s():
    config = {**CONFIG, "name": "arcface", "plus": {"name": "triplet", "margin": 0.4}}
    first, second = loss_terms(config)
    assert first["weight"] == second["weight"] == 1.0 and "plus" not in first
    assert second == {**first, "name": "triplet", "margin": 0.4}


@pytest.mark.parametrize("config", KINDS, ids=described)
def test_float32_under_autocast(config):
    torch.manual_seed(0)
    loss = create(**config, dim=8)
    points, labels = torch.randn(16, 8).bfloat16(), torch.arange(16) % 4
    loss.begin(0, seed=1)  # the same draws
    exact = loss(points.float(), labels)
    low = points.clone().requires_grad_()
    loss.begin(0, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(low, labels)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, exact)
    value.backward()
    assert low.grad.isfinite().all() and all(p.grad.isfinite().all() for p in loss.parameters())


@pytest.mark.parametrize("config", [c for c in KINDS if c["name"] != "circle"], ids=described)
def test_gradient_agrees_with_finite_differences(config):
    # not that of circle, which by its definition takes its own weights for constants
    torch.manual_seed(0)
    loss = create(**config, dim=5)
    points, labels = torch.randn(9, 5, dtype=torch.float64, requires_grad=True), torch.arange(9) % 4

    def value(*batch):
        loss.begin(0, seed=1)  # the same draws
        return loss(*batch)

    assert torch.autograd.gradcheck(value, (points, labels))


@pytest.mark.parametrize("config", KINDS, ids=described)
def test_copies_and_opposites_have_a_finite_gradient(config):
    torch.manual_seed(0)
    loss = create(**config, dim=8)
    copies = torch.randn(1, 8).expand(16, 8)
    for points in (copies, torch.cat([copies, -copies]), torch.eye(8), torch.zeros(8, 8)):
        points = points.clone().requires_grad_()
        value = loss(points, torch.arange(len(points)) % 4)
        value.backward()
        assert value.isfinite() and points.grad.isfinite().all()


@pytest.mark.parametrize("config", KINDS, ids=described)
def test_a_class_with_one_photo_does_no_harm(config):
    points = torch.randn(4, 8).requires_grad_()
    loss = create(**config, dim=8)
    for labels in ([0, 1, 2, 3], [0, 0, 0, 0], [0, 0, 0, 1]):
        value = loss(points, torch.tensor(labels))
        value.backward()
        assert value.isfinite() and points.grad.isfinite().all()


def hidden_identities():
    """8 identities, 12 photos each: a sign of the identity among numbers that mean nothing."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(96) % 8
    signs = nn.functional.one_hot(labels, 8) + 0.05 * torch.randn(96, 8, generator=rng)
    return torch.cat([signs, 0.6 * torch.randn(96, 24, generator=rng)], dim=1), labels


def nearest_is_right(points, labels):
    unit = normalize(points)
    nearest = (unit @ unit.T).fill_diagonal_(-2).argmax(dim=1)
    return (labels[nearest] == labels).float().mean().item()


@pytest.mark.parametrize("config", [c for c in KINDS if c["miner"] != "easy"], ids=described)
def test_learns_hidden_identities_by_heart(config):
    # not from easy triplets, which leave alone what is wrong
    torch.manual_seed(0)
    photos, labels = hidden_identities()
    embedder, loss = nn.Linear(32, 8), create(**config, classes=8, dim=8)
    assert nearest_is_right(photos, labels) < 0.5 and nearest_is_right(embedder(photos).detach(), labels) < 0.5
    optimizer = torch.optim.AdamW([*embedder.parameters(), *loss.parameters()], lr=0.02, weight_decay=0.5)
    for _ in range(120):
        optimizer.zero_grad()
        loss(embedder(photos), labels).backward()
        optimizer.step()
    assert nearest_is_right(embedder(photos).detach(), labels) == 1.0


def test_a_loss_and_its_miner_have_margins_of_their_own():
    """At 20 degrees the positive, at 30 and 45 negatives: further by 0.17 and 0.42."""
    points, labels = at(0.0, 20.0, 30.0, -45.0), torch.tensor([0, 0, 1, 2])
    gaps = {30.0: chord(20) - chord(30), 45.0: chord(20) - chord(45)}
    for miner_margin, mined in ((0.2, [30.0]), (0.5, [30.0, 45.0])):
        loss = create(name="triplet", margin=0.6, miner_margin=miner_margin)
        expected = sum(gaps[negative] + 0.6 for negative in mined) / len(mined)
        assert loss(points, labels).item() == approx(expected)
    same = create(name="triplet", margin=0.2, miner_margin="same")
    assert same(points, labels).item() == create(name="triplet", margin=0.2)(points, labels).item()


def test_a_cosine_or_an_angle_is_no_margin_of_a_miner():
    for name in ("circle", "arcface"):
        with pytest.raises(PelageError, match=rf"miner_margin is 'same', but the margin of {name} is no distance"):
            create(name=name, miner_margin="same", miner_weights=True)
        create(name=name, miner_margin="same", miner_weights=True, miner="hard")


def test_losses_that_compare_photos_are_told_apart():
    assert [name for name in LOSSES if comparing({**CONFIG, "name": name})] == list(PAIR_LOSSES)
    assert comparing(SUM | {"margin": 0.2, "scale": 16.0}) == ["triplet"]
    assert comparing({**CONFIG, "miner_weights": True}) == ["adaptive_cosface"]
    assert comparing({**CONFIG, "miner_weights": True, "miner": "none"}) == []


def test_every_miner_serves_every_loss():
    torch.manual_seed(0)
    points, labels = torch.randn(16, 8), torch.arange(16) % 4
    for name in LOSSES:
        for miner in MINERS:
            loss = create(name=name, miner=miner, miner_weights=True, form="smooth", dim=8)
            assert loss(points, labels).isfinite()


def test_softplus_of_far_triplets_does_not_overflow():
    loss = create(name="triplet", form="smooth", miner="none", margin=2.0)
    points, labels = at(0.0, 180.0, 0.0), torch.tensor([0, 0, 1])
    # anchor 0: d+ = 2, d- = 0; anchor 1: d+ = 2, d- = 2
    expected = (softplus(torch.tensor(4.0)) + softplus(torch.tensor(2.0))) / 2
    assert loss(points, labels).item() == approx(expected.item())
