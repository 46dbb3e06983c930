import copy
import dataclasses

import numpy as np
import pytest
import torch

from pelage.common.errors import PelageError
from pelage.common.seeds import derive
from pelage.evaluation.masks import Masks
from pelage.training import learner, loop
from pelage.training.dataset import TrainingData
from pelage.training.loop import train
from pelage.training.summary import summary
from pelage.training.validation import CRITERION, SCORES, Validation
from pelage.training.variant import Variant
from pelage.training.world import ALONE

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
        "train": {"seed": 1, "epochs": 3, "patience": 9, "validate_every": 1, "umap_every": 0,
                  "sampler": "balanced", "min_photos": 1,
                  "identities_per_batch": 4, "photos_per_identity": 2, "accumulate": 1, "optimizer": "adamw",
                  "momentum": 0.9, "lr": 0.003,
                  "backbone_lr_ratio": 1.0, "layer_decay": 1.0, "weight_decay": 0.01, "schedule": "cosine",
                  "warmup": 0.1, "plateau_factor": 0.5, "plateau_patience": 0, "clip_norm": 0, "ema": 0,
                  "freeze_backbone": 0, "freeze_norm": False, "precision": "auto", "channels_last": True,
                  "compile": False, "processes": 1, "workers": 2},
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
    masks = Masks((names[queries], names[gallery]), ())
    validation = Validation(queries, gallery, masks, masks)
    ids = tuple(f"{place}#0" for place in places)
    mirrored = np.zeros(len(gallery), bool)
    return TrainingData(ids, np.stack(images), None, gallery, mirrored, names[gallery], gallery, validation, 0)


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_without_epochs_the_network_stays_as_its_weights_are():
    asis = variant(model={"depth": 0}, train={"epochs": 0})
    kept = Kept()
    trained = train(asis, striped(), None, CPU, 8, kept)
    torch.manual_seed(derive(1, "start"))
    start = learner.Learner(asis, 6, None, 0, CPU, ALONE)
    assert same(trained.state, start.learnt.state_dict())
    assert [(row["epoch"], row["loss"]) for row in trained.history] == [(0, None)] and trained.best_epoch == 0
    assert 0 < trained.history[0]["val_map"] < 1
    again = train(asis, striped(), None, CPU, 8, Kept(kept.states[-1]))
    assert again.history == trained.history and same(again.state, trained.state)
    told = summary(striped(), trained)
    assert (told["epochs_run"], told["best_epoch"], told["train_loss"]) == (0, 0, None)


@pytest.mark.parametrize("loss", [{}, {"name": "cosface"}, {"name": "triplet", "margin": 0.2}])
def test_learns_coats_that_anyone_can_tell(loss):
    longer = variant(loss=loss, train={"epochs": 20, "lr": 0.005, "patience": 20})
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


LATER = {"epochs": 4, "freeze_backbone": 2, "ema": 0.9}
MOMENTUM = {"optimizer": "sgd", "lr": 0.03, "schedule": "plateau", "layer_decay": 0.8, "clip_norm": 1.0}
HALF = {"precision": "fp16", "accumulate": 2, "schedule": "one_cycle", "channels_last": False}


@pytest.mark.parametrize("config", [{}, LATER, MOMENTUM, HALF], ids=["default", "later", "momentum", "half"])
def test_goes_on_after_any_epoch_as_if_nothing_had_happened(config):
    whole, own = Kept(), variant(train=config)
    first = train(own, striped(), None, CPU, 8, whole)
    for done in (1, 2, 3):
        resumed = train(own, striped(), None, CPU, 8, Kept(whole.states[done - 1]))
        assert same(first.state, resumed.state) and first.history == resumed.history, f"after {done}"
        assert first.best_epoch == resumed.best_epoch
        # a finished one holds what the outputs need and nothing else
        assert ("learner" in whole.states[done - 1]) == (done < own.train["epochs"])


LEOPARDS = {"optimizer": "adam", "weight_decay": 0.0, "schedule": "constant", "warmup": 0.0, "sampler": "exhaustive"}


