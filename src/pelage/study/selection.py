"""Selection: how a network of `network.py` is trained, when training stops, and which settings it is given.

Groups are never divided: not between folds, and not between the crops that are learnt and those that say when to
stop. Two photos of one burst look alike, whatever the network has understood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from pelage.common.errors import PelageError
from pelage.common.parallel import parallel_map
from pelage.common.progress import track
from pelage.common.seeds import generator
from pelage.study.network import Adam, Network, activations, cross_entropy, gradients, new_network


@dataclass(frozen=True)
class Crops:
    """What there is to learn.

    Attributes:
        inputs: `(N, D)` float32.
        labels: `(N,)` integers from 0.
        groups: `(N,)` group of each crop (`pelage.catalogue.belonging`).
    """

    inputs: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, chosen: np.ndarray) -> Crops:
        return Crops(self.inputs[chosen], self.labels[chosen], self.groups[chosen])


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        hidden: Units of each hidden layer.
        rate: Learning rate of Adam.
        batch: Crops a batch.
        epochs: Most epochs.
        patience: Epochs without a lower loss of the held-out crops before training stops.
        folds: One of so many parts is held out for that; also the folds of the cross-validation.
        seed: Of weights, order and division.
    """

    hidden: tuple[int, ...]
    rate: float
    batch: int
    epochs: int
    patience: int
    folds: int
    seed: int


@dataclass(frozen=True)
class Fitted:
    """A trained network.

    Attributes:
        network: The weights of its best epoch.
        epochs: Epochs that were run.
        best_epoch: From 1; the last one where no crop was held out.
        loss: Cross-entropy of the held-out crops at the best epoch, or None.
    """

    network: Network
    epochs: int
    best_epoch: int
    loss: float | None


def deal(crops: Crops, folds: int, seed: int) -> np.ndarray:
    """Deal whole groups to folds, those of one label to different folds as far as they go.

    Returns:
        `(N,)` fold of each crop, from 0.
    """
    _, groups = np.unique(crops.groups, return_inverse=True)
    shares = np.zeros((groups.max(initial=-1) + 1, crops.labels.max(initial=-1) + 1), int)
    np.add.at(shares, (groups, crops.labels), 1)
    held, fold_of = np.zeros((folds, shares.shape[1]), int), np.zeros(len(shares), int)
    for group in generator(seed, "folds").permutation(len(shares)):
        same, all_crops = held @ shares[group], held.sum(axis=1)
        fold_of[group] = np.lexsort((all_crops, same))[0]
        held[fold_of[group]] += shares[group]
    return fold_of[groups]


def initial_network(inputs: int, labels: int, settings: Settings) -> Network:
    """Return the network that training starts from."""
    return new_network((inputs, *settings.hidden, labels), generator(settings.seed, "weights"))


def fit(crops: Crops, labels: int, settings: Settings) -> Fitted:
    """Train a network; groups of one fold say when to stop.

    Args:
        crops: What is learnt, and held out.
        labels: Number of labels L; `crops` may lack some.
        settings: How.
    """
    division = deal(crops, settings.folds, settings.seed)
    learnt, asked = crops[division != 0], crops[division == 0]
    asked = asked[np.isin(asked.labels, learnt.labels)]
    if not len(asked):
        learnt = crops
    network = initial_network(crops.inputs.shape[1], labels, settings)
    adam = Adam(settings.rate)
    best = Fitted(network, 0, 0, None)
    epoch = 0
    while epoch < settings.epochs and (not len(asked) or epoch - best.best_epoch < settings.patience):
        order = generator(settings.seed, "order", epoch).permutation(len(learnt))
        for start in range(0, len(order), settings.batch):
            batch = learnt[order[start : start + settings.batch]]
            adam.update(network, gradients(network, batch.inputs, batch.labels))
        epoch += 1
        loss = cross_entropy(activations(network, asked.inputs)[-1], asked.labels) if len(asked) else None
        if loss is None or best.loss is None or loss < best.loss:
            best = Fitted([array.copy() for array in network], epoch, epoch, loss)
    return Fitted(best.network, epoch, best.best_epoch, best.loss)


def cross_validate(crops: Crops, labels: int, settings: Settings) -> tuple[int, int, float]:
    """Train once without each fold and ask it; crops whose label is in no other fold cannot be answered.

    Returns:
        Crops that were asked, those that were answered rightly, and the sum of their cross-entropies in nats.
    """
    division = deal(crops, settings.folds, settings.seed + 1)  # not the one that `fit` draws
    asked = right = 0
    loss = 0.0
    for fold in range(settings.folds):
        learnt, held = crops[division != fold], crops[division == fold]
        held = held[np.isin(held.labels, learnt.labels)]
        if len(held):
            logits = activations(fit(learnt, labels, settings).network, held.inputs)[-1]
            asked += len(held)
            right += int((logits.argmax(axis=1) == held.labels).sum())
            loss += len(held) * cross_entropy(logits, held.labels)
    return asked, right, loss


def choose_settings(
    crops: Crops, labels: int, fixed: Mapping[str, int], grid: Mapping[str, Sequence[Any]]
) -> tuple[Settings, list[dict[str, Any]]]:
    """Search a grid of settings by cross-validation.

    Each training has one thread, so the answer does not depend on the number of cores.

    Args:
        crops: Training crops.
        labels: Number of labels.
        fixed: Fields of `Settings` that are not searched.
        grid: The others, and the values that are tried.

    Returns:
        The settings with the highest accuracy, of equal ones the lowest cross-entropy, and a row for each of the grid:
        its values, `asked`, `accuracy` and `loss` (None where no crop could be asked), and whether it was `chosen`.

    Raises:
        PelageError: All trainings ran into numbers that are not finite.
    """
    cells = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    tried = [Settings(**fixed, **cell) for cell in cells]
    with threadpool_limits(1):
        results = parallel_map(lambda settings: cross_validate(crops, labels, settings), tried)
        scores = list(track(results, "grid", len(tried)))
    finite = [place for place, (_, _, loss) in enumerate(scores) if np.isfinite(loss)]
    if not finite:
        raise PelageError("params.yaml: with none of mlp.rates did the loss stay finite; give lower ones.")
    best = max(finite, key=lambda place: (scores[place][1], -scores[place][2]))
    rows = [
        {
            **cell,
            "asked": asked,
            "accuracy": round(right / asked, 4) if asked else None,
            "loss": round(loss / asked, 4) if asked else None,
            "chosen": place == best,
        }
        for place, (cell, (asked, right, loss)) in enumerate(zip(cells, scores, strict=True))
    ]
    return tried[best], rows
