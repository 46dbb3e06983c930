"""The training loop: epochs of identity batches, validation after each, the best weights kept.

Everything random in an epoch follows from the seed and the epoch's number: batches, augmentation, and torch's own
generator (dropout). A resumed epoch is therefore the very same epoch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pelage.common.errors import PelageError
from pelage.common.parallel import parallel_map
from pelage.common.params import choose
from pelage.common.progress import track
from pelage.common.seeds import derive
from pelage.losses.registry import create_loss
from pelage.model.backbone import load_weights
from pelage.model.embedder import Embedder
from pelage.model.embeddings import embed_images
from pelage.training.checkpoint import Checkpoint
from pelage.training.dataset import TrainingData, shown
from pelage.training.sampler import identity_batches
from pelage.training.validation import retrieval
from pelage.training.variant import Variant

OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
HISTORY_COLUMNS = ["epoch", "loss", "lr", "val_top1", "val_map"]


@dataclass(frozen=True)
class Trained:
    """The result of a training.

    Attributes:
        state: Tensors of the best embedder.
        history: A row an epoch: `HISTORY_COLUMNS`; the last two are None where nothing was validated.
        best_epoch: Epoch of `state`, from 1; the last one without validation.
        parameters: Number of learnt numbers in the embedder.
    """

    state: Mapping[str, Tensor]
    history: list[dict[str, Any]]
    best_epoch: int
    parameters: int


def train(
    variant: Variant,
    data: TrainingData,
    weights: Mapping[str, Tensor] | None,
    device: torch.device,
    batch: int,
    checkpoint: Checkpoint,
) -> Trained:
    """Train a variant, going on from `checkpoint` if that holds a state.

    Args:
        variant: What to train.
        data: Crops and labels; at least two labels.
        weights: Tensors for the backbone by timm's names; None starts from random numbers.
        device: Where; on CUDA the forward pass is in bf16.
        batch: Crops at a time in validation.
        checkpoint: Entered.

    Raises:
        PelageError: The loss is no number any more, or the weights do not fit.
    """
    trainer = _Trainer(variant, data, weights, device, batch)
    state = checkpoint.load()
    if state is not None:
        print(f"{variant.name}: goes on after epoch {state['epoch']}")
        trainer.restore(state)
    while not trainer.finished:
        trainer.run_epoch()
        checkpoint.save(trainer.state())
    return Trained(trainer.best["model"], trainer.history, trainer.best["epoch"], trainer.parameters)


def learning_rate(step: int, steps: int, warmup: float) -> float:
    """Return the factor of the learning rate: linear up to 1 in the first share `warmup`, then half a cosine to 0."""
    rising = warmup * steps
    if step < rising:
        return (step + 1) / (rising + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1.0, steps - rising)))


class _Trainer:
    """Embedder, loss and optimizer, and how far they are."""

    def __init__(
        self,
        variant: Variant,
        data: TrainingData,
        weights: Mapping[str, Tensor] | None,
        device: torch.device,
        batch: int,
    ) -> None:
        self.variant, self.data, self.device, self.batch = variant, data, device, batch
        config = variant.train
        torch.manual_seed(derive(config["seed"], "start"))
        embedder = Embedder(variant.model, variant.channels)
        loss = create_loss(variant.loss, int(data.labels.max()) + 1, variant.model["dim"])
        if weights is not None:
            print(f"{variant.name}: {variant.model['weights']}: {load_weights(embedder.backbone, weights)}")
        self.embedder = embedder.to(device, memory_format=torch.channels_last)
        self.loss = loss.to(device)
        self.optimizer = self._optimizer(config)
        self.parameters = sum(parameter.numel() for parameter in embedder.parameters())
        self.epoch = 0
        self.best: dict[str, Any] = {"epoch": 0, "value": -1.0, "model": {}}
        self.history: list[dict[str, Any]] = []

    def _optimizer(self, config: Mapping[str, Any]) -> torch.optim.Optimizer:
        """Rates of the backbone and of what starts from random numbers; only matrices and filters decay."""
        backbone = list(self.embedder.backbone.parameters())
        own = {id(parameter) for parameter in backbone}
        others = [p for p in (*self.embedder.parameters(), *self.loss.parameters()) if id(p) not in own]
        groups = []
        for parameters, ratio in ((backbone, config["backbone_lr_ratio"]), (others, 1.0)):
            for decays in (True, False):
                chosen = [parameter for parameter in parameters if (parameter.ndim > 1) == decays]
                decay = config["weight_decay"] if decays else 0.0
                groups.append({"params": chosen, "weight_decay": decay, "lr": 0.0, "ratio": ratio})
        return OPTIMIZERS[choose(config["optimizer"], OPTIMIZERS, "train.optimizer")](groups)

    @property
    def finished(self) -> bool:
        config = self.variant.train
        stale = self.data.validation is not None and self.epoch - self.best["epoch"] >= config["patience"]
        return self.epoch >= config["epochs"] or stale

    def run_epoch(self) -> None:
        """Learn for one epoch, validate if it is time, and keep the weights if they are the best so far.

        Without validation the latest weights are the best.
        """
        config = self.variant.train
        torch.manual_seed(derive(config["seed"], "epoch", self.epoch))
        loss, rate = self._learn()
        self.epoch += 1
        top1, mean_average_precision = self._validate()
        row = [self.epoch, round(loss, 6), float(f"{rate:.6g}"), top1, mean_average_precision]
        self.history.append(dict(zip(HISTORY_COLUMNS, row, strict=True)))
        value = mean_average_precision if self.data.validation is not None else float(self.epoch)
        if value is not None and value > self.best["value"]:
            model = copy.deepcopy(self.embedder.state_dict())
            self.best = {"epoch": self.epoch, "value": value, "model": model}

    def _learn(self) -> tuple[float, float]:
        config = self.variant.train
        batches = identity_batches(
            self.data.labels, config["identities_per_batch"], config["photos_per_identity"], config["seed"], self.epoch
        )
        self.embedder.train()
        if config["freeze_norm"]:
            for module in self.embedder.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        total, rate = 0.0, 0.0
        steps = config["epochs"] * len(batches)
        described = f"{self.variant.name} epoch {self.epoch + 1}"
        for number, (chosen, images) in enumerate(track(self._augmented(batches), described, len(batches))):
            rate = config["lr"] * learning_rate(self.epoch * len(batches) + number, steps, config["warmup"])
            for group in self.optimizer.param_groups:
                group["lr"] = rate * group["ratio"]
            pixels = torch.from_numpy(images).permute(0, 3, 1, 2).to(self.device)
            labels = torch.from_numpy(self.data.labels[chosen]).to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
                loss = self.loss(self.embedder(pixels), labels)
            value = loss.item()
            if not math.isfinite(value):
                raise PelageError(self._explain(value, number, chosen))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += value
        return total / len(batches), rate

    def _augmented(self, batches: list[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield `(chosen, images)` of each batch, made ahead by threads."""
        firsts = np.cumsum([0, *map(len, batches)]).tolist()

        def make(item: tuple[np.ndarray, int]) -> tuple[np.ndarray, np.ndarray]:
            chosen, first = item
            return chosen, shown(self.data, self.variant, chosen, self.epoch, first)

        return parallel_map(make, zip(batches, firsts, strict=False), self.variant.train["workers"])

    def _validate(self) -> tuple[float | None, float | None]:
        validation, config = self.data.validation, self.variant.train
        due = self.epoch % config["validate_every"] == 0 or self.epoch == config["epochs"]
        if validation is None or not due:
            return None, None
        queries, gallery = (
            embed_images(self.embedder, self.data.images[places], self.batch, self.device)
            for places in (validation.queries, validation.gallery)
        )
        top1, mean_average_precision = retrieval(queries @ gallery.T, validation.hits, validation.allowed)
        return round(top1, 4), round(mean_average_precision, 4)

    def _explain(self, value: float, number: int, chosen: np.ndarray) -> str:
        ids = ", ".join(self.data.ids[place] for place in self.data.train[chosen])
        return (
            f"Training {self.variant.name}: the loss of batch {number + 1} of epoch {self.epoch + 1} is {value}. "
            f"Lower train.lr or loss.scale in params.yaml, or look at the crops of this batch: {ids}."
        )

    def state(self) -> dict[str, Any]:
        """Return everything that the next epoch needs; of a finished training only what the outputs need."""
        state: dict[str, Any] = {"epoch": self.epoch, "best": self.best, "history": self.history}
        if not self.finished:
            state |= {
                "model": self.embedder.state_dict(),
                "loss": self.loss.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            }
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned."""
        self.epoch, self.best, self.history = state["epoch"], state["best"], state["history"]
        if not self.finished:
            self.embedder.load_state_dict(state["model"])
            self.loss.load_state_dict(state["loss"])
            self.optimizer.load_state_dict(state["optimizer"])
