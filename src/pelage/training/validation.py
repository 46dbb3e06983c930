"""Validation during training: does each held-out photo of a known individual find it again?

The metrics are those of the evaluation, by the same code (`pelage.evaluation.retrieval`), and mean the same: `map` is
that of individuals, `flank_map` that of flanks. What is learnt are flanks, so the epoch is chosen by `CRITERION`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pelage.evaluation.embeddings import query_metrics
from pelage.evaluation.masks import FLANK, IDENTITY, Masks, Places, protocol_masks
from pelage.split.protocols import ProtocolSet

OF_INDIVIDUALS = ("top1", "top3", "top5", "top10", "map", "dynamic_top5_ap")
OF_FLANKS = ("top1", "map")
SCORES = (*OF_INDIVIDUALS, *(f"flank_{name}" for name in OF_FLANKS))
"""What `Validation.metrics` returns, in its order."""

CRITERION = "flank_map"
"""The score by which epochs are compared; of faces it is the mean average precision of individuals."""


@dataclass(frozen=True)
class Validation:
    """What is asked after each epoch.

    Attributes:
        queries: `(Q,)` places in the array of crops.
        gallery: `(G,)` places in the array of crops.
        individuals: Which pairs show the same individual.
        flanks: Which pairs show the same flank.
    """

    queries: np.ndarray
    gallery: np.ndarray
    individuals: Masks
    flanks: Masks

    def metrics(self, queries: np.ndarray, gallery: np.ndarray) -> dict[str, float]:
        """Return the means of `SCORES`, 0..1, each over the queries that have a right answer.

        Args:
            queries: `(Q, D)` embeddings of length 1.
            gallery: `(G, D)` embeddings of length 1.
        """
        individuals = query_metrics(queries, gallery, self.individuals)[list(OF_INDIVIDUALS)].mean()
        flanks = query_metrics(queries, gallery, self.flanks)[list(OF_FLANKS)].mean()
        return {name: float(value) for name, value in [*individuals.items(), *flanks.add_prefix("flank_").items()]}


def validation_of(rules: ProtocolSet, queries: np.ndarray, gallery: np.ndarray) -> Validation | None:
    """Keep the queries that the gallery can answer by a photo of their individual.

    Args:
        rules: Rows of Q queries and G gallery crops.
        queries: `(Q,)` their places in the array of crops.
        gallery: `(G,)` likewise.

    Returns:
        None where no query finds its flank in the gallery: there is nothing to choose an epoch by.
    """
    masks = protocol_masks(rules)
    able = {name: _answerable(mask) for name, mask in masks.items()}
    if not able[FLANK].any():
        return None
    kept = np.flatnonzero(able[IDENTITY])
    return Validation(queries[kept], gallery, masks[IDENTITY].of(kept), masks[FLANK].of(kept))


def _answerable(mask: Masks) -> np.ndarray:
    query, place = Places(mask.right[1]).of(mask.right[0])
    able = np.zeros(len(mask.right[0]), bool)
    able[query[mask.kinds(query, place)[0]]] = True
    return able
