"""The training loop: epochs of identity batches, validation after each, the best weights kept.

Everything random in an epoch follows from the seed and the epoch's number: batches, augmentation, and torch's own
generator (dropout). A resumed epoch is therefore the very same epoch. One process or several run the same loop (see
`world`).
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import count, islice, repeat
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pelage.common.errors import PelageError
from pelage.common.progress import track
from pelage.common.seeds import derive
from pelage.model.embeddings import embed_images
from pelage.training.checkpoint import Checkpoint
from pelage.training.dataset import TrainingData, shown
from pelage.training.learner import Learner
from pelage.training.loader import made_ahead
from pelage.training.sampler import batch_count, epoch_batches
from pelage.training.umap import lay_out
from pelage.training.validation import CRITERION, SCORES
from pelage.training.variant import Variant
from pelage.training.world import ALONE, World

VALIDATION_COLUMNS = [f"val_{name}" for name in SCORES]
HISTORY_COLUMNS = ["epoch", "loss", "lr", *VALIDATION_COLUMNS]

LAG = 8
"""Batches after which a GPU is asked what a loss was: it need not wait for the question, nor we for the answer."""


@dataclass(frozen=True)
class Trained:
    """The result of a training.

    Attributes:
        state: Tensors of the best embedder, or of its moving average, on the CPU.
        history: A row an epoch: `HISTORY_COLUMNS`; those of validation are None where nothing was validated.
        best_epoch: Epoch of `state`, from 1; the last one without validation; 0 if there was none.
        pictures: Epoch -> `(Q + G, 2)`, places in the plane of the queries of validation and of its gallery.
        parameters: Number of learnt numbers in the embedder.
    """

    state: Mapping[str, Tensor]
    history: list[dict[str, Any]]
    best_epoch: int
    pictures: dict[int, Tensor]
    parameters: int


def train(
    variant: Variant,
    data: TrainingData,
    weights: Mapping[str, Tensor] | None,
    device: torch.device,
    batch: int,
    checkpoint: Checkpoint | None,
    world: World = ALONE,
) -> Trained:
    """Train a variant, going on from `checkpoint` if that holds a state.

    Args:
        variant: What to train.
        data: Crops and labels; at least two labels.
        weights: Tensors for the backbone by timm's names; None starts from random numbers.
        device: Where.
        batch: Crops at a time in validation.
        checkpoint: Entered; of several processes the first one's, None in the others.
        world: The processes that share each batch.

    Raises:
        PelageError: A parameter is not what it may be, the weights do not fit, the loss is no number any more, or
            CUDA's memory is too small.
    """
    trainer = _Trainer(variant, data, weights, device, batch, world)
    state = world.agree(checkpoint.load() if checkpoint else None)
    if state is not None:
        print(f"{variant.name}: goes on after epoch {state['epoch']}")
        trainer.restore(state)
    with closing(trainer.stream):
        while not trainer.finished:
            if variant.train["epochs"]:
                trainer.run_epoch()
            else:
                trainer.take_as_is()
            if checkpoint:
                checkpoint.save(trainer.state())
    best = {name: value.cpu() for name, value in trainer.best["model"].items()}
    return Trained(best, trainer.history, trainer.best["epoch"], trainer.pictures, trainer.parameters)


def _shown(
    turn: tuple[int, np.ndarray, int], data: TrainingData, variant: Variant, world: World
) -> tuple[np.ndarray, np.ndarray]:
    epoch, chosen, first = turn
    share = world.share(chosen)
    return chosen, shown(data, variant, chosen[share], epoch, first + share.start)


class _Trainer:
    """A learner, and how far it is."""

    def __init__(
        self,
        variant: Variant,
        data: TrainingData,
        weights: Mapping[str, Tensor] | None,
        device: torch.device,
        batch: int,
        world: World = ALONE,
    ) -> None:
        self.variant, self.data, self.device, self.batch, self.world = variant, data, device, batch, world
        self.lag = LAG if device.type == "cuda" else 0
        config = variant.train
        torch.manual_seed(derive(config["seed"], "start"))
        batches = batch_count(len(data.labels), config["identities_per_batch"], config["photos_per_identity"])
        self.steps = math.ceil(batches / config["accumulate"])
        labels, steps = int(data.labels.max()) + 1, config["epochs"] * self.steps
        self.learner = Learner(variant, labels, weights, steps, device, world)
        self.parameters = sum(parameter.numel() for parameter in self.learner.embedder.parameters())
        self.epoch = 0
        self.best: dict[str, Any] = {"epoch": 0, "value": -1.0, "model": {}}
        self.history: list[dict[str, Any]] = []
        self.pictures: dict[int, Tensor] = {}

    @cached_property
    def stream(self) -> Iterator[tuple[np.ndarray, Tensor]]:
        """The batches that are to come; close it when none is needed any more."""
        return self._augmented()

    @property
    def finished(self) -> bool:
        config = self.variant.train
        if not config["epochs"]:
            return bool(self.history)
        stale = self.data.validation is not None and self.epoch - self.best["epoch"] >= config["patience"]
        return self.epoch >= config["epochs"] or stale

    def run_epoch(self) -> None:
        """Learn for one epoch, validate if it is time, and keep the weights if they are the best so far.

        Without validation the latest weights are the best.
        """
        own = () if self.world.first else (self.world.rank,)
        torch.manual_seed(derive(self.variant.train["seed"], "epoch", self.epoch, *own))
        try:
            loss, rate = self._learn()
            self.epoch += 1
            scores = self.world.agree(self._validate())
        except torch.OutOfMemoryError as error:
            raise PelageError(self._too_large(error)) from error
        row = {"epoch": self.epoch, "loss": round(loss, 6), "lr": float(f"{rate:.6g}")}
        self.history.append(row | {f"val_{name}": scores.get(name) for name in SCORES})
        if self.data.validation is None:
            self.learner.judged(-loss)
            self._keep(float(self.epoch))
        elif scores:
            self.learner.judged(scores[CRITERION])
            self._keep(scores[CRITERION])

    def take_as_is(self) -> None:
        """Validate and keep the network as its weights are; the history's only row is epoch 0, without a loss."""
        scores = self.world.agree(self._validate())
        row = {"epoch": 0, "loss": None, "lr": 0.0}
        self.history.append(row | {f"val_{name}": scores.get(name) for name in SCORES})
        self._keep(scores.get(CRITERION, 0.0))

    def _keep(self, value: float) -> None:
        if value > self.best["value"]:
            model = copy.deepcopy(self.learner.learnt.state_dict())
            self.best = {"epoch": self.epoch, "value": value, "model": model}

    def _learn(self) -> tuple[float, float]:
        """Learn for one epoch; return the mean loss of its batches and the last learning rate."""
        batches = self._batches(self.epoch)
        self.learner.begin(self.epoch)
        accumulate = self.variant.train["accumulate"]
        photos = [sum(map(len, batches[first : first + accumulate])) for first in range(0, len(batches), accumulate)]
        total, rate = 0.0, 0.0
        losses: deque[tuple[int, np.ndarray, Tensor]] = deque()
        described = f"{self.variant.name} epoch {self.epoch + 1}"
        of_epoch = islice(self.stream, len(batches))
        for number, (chosen, images) in enumerate(track(of_epoch, described, len(batches))):
            loss = self.learner.loss_of(images, self.data.labels[chosen])
            losses.append((number, chosen, loss.detach()))
            total += self._told(losses, self.lag)
            step = number // accumulate
            self.learner.add(loss, len(chosen) / photos[step])
            if number + 1 == len(batches) or (number + 1) % accumulate == 0:
                rate = self.learner.step(self.epoch * self.steps + step)
        total += self._told(losses, 0)
        if not self.learner.finite:
            raise PelageError(self._explain(f"weights are no numbers any more after batch {len(batches)}", chosen))
        return total / len(batches), rate

    def _told(self, losses: deque[tuple[int, np.ndarray, Tensor]], lag: int) -> float:
        """Take out all losses but the last `lag` and return their sum; each must be a number."""
        total = 0.0
        while len(losses) > lag:
            number, chosen, loss = losses.popleft()
            value = loss.item()
            if not math.isfinite(value):
                raise PelageError(self._explain(f"the loss of batch {number + 1} is {value}", chosen))
            total += value
        return total

    def _batches(self, epoch: int) -> list[np.ndarray]:
        config = self.variant.train
        shape = config["identities_per_batch"], config["photos_per_identity"]
        return epoch_batches(config["sampler"], self.data.labels, self.data.encounters, *shape, config["seed"], epoch)

    def _augmented(self) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Yield of each batch, from this epoch on and without end, all that is chosen and the images of this process's
        share. They are made ahead, across the ends of epochs."""

        def turns() -> Iterator[tuple[int, np.ndarray, int]]:
            for epoch in count(self.epoch):
                batches = self._batches(epoch)
                yield from zip(repeat(epoch), batches, np.cumsum([0, *map(len, batches)]).tolist(), strict=False)

        make = partial(_shown, data=self.data, variant=self.variant, world=self.world)
        return made_ahead(make, turns(), self.variant.train["workers"], processes=self.device.type == "cuda")

    def _validate(self) -> dict[str, float]:
        """Return the scores of this epoch, to 4 decimals; none if there is nothing to ask or it is not yet time.

        If it is time for a picture, lay it out. Of several processes each embeds its share, and the first one judges.
        """
        validation, config = self.data.validation, self.variant.train
        last, often = self.epoch == config["epochs"], config["umap_every"]
        due = last or self.epoch % config["validate_every"] == 0
        drawn = often > 0 and (last or self.epoch % often == 0)
        if validation is None or not (due or drawn):
            return {}
        queries, gallery = map(self._embedded, (validation.queries, validation.gallery))
        if not self.world.first:
            return {}
        if drawn:
            before = next(reversed(self.pictures.values())).numpy() if self.pictures else None
            places = lay_out(np.concatenate([queries, gallery]), before, config["seed"])
            self.pictures[self.epoch] = torch.from_numpy(places)
        if not due:
            return {}
        return {name: round(value, 4) for name, value in validation.metrics(queries, gallery).items()}

    def _embedded(self, places: np.ndarray) -> np.ndarray:
        """Return the embeddings of crops `(N, D)`, of which each process makes its share."""
        images = self.data.images[places[self.world.batches(len(places), self.batch)]]
        return self.world.collect(embed_images(self.learner.learnt, images, self.batch, self.device))

    def _explain(self, what: str, chosen: np.ndarray) -> str:
        ids = ", ".join(self.data.ids[place] for place in self.data.train[chosen])
        kept = f"The checkpoint keeps the weights of epoch {self.epoch}. " if self.epoch else ""
        return (
            f"Training {self.variant.name}, epoch {self.epoch + 1}: {what}. {kept}"
            f"Lower train.lr or loss.scale in params.yaml, set train.clip_norm, or train.precision to fp32, or look at "
            f"the crops of this batch: {ids}."
        )

    def _too_large(self, error: torch.OutOfMemoryError) -> str:
        return (
            f"Training {self.variant.name}: the memory of {self.device} is too small ({str(error).splitlines()[0]}). "
            "In params.yaml lower train.identities_per_batch and raise train.accumulate as much, lower embed.batch, "
            "model.width or model.height, or choose a smaller model.backbone."
        )

    def state(self) -> dict[str, Any]:
        """Return everything that the next epoch needs; of a finished training only what the outputs need."""
        state = {"epoch": self.epoch, "best": self.best, "history": self.history, "pictures": self.pictures}
        if not self.finished:
            state["learner"] = self.learner.state_dict()
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned."""
        self.epoch, self.best = state["epoch"], state["best"]
        self.history, self.pictures = state["history"], state["pictures"]
        if not self.finished:
            self.learner.load_state_dict(state["learner"])
