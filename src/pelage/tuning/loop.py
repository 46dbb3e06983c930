"""The loop of tuning: epochs of pairs, the validation shortlists matched after each, the best weights kept."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pelage.common.errors import PelageError
from pelage.common.progress import track
from pelage.common.seeds import generator
from pelage.matching.learned.lightglue import first_points, rounded_count
from pelage.training.checkpoint import Checkpoint
from pelage.training.schedule import cosine
from pelage.tuning.correspondences import UNKNOWN
from pelage.tuning.loss import matching_loss
from pelage.tuning.pairs import LearntPair
from pelage.tuning.variation import varied

if TYPE_CHECKING:
    from kornia.feature import LightGlue

WARMUP = 0.1
CLIP_NORM = 1.0

Judge = Callable[["LightGlue"], Mapping[str, float]]
"""What a network is worth on the validation subset: at least `mrr`; empty if there is nothing to ask."""


@dataclass(frozen=True)
class Tuned:
    """The result.

    Attributes:
        state: Tensors of the network that is kept.
        history: A row an epoch, from 0, the network as it was: `epoch`, `loss` (None there), and what the judge says.
        kept_epoch: Epoch of `state`, 0 if it is the network as it was.
    """

    state: Mapping[str, Tensor]
    history: list[dict[str, Any]]
    kept_epoch: int


def tune(
    network: LightGlue,
    pairs: Sequence[LearntPair],
    judge: Judge,
    settings: Mapping[str, Any],
    half: bool,
    checkpoint: Checkpoint,
) -> Tuned:
    """Have a network go on learning, from where `checkpoint` ends if that holds a state.

    Everything random in an epoch follows from the seed and its number, so that a killed tuning ends with the bytes of
    one that was left alone. The network as it was stays the best unless an epoch beats it; of epochs that are worth the
    same the last one is taken, and without validation queries, or if `keep` says so, the last of all.

    Args:
        network: As `load_lightglue` returns it; it is changed.
        pairs: What is learnt from.
        judge: Says what the network is worth.
        settings: As `TUNING` of `pelage.matching.learned.rematchers`.
        half: Multiply matrices in bfloat16.
        checkpoint: Entered.

    Raises:
        PelageError: The loss is no number any more.
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=settings["weight_decay"])
    state = checkpoint.load()
    if state is None:
        best = {"epoch": 0, "model": copy.deepcopy(network.state_dict())}
        state = {"history": [{"epoch": 0, "loss": None, **judge(network)}], "best": best}
        checkpoint.save(state)
    else:
        print(f"tuning goes on after epoch {len(state['history']) - 1}")
        if "learner" in state:
            network.load_state_dict(state["learner"]["model"])
            optimizer.load_state_dict(state["learner"]["optimizer"])
    history, best = state["history"], state["best"]
    while len(history) <= settings["epochs"]:
        loss = _learn(network, optimizer, pairs, settings, half, len(history))
        history.append({"epoch": len(history), "loss": round(loss, 6), **judge(network)})
        now, *_, fetched = (row.get("mrr") for row in reversed(history))
        if settings["keep"] == "last" or now is None or (now > fetched and now >= max(row["mrr"] for row in history)):
            best = {"epoch": len(history) - 1, "model": copy.deepcopy(network.state_dict())}
        state = {"history": history, "best": best}
        if len(history) <= settings["epochs"]:
            state["learner"] = {"model": network.state_dict(), "optimizer": optimizer.state_dict()}
        checkpoint.save(state)
    return Tuned({name: value.cpu() for name, value in best["model"].items()}, history, best["epoch"])