@pytest.mark.parametrize("done", [1, 2])
def test_random_and_semihard_negatives_go_on_too(done):
    """As the leopard study trains: of three epochs the first two draw negatives from all."""
    mined = {"name": "triplet", "margin": 0.2, "miner": "one_semihard", "random_epochs": 2}
    whole, own = Kept(), variant(loss=mined, train=LEOPARDS)
    first = train(own, striped(), None, CPU, 8, whole)
    resumed = train(own, striped(), None, CPU, 8, Kept(whole.states[done - 1]))
    assert same(first.state, resumed.state) and first.history == resumed.history
    assert [row["lr"] for row in first.history] == [0.003] * 3


def test_fixed_centres_stay_through_a_training_and_learnt_ones_do_not():
    for centres, stay in (("fixed", True), ("learnt", False)):
        kept = Kept()
        train(variant(loss={"centres": centres}, train=LEOPARDS), striped(), None, CPU, 8, kept)
        first, second = (state["learner"]["loss"] for state in kept.states[:2])
        assert same(first, second) == stay


def test_stops_when_validation_no_longer_improves_and_keeps_the_best(monkeypatch):
    values = iter([0.1, 0.5, 0.4, 0.5, 0.3, 0.9])
    monkeypatch.setattr(Validation, "metrics", lambda *_: dict.fromkeys(SCORES, 0.0) | {CRITERION: next(values)})
    kept = Kept()
    trained = train(variant(train={"epochs": 6, "patience": 3}), striped(), None, CPU, 8, kept)
    assert trained.best_epoch == 2 and len(trained.history) == 5
    assert same(trained.state, kept.states[1]["learner"]["model"])


def test_validates_every_few_epochs_and_after_the_last():
    trained = train(variant(train={"epochs": 5, "validate_every": 2}), striped(), None, CPU, 8, Kept())
    assert [row["val_map"] is not None for row in trained.history] == [False, True, False, True, True]
    assert trained.best_epoch in (2, 4, 5)


def test_pictures_every_few_epochs_each_starting_from_the_one_before(monkeypatch):
    def moved(points, before, seed):
        return (points[:, :2] if before is None else before + points[:, :2]).copy()

    monkeypatch.setattr(loop, "lay_out", moved)
    own, kept = variant(train={"epochs": 5, "validate_every": 3, "umap_every": 2}), Kept()
    trained = train(own, striped(), None, CPU, 8, kept)
    assert list(trained.pictures) == [2, 4, 5]
    assert [row["val_map"] is not None for row in trained.history] == [False, False, True, False, True]
    assert all(places.shape == (36, 2) for places in trained.pictures.values())
    resumed = train(own, striped(), None, CPU, 8, Kept(kept.states[2]))
    assert same(trained.pictures, resumed.pictures) and same(trained.state, resumed.state)
    plain = train(variant(train={"epochs": 5, "validate_every": 3}), striped(), None, CPU, 8, Kept())
    assert same(plain.state, trained.state) and not plain.pictures


def test_without_validation_all_epochs_run_and_the_last_weights_stay():
    data = dataclasses.replace(striped(), validation=None)
    kept = Kept()
    trained = train(variant(train={"epochs": 4, "patience": 1}), data, None, CPU, 8, kept)
    assert trained.best_epoch == 4 and [row["val_map"] for row in trained.history] == [None] * 4
    assert same(trained.state, kept.states[-1]["best"]["model"])


def test_a_loss_that_is_no_number_names_variant_epoch_and_photos_and_keeps_what_was_saved(monkeypatch):
    data = striped()
    calls = iter(range(100))
    true_loss = learner.create_loss

    class Failing(torch.nn.Module):
        def __init__(self, *arguments):
            super().__init__()
            self.true = true_loss(*arguments)

        def begin(self, epoch, seed):
            self.true.begin(epoch, seed)

        def forward(self, points, labels):
            return self.true(points, labels) * (float("nan") if next(calls) == 4 else 1)

    monkeypatch.setattr(learner, "create_loss", Failing)
    kept = Kept()
    with pytest.raises(
        PelageError, match=r"Training tiny, epoch 2: the loss of batch 2 is nan.* weights of epoch 1.*train.lr.*\d+#0, "
    ) as told:
        train(variant(), data, None, CPU, 8, kept)
    assert len(kept.states) == 1 and kept.states[0]["epoch"] == 1
    assert all(
        value.isfinite().all() for value in kept.states[0]["learner"]["model"].values() if value.is_floating_point()
    )
    assert len(str(told.value).split("batch: ")[1].split(", ")) == 8


