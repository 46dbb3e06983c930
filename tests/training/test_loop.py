import copy
import dataclasses

import numpy as np
import pytest
import torch

from pelage.common.errors import PelageError
from pelage.training import loop
from pelage.training.dataset import TrainingData
from pelage.training.loop import learning_rate, train
from pelage.training.validation import answerable
from pelage.training.variant import Variant

CPU = torch.device("cpu")


class Kept:
    """A checkpoint in memory."""

    def __init__(self, state=None):
        self.states = [] if state is None else [state]

    def load(self):
        return self.states[-1] if self.states else None

    def save(self, state):
        self.states.append(copy.deepcopy(state))


def variant(**sections):
    fields = {
        "model": {"backbone": "test_efficientnet", "weights": "none", "stride": "none", "pooling": "avg", "dim": 16,
                  "dropout": 0.1, "batch_norm": False, "width": 32, "height": 32},
        "loss": {"name": "adaptive_cosface", "margin": 0.28, "scale": 16.0, "miner": "semihard"},
        "train": {"seed": 1, "epochs": 3, "patience": 9, "validate_every": 1, "identities_per_batch": 4,
                  "photos_per_identity": 2, "optimizer": "adamw", "lr": 0.003, "backbone_lr_ratio": 1.0,
                  "weight_decay": 0.01, "warmup": 0.1, "freeze_norm": False, "workers": 2},
        "augment": {"rotation": 5, "perspective": 0.05, "crop": 0.1, "colour": 0.1, "grey": 0.1, "blur": 0.1,
                    "erase": 0.1, "background": 0.0, "flip": "never"},
    }  # fmt: skip
    for section, values in sections.items():
        fields[section] = {**fields[section], **values}
    return Variant("tiny", "flank", "crop", 3, **fields)