def _learn(
    network: LightGlue,
    optimizer: torch.optim.Optimizer,
    pairs: Sequence[LearntPair],
    settings: Mapping[str, Any],
    half: bool,
    epoch: int,
) -> float:
    """Learn for one epoch, from 1; return the mean loss of the pairs."""
    batches = _batches(pairs, settings, epoch)
    ways = generator(settings["seed"], "variation", epoch)
    steps = settings["epochs"] * len(batches)
    total = 0.0
    for number, batch in enumerate(track(batches, f"tuning epoch {epoch}")):
        rate = settings["lr"] * cosine((epoch - 1) * len(batches) + number, steps, WARMUP)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        value = 0.0
        seen = [pairs[place] for place in batch]
        if settings["vary"]:
            seen = [varied(pair, settings["keypoints"], ways) for pair in seen]
        for alike in _by_counts(seen):
            losses = loss_of(network, alike, half)
            (losses.sum() / len(batch)).backward()
            value += losses.sum().item()
        if not np.isfinite(value):
            raise PelageError(
                f"Tuning, epoch {epoch}: the loss of batch {number + 1} is {value}. In params.yaml lower tuning.lr "
                "of the rematcher, or set half to false."
            )
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM)
        optimizer.step()
        total += value
    return total / len(pairs)


def _batches(pairs: Sequence[LearntPair], settings: Mapping[str, Any], epoch: int) -> list[list[int]]:
    """Return the places of the pairs of each step, in random order.

    As far as there are enough of them, pairs with equal numbers of keypoints make a batch, which is then computed as
    one; what is left over makes mixed batches.
    """
    rng, size = generator(settings["seed"], "tuning", epoch), settings["batch"]
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place in rng.permutation(len(pairs)).tolist():
        groups[_counts(pairs[place], settings["keypoints"])].append(place)
    batches, rest = [], []
    for counts in sorted(groups):
        places = groups[counts]
        whole = len(places) - len(places) % size
        batches += [places[start : start + size] for start in range(0, whole, size)]
        rest += places[whole:]
    rest = [rest[place] for place in rng.permutation(len(rest))]
    batches += [rest[start : start + size] for start in range(0, len(rest), size)]
    return [batches[place] for place in rng.permutation(len(batches))]


def _counts(pair: LearntPair, most: int | None = None) -> tuple[int, int]:
    """Return how many keypoints of its crops take part, if at most so many are drawn."""
    counts = (len(pair.query), len(pair.candidate))
    return tuple(rounded_count(count if most is None else min(count, most)) for count in counts)


def loss_of(network: LightGlue, pairs: Sequence[LearntPair], half: bool) -> Tensor:
    """Return the loss of pairs with equal (rounded) numbers of keypoints, `(B,)`."""
    sides = [[getattr(pair, side) for pair in pairs] for side in ("query", "candidate")]
    counts = [rounded_count(len(side[0])) for side in sides]
    points, encodings = zip(*map(partial(first_points, network), sides, counts), strict=True)
    layers = []
    for layer in range(len(network.transformers)):
        with torch.autocast(points[0].device.type, torch.bfloat16, enabled=half):
            points = network.transformers[layer](*points, *encodings)
        points = tuple(side.float() for side in points)  # what stays between layers
        layers.append(points)
    device = points[0].device
    query = _known([pair.truth.query for pair in pairs], *counts)
    candidate = _known([pair.truth.candidate for pair in pairs], *reversed(counts))
    return matching_loss(network, layers, query.to(device), candidate.to(device))


def _by_counts(pairs: Sequence[LearntPair]) -> Iterator[list[LearntPair]]:
    """Yield the pairs with equal (rounded) numbers of keypoints together."""
    groups = defaultdict(list)
    for pair in pairs:
        groups[_counts(pair)].append(pair)
    for counts in sorted(groups):
        if all(counts):
            yield groups[counts]


def _known(partners: Sequence[np.ndarray], count: int, others: int) -> Tensor:
    """Return what is known of the first `count` keypoints `(B, count)`; partners from `others` on take no part."""
    known = np.stack([partner[:count] for partner in partners])
    return torch.from_numpy(np.where(known >= others, UNKNOWN, known))