def test_weights_that_the_last_step_of_an_epoch_spoilt_are_never_kept(monkeypatch):
    real = learner.Learner.step

    def spoilt(self, number):
        rate = real(self, number)
        if number == 5:  # the last of the second epoch
            torch.nn.init.constant_(self.embedder.head[1].bias, float("inf"))
        return rate

    monkeypatch.setattr(learner.Learner, "step", spoilt)
    kept = Kept()
    with pytest.raises(PelageError, match=r"epoch 2: weights are no numbers any more after batch 3.*\d+#0"):
        train(variant(), striped(), None, CPU, 8, kept)
    assert [state["epoch"] for state in kept.states] == [1]


def test_frozen_norms_keep_their_statistics():
    start = loop._Trainer(variant(train={"freeze_norm": True}), striped(), None, CPU, 8).learner.embedder.state_dict()
    trained = train(variant(train={"freeze_norm": True, "epochs": 1}), striped(), None, CPU, 8, Kept())
    moving = [name for name in start if "running" in name and name.startswith("backbone")]
    assert moving and all(torch.equal(trained.state[name], start[name]) for name in moving)


def test_a_frozen_backbone_keeps_weights_and_statistics_until_its_time():
    kept = Kept()
    config = variant(train={"freeze_backbone": 2, "ema": 0.5})
    start = loop._Trainer(config, striped(), None, CPU, 8).learner.embedder.state_dict()
    train(dataclasses.replace(config, train={**config.train, "epochs": 4}), striped(), None, CPU, 8, kept)
    names = [name for name in start if name.startswith("backbone")]
    for state, frozen in zip(kept.states[:3], (True, True, False), strict=True):
        for weights in (state["learner"]["model"], state["learner"]["ema"]):
            assert all(torch.equal(weights[name], start[name]) for name in names) == frozen
            assert not torch.equal(weights["head.1.weight"], start["head.1.weight"])


def test_the_moving_average_is_validated_and_kept(monkeypatch):
    asked, real = [], loop.embed_images

    def noted(embedder, *arguments):
        asked.append(copy.deepcopy(embedder.state_dict()))
        return real(embedder, *arguments)

    monkeypatch.setattr(loop, "embed_images", noted)
    kept = Kept()
    trained = train(variant(train={"ema": 0.9}), striped(), None, CPU, 8, kept)
    first = kept.states[0]["learner"]
    assert same(asked[0], first["ema"]) and not same(first["ema"], first["model"])
    assert same(trained.state, asked[2 * trained.best_epoch - 1])


def test_the_moving_average_by_hand():
    """Of the first step it keeps nothing, of later ones 1 - (1 + n)^(-2/3) of what it was, at most `ema`."""
    averaged = loop._Trainer(variant(train={"ema": 0.4}), striped(), None, CPU, 8).learner
    seen = []
    for step in range(3):
        torch.nn.init.constant_(averaged.embedder.head[1].weight, [1.0, 2.0, 4.0][step])
        averaged.step(step)  # no gradient, so the weights stay
        seen.append(averaged.learnt.head[1].weight[0, 0].item())
    early = 1 - 2 ** (-2 / 3)  # 0.37
    second = early * 1 + (1 - early) * 2
    assert seen == pytest.approx([1.0, second, 0.4 * second + 0.6 * 4])