def striped(labels=6, photos=6):
    """Coats that anyone can tell: stripes of a label's own direction and width, of any phase and brightness."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    images, names = [], []
    for label in range(labels):
        for _ in range(photos):
            angle, width = label * np.pi / labels, 2 + label % 3
            wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) / width + rng.uniform(0, 6))
            pixels = 128 + 80 * wave[:, :, None] + rng.normal(0, 20, (32, 32, 1)) + rng.uniform(-20, 20, 3)
            images.append(np.clip(pixels, 0, 255).astype(np.uint8))
            names.append(label)
    names = np.array(names)
    asked = np.arange(len(names)) % photos >= photos - 2
    places = np.arange(len(names))
    queries, gallery = places[asked], places[~asked]
    allowed = np.ones((len(queries), len(gallery)), bool)
    validation = answerable(queries, gallery, names.astype(str), allowed)
    ids = tuple(f"{place}#0" for place in places)
    mirrored = np.zeros(len(gallery), bool)
    return TrainingData(ids, np.stack(images), None, gallery, mirrored, names[gallery], validation, 0)


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_rate_rises_and_falls():
    assert [learning_rate(step, 10, 0.3) for step in range(4)] == pytest.approx([1 / 4, 2 / 4, 3 / 4, 1.0])
    assert learning_rate(5, 10, 0.0) == pytest.approx(0.5)
    assert learning_rate(9, 10, 0.0) == pytest.approx(0.0245, abs=1e-4)
    assert learning_rate(0, 1, 1.0) == 0.5


@pytest.mark.parametrize("loss", [{}, {"name": "cosface"}, {"name": "triplet", "margin": 0.2}])
def test_learns_coats_that_anyone_can_tell(loss):
    longer = variant(loss=loss, train={"epochs": 30, "lr": 0.005, "patience": 30})
    trained = train(longer, striped(labels=4), None, CPU, 8, Kept())
    best = trained.history[trained.best_epoch - 1]
    assert best["val_map"] == max(row["val_map"] for row in trained.history) > 0.65
    assert trained.history[-1]["loss"] < 0.7 * trained.history[0]["loss"]


def test_same_seed_same_bytes_whatever_the_workers_and_the_global_state():
    first = train(variant(), striped(), None, CPU, 8, Kept())
    torch.manual_seed(99)
    again = train(variant(train={"workers": 1}), striped(), None, CPU, 8, Kept())
    assert same(first.state, again.state) and first.history == again.history
    other = train(variant(train={"seed": 2}), striped(), None, CPU, 8, Kept())
    assert not same(first.state, other.state)


@pytest.mark.parametrize("done", [1, 2, 3])
def test_goes_on_after_any_epoch_as_if_nothing_had_happened(done):
    whole = Kept()
    first = train(variant(), striped(), None, CPU, 8, whole)
    resumed = train(variant(), striped(), None, CPU, 8, Kept(whole.states[done - 1]))
    assert same(first.state, resumed.state) and first.history == resumed.history
    assert first.best_epoch == resumed.best_epoch
    assert ("optimizer" in whole.states[done - 1]) == (done < 3)  # a finished one holds what the outputs need


def test_stops_when_validation_no_longer_improves_and_keeps_the_best(monkeypatch):
    values = iter([0.1, 0.5, 0.4, 0.5, 0.3, 0.9])
    monkeypatch.setattr(loop, "retrieval", lambda *_: (0.0, next(values)))
    kept = Kept()
    trained = train(variant(train={"epochs": 6, "patience": 3}), striped(), None, CPU, 8, kept)
    assert trained.best_epoch == 2 and len(trained.history) == 5
    assert same(trained.state, kept.states[1]["model"])


def test_validates_every_few_epochs_and_after_the_last():
    trained = train(variant(train={"epochs": 5, "validate_every": 2}), striped(), None, CPU, 8, Kept())
    assert [row["val_map"] is not None for row in trained.history] == [False, True, False, True, True]
    assert trained.best_epoch in (2, 4, 5)


def test_without_validation_all_epochs_run_and_the_last_weights_stay():
    data = dataclasses.replace(striped(), validation=None)
    kept = Kept()
    trained = train(variant(train={"epochs": 4, "patience": 1}), data, None, CPU, 8, kept)
    assert trained.best_epoch == 4 and [row["val_map"] for row in trained.history] == [None] * 4
    assert same(trained.state, kept.states[-1]["best"]["model"])


def test_a_loss_that_is_no_number_names_variant_epoch_and_photos_and_keeps_what_was_saved(monkeypatch):
    data = striped()
    calls = iter(range(100))
    true_loss = loop.create_loss

    class Failing(torch.nn.Module):
        def __init__(self, *arguments):
            super().__init__()
            self.true = true_loss(*arguments)

        def forward(self, points, labels):
            return self.true(points, labels) * (float("nan") if next(calls) == 4 else 1)

    monkeypatch.setattr(loop, "create_loss", Failing)
    kept = Kept()
    with pytest.raises(
        PelageError, match=r"Training tiny: the loss of batch 2 of epoch 2 is nan.*train.lr.*\d+#0, "
    ) as told:
        train(variant(), data, None, CPU, 8, kept)
    assert len(kept.states) == 1 and kept.states[0]["epoch"] == 1
    assert all(value.isfinite().all() for value in kept.states[0]["model"].values() if value.is_floating_point())
    assert len(str(told.value).split("batch: ")[1].split(", ")) == 8


def test_rates_and_decay_of_the_groups():
    trainer = loop._Trainer(variant(train={"backbone_lr_ratio": 0.1}), striped(), None, CPU, 8)
    backbone = {id(p) for p in trainer.embedder.backbone.parameters()}
    seen = 0
    for group in trainer.optimizer.param_groups:
        for parameter in group["params"]:
            seen += 1
            assert group["ratio"] == (0.1 if id(parameter) in backbone else 1.0)
            assert group["weight_decay"] == (0.01 if parameter.ndim > 1 else 0.0)
    assert seen == len([*trainer.embedder.parameters(), *trainer.loss.parameters()])


def test_frozen_norms_keep_their_statistics():
    start = loop._Trainer(variant(train={"freeze_norm": True}), striped(), None, CPU, 8).embedder.state_dict()
    trained = train(variant(train={"freeze_norm": True, "epochs": 1}), striped(), None, CPU, 8, Kept())
    moving = [name for name in start if "running" in name and name.startswith("backbone")]
    assert moving and all(torch.equal(trained.state[name], start[name]) for name in moving)
