"""Sampler: P identities x K photos a batch (Hermans et al., 2017, section 3), each label as often as any other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pelage.common.seeds import generator


class _Deck:
    """Cards dealt in random order, each once before any comes again, and never twice in one hand."""

    def __init__(self, cards: Sequence[int], rng: np.random.Generator) -> None:
        self._cards = list(cards)
        self._rng = rng
        self._left: list[int] = []

    def deal(self, count: int) -> list[int]:
        count = min(count, len(self._cards))
        if len(self._left) < count:
            rest = self._left
            self._left = rest + [card for card in self._rng.permutation(self._cards).tolist() if card not in rest]
        hand, self._left = self._left[:count], self._left[count:]
        return hand


def identity_batches(labels: np.ndarray, identities: int, photos: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Return the batches of one epoch as places in `labels`; they depend on nothing but the arguments.

    An epoch has as many batches as would hold every photo once. Labels are dealt evenly, and so are the photos of a
    label: in the long run rare labels are seen as often as common ones.

    Args:
        labels: `(N,)` label of each photo.
        identities: P, labels a batch (all of them if there are fewer).
        photos: K, photos of a label in a batch (all of them if it has fewer: no photo is twice in a batch).
        seed: Seed of the training.
        epoch: From 0.
    """
    rng = generator(seed, "sampler", epoch)
    names = np.unique(labels)
    photo_decks = {name: _Deck(np.flatnonzero(labels == name).tolist(), rng) for name in names.tolist()}
    label_deck = _Deck(names.tolist(), rng)
    batches = math.ceil(len(labels) / (identities * photos))
    return [
        np.array([place for name in label_deck.deal(identities) for place in photo_decks[name].deal(photos)])
        for _ in range(batches)
    ]