def test_a_plateau_lowers_the_rate_after_a_validation_that_is_no_better(monkeypatch):
    values = iter([0.1, 0.5, 0.4, 0.6, 0.6, 0.7])
    monkeypatch.setattr(Validation, "metrics", lambda *_: dict.fromkeys(SCORES, 0.0) | {CRITERION: next(values)})
    config = {"schedule": "plateau", "epochs": 6, "warmup": 0.0, "lr": 0.008}
    trained = train(variant(train=config), striped(), None, CPU, 8, Kept())
    assert [row["lr"] for row in trained.history] == [0.008, 0.008, 0.008, 0.004, 0.004, 0.002]


class Plain(torch.nn.Module):
    """A network without batch statistics."""

    def __init__(self, config, channels):
        super().__init__()
        self.dim = 16
        self.backbone = torch.nn.Sequential(torch.nn.Conv2d(channels, 4, 3, 2), torch.nn.GELU())
        self.head = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(16, 16))

    def forward(self, images):
        return self.head(self.backbone(images.float() / 255))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_accumulated_batches_are_one_large_batch(monkeypatch, optimizer):
    """Batches of 8, 8 and 4 photos, two of them a step; and batches of 16 and 4."""
    monkeypatch.setattr(learner, "Embedder", Plain)
    order = np.random.default_rng(0).permutation(20)
    small, large = [order[:8], order[8:16], order[16:]], [order[:16], order[16:]]
    results = []
    for batches, accumulate in ((small, 2), (large, 1)):
        monkeypatch.setattr(loop, "epoch_batches", lambda *_, batches=batches: batches)
        monkeypatch.setattr(loop, "batch_count", lambda *_, batches=batches: len(batches))
        config = {"accumulate": accumulate, "optimizer": optimizer, "clip_norm": 1.0, "epochs": 2}
        results.append(train(variant(train=config, loss={"name": "cosface"}), striped(), None, CPU, 8, Kept()))
    for name, value in results[0].state.items():
        torch.testing.assert_close(value, results[1].state[name], rtol=1e-4, atol=1e-6)
    assert results[0].history[-1]["lr"] == results[1].history[-1]["lr"]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_has_nearly_the_gradient_of_single_precision(precision):
    gradients = []
    for choice in ("fp32", precision):
        trainer = loop._Trainer(variant(model={"dropout": 0.0}, train={"precision": choice}), striped(), None, CPU, 8)
        assert trainer.learner.optimisation.scaler.is_enabled() == (choice == "fp16")
        chosen = np.arange(0, 24, 3)
        images = torch.from_numpy(trainer.data.images[trainer.data.train[chosen]])
        trainer.learner.loss_of(images, trainer.data.labels[chosen]).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in trainer.learner.embedder.parameters()]))
    assert not torch.equal(*gradients)
    assert torch.cosine_similarity(*gradients, dim=0) > 0.98


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_order_in_memory_is_a_parameter(monkeypatch, channels_last):
    formats, real = [], learner.Embedder.forward
    monkeypatch.setattr(
        learner.Embedder,
        "forward",
        lambda self, images: (
            formats.append(images.is_contiguous(memory_format=torch.channels_last)) or real(self, images)
        ),
    )
    trainer = loop._Trainer(variant(train={"channels_last": channels_last}), striped(), None, CPU, 8)
    trainer._learn()
    assert set(formats) == {channels_last}
    filters = trainer.learner.embedder.backbone.conv_stem.weight
    assert filters.is_contiguous(memory_format=torch.channels_last) == channels_last


def test_compiling_is_a_parameter(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda module: compiled.append(module) or module)
    plain = train(variant(), striped(), None, CPU, 8, Kept())
    assert not compiled
    assert same(plain.state, train(variant(train={"compile": True}), striped(), None, CPU, 8, Kept()).state)
    assert len(compiled) == 1


def test_too_little_memory_says_what_to_lower(monkeypatch):
    def full(self, images):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")

    monkeypatch.setattr(learner.Embedder, "forward", full)
    with pytest.raises(PelageError, match=r"too small .*2 GiB\.\).*train.identities_per_batch.*train.accumulate"):
        train(variant(), striped(), None, CPU, 8, Kept())
