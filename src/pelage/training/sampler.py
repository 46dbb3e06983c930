"""Sampler: which photos make a batch, and which batches an epoch.

* `balanced`: P identities x K photos a batch (Hermans et al., 2017, section 3), by encounter first. Each label comes as
  often as any other, within a label each encounter, and within an encounter each photo: two photos of a burst show the
  same pose in the same light, and as a positive pair they teach next to nothing. Where labels have fewer than K photos,
  batches are smaller, and an epoch does not see every photo of the others.
* `exhaustive`: every photo once an epoch in batches of exactly P x K, as in the leopard study (see README): again and
  again a label, drawn by the logarithm of one more than the photos it has left, gives K of them.
* `shuffled`: every photo once an epoch in random order, whatever its label.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pelage.common.params import choose
from pelage.common.seeds import generator

SAMPLERS = ("balanced", "exhaustive", "shuffled")


class _Deck:
    """Cards dealt in random order, each once before any comes again, and never twice in one hand."""

    def __init__(self, cards: Sequence[int], rng: np.random.Generator) -> None:
        self._cards = list(cards)
        self._rng = rng
        self._left: list[int] = []

    def __len__(self) -> int:
        return len(self._cards)

    def deal(self, count: int) -> list[int]:
        count = min(count, len(self._cards))
        if len(self._left) < count:
            rest = self._left
            self._left = rest + [card for card in self._rng.permutation(self._cards).tolist() if card not in rest]
        hand, self._left = self._left[:count], self._left[count:]
        return hand


class _Label:
    """The photos of one label: a deck of encounters, and a deck of photos for each of them."""

    def __init__(self, places: np.ndarray, encounters: np.ndarray, rng: np.random.Generator) -> None:
        names = np.unique(encounters).tolist()
        self._photos = {name: _Deck(places[encounters == name].tolist(), rng) for name in names}
        self._encounters = _Deck(names, rng)
        self._size = len(places)

    def deal(self, count: int) -> list[int]:
        """Deal photos of different encounters, a second one of an encounter only when each other one gave its own."""
        count = min(count, self._size)
        order = self._encounters.deal(count)
        shares = dict.fromkeys(order, 0)
        while count:
            for name in [name for name in order if shares[name] < len(self._photos[name])][:count]:
                shares[name] += 1
                count -= 1
        return [place for name in order for place in self._photos[name].deal(shares[name])]


def epoch_batches(
    sampler: str, labels: np.ndarray, encounters: np.ndarray, identities: int, photos: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """Return the `batch_count` batches of one epoch as places in `labels`, by a sampler of `SAMPLERS`.

    Args:
        sampler: Which.
        labels: As of `balanced_batches`; so is what follows. P x K is the size of a batch of the other samplers, the
            last one of an epoch excepted.
        encounters: `(N,)`.
        identities: P.
        photos: K.
        seed: Seed of the training.
        epoch: From 0.

    Raises:
        PelageError: An unknown sampler.
    """
    if choose(sampler, SAMPLERS, "train.sampler") == "balanced":
        return balanced_batches(labels, encounters, identities, photos, seed, epoch)
    rng = generator(seed, "sampler", epoch)
    order = rng.permutation(len(labels))
    if sampler == "exhaustive":
        order = _by_handfuls(labels, order, photos, rng)
    return _cut(order, identities * photos)


def _by_handfuls(labels: np.ndarray, order: np.ndarray, photos: int, rng: np.random.Generator) -> np.ndarray:
    """Return `order` by handfuls of a label, each of `photos` or all that are left of it."""
    order = order[np.argsort(labels[order], kind="stable")]
    firsts = np.flatnonzero(np.diff(labels[order], prepend=labels[order[0]] - 1))
    left = np.diff(firsts, append=len(order))
    weights = np.log(left + 1.0)
    dealt = []
    while left.any():
        label = rng.choice(len(left), p=weights / weights.sum())
        start, count = firsts[label], min(left[label], photos)
        dealt.append(order[start : start + count])
        firsts[label] += count
        left[label] -= count
        weights[label] = np.log(left[label] + 1.0)
    return np.concatenate(dealt)


def _cut(order: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut into batches; a photo that would be alone in the last one has no statistics, so one more joins it."""
    ends = np.arange(size, len(order), size)
    if size > 2 and len(order) % size == 1 and len(ends):
        ends[-1] -= 1
    return np.split(order, ends)


def balanced_batches(
    labels: np.ndarray, encounters: np.ndarray, identities: int, photos: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """Return the batches of one epoch of `balanced`; they depend on nothing but the arguments.

    An epoch has as many batches as would hold every photo once, and the last one is as large as the others: what it
    holds beyond the last photo is dealt from the next round of the cards. In the long run rare labels are seen as
    often as common ones.

    Args:
        labels: `(N,)` label of each photo.
        encounters: `(N,)` integers, the encounter of each photo.
        identities: P, labels a batch (all of them if there are fewer).
        photos: K, photos of a label in a batch (all of them if it has fewer: no photo is twice in a batch). They are
            of K different encounters, or of all that the label has, as evenly as their sizes allow.
        seed: Seed of the training.
        epoch: From 0.
    """
    rng = generator(seed, "sampler", epoch)
    names = np.unique(labels).tolist()
    places = {name: np.flatnonzero(labels == name) for name in names}
    photo_decks = {name: _Label(places[name], encounters[places[name]], rng) for name in names}
    label_deck = _Deck(names, rng)
    return [
        np.array([place for name in label_deck.deal(identities) for place in photo_decks[name].deal(photos)])
        for _ in range(batch_count(len(labels), identities, photos))
    ]


def batch_count(total: int, identities: int, photos: int) -> int:
    """Return the batches of an epoch over `total` photos, with `photos` of each of `identities` labels in a batch."""
    return math.ceil(total / (identities * photos))
