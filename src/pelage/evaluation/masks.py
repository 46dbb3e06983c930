"""Masks: which gallery photos are right answers to a query, and which count for nothing; all others are wrong.

As in the Oxford buildings protocol (Philbin et al., CVPR 2007), what may not answer, or could not be blamed, is junk:
it is taken out of a ranking before anything is counted. There are two notions of a right answer, and so two masks:

* identity: a photo of the same individual, whichever flank. A photo of the other flank shows another pattern, so no
  method that compares patterns can find it except by what the two flanks share.
* flank: a photo of the same flank, or of the same face. Photos of the individual's other flank, and those whose side
  nobody told, are junk: neither right nor wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pelage.split.labels import tells_its_label
from pelage.split.protocols import ProtocolSet

Pair = tuple[np.ndarray, np.ndarray]
"""Codes of Q queries and of G gallery photos, int; a negative one is like no other."""

IDENTITY, FLANK = "identity", "flank"
NAMES = (IDENTITY, FLANK)


@dataclass(frozen=True)
class Masks:
    """Three kinds of pairs, told by codes rather than by a table of Q x G places.

    Attributes:
        right: A pair of equal codes is a right answer, unless it is junk.
        barred: Junk: pairs of equal codes in any of these.
        spared: Junk as well: pairs of equal codes here that are not right. None: there are none.
    """

    right: Pair
    barred: tuple[Pair, ...]
    spared: Pair | None = None

    def kinds(self, query: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tell which pairs are right and which are junk, bool, of the shape of both arguments, broadcast.

        Args:
            query, place: Places among the queries and in the gallery.
        """
        right = _equal(self.right, query, place)
        junk = np.zeros(right.shape, bool)
        for pair in self.barred:
            junk |= _equal(pair, query, place)
        if self.spared is not None:
            junk |= _equal(self.spared, query, place) & ~right
        return right & ~junk, junk

    def of(self, queries: np.ndarray, gallery: np.ndarray | slice = slice(None)) -> Masks:
        """Return the masks of some of the queries and of the gallery."""
        right, *others = [(one[queries], two[gallery]) for one, two in (self.right, *self.barred)]
        spared = self.spared and (self.spared[0][queries], self.spared[1][gallery])
        return Masks(right, tuple(others), spared)


def protocol_masks(rules: ProtocolSet) -> dict[str, Masks]:
    """Return the masks of a protocol, by `NAMES`."""
    queries, gallery = rules.queries, rules.gallery
    crops = pd.concat([queries, gallery], ignore_index=True)
    barred = ["image_id"] if rules.same_encounter else ["image_id", "group"]
    identity, *others = [codes(queries[column], gallery[column]) for column in ("identity", *barred)]
    if not rules.own_individual:
        others.append(identity)
    label, told = codes(queries["label"], gallery["label"]), tells_its_label(crops)
    known = told[: len(queries)], told[len(queries) :]
    flank = tuple(np.where(tells, side, -1) for side, tells in zip(label, known, strict=True))
    return {IDENTITY: Masks(identity, tuple(others)), FLANK: Masks(flank, tuple(others), identity)}


class Places:
    """Where each code stands in a row of codes: pairs of equal ones are found without a look at all others."""

    def __init__(self, codes: np.ndarray) -> None:
        self._order = np.argsort(codes, kind="stable")
        self._sorted = codes[self._order]

    def of(self, asked: np.ndarray) -> Pair:
        """Return `(number, place)` of all places that have the code `asked[number]`, sorted by number, then place.

        Negative codes are like no other.
        """
        first, last = (np.searchsorted(self._sorted, asked, side) for side in ("left", "right"))
        count = np.where(asked >= 0, last - first, 0)
        number = np.repeat(np.arange(len(asked)), count)
        turn = np.arange(len(number)) - np.repeat(np.cumsum(count) - count, count)
        return number, self._order[first[number] + turn]


def codes(left: Sequence | np.ndarray, right: Sequence | np.ndarray) -> Pair:
    """Return numbers in place of the names of queries and of gallery photos: equal ones for equal names."""
    found, _ = pd.factorize(np.concatenate([np.asarray(left, object), np.asarray(right, object)]))
    return found[: len(left)], found[len(left) :]


def _equal(pair: Pair, query: np.ndarray, place: np.ndarray) -> np.ndarray:
    asked = pair[0][query]
    return (asked == pair[1][place]) & (asked >= 0)
