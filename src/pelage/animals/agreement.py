"""Agreement: how well do clusters of units agree with the animals that they show?

Two kinds of errors are told apart, because they hurt different numbers: an animal that stands in several clusters makes
ghosts, and so a larger population; a cluster that holds several animals makes a smaller one, and animals that roam too
far. The flanks of an animal are different patterns: a left and a right unit are no pair that could have been found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pelage.common.tables import UNKNOWN

BOTH = "both"
"""Side of what stands for both flanks, such as a name with all its photos."""


@dataclass(frozen=True)
class Agreement:
    """Clusters beside the truth, over N units.

    Attributes:
        precision: Share of true ones among the pairs of units that are put together, None without such a pair. Pairs of
            opposite flanks are left out here and in `recall`, whatever put them together.
        recall: Share of pairs put together among those of one animal.
        ari: Adjusted Rand index (Hubert and Arabie, Journal of Classification 1985), over all pairs.
        ghosts: Clusters too many, summed over animals: of those that show one flank all but one, and all that show
            none.
        merges: Clusters that hold more than one animal.
        flanks_apart: Animals whose flanks stand in clusters of their own, with no ghost.
        found: Clusters, as the flank tells that has more of them, and those that show none.
        true: Animals.
    """

    precision: float | None
    recall: float | None
    ari: float | None
    ghosts: int
    merges: int
    flanks_apart: int
    found: int
    true: int


def agree(truth: np.ndarray, found: np.ndarray, side: np.ndarray, counted: np.ndarray | None = None) -> Agreement:
    """Compare clusters with the truth.

    Args:
        truth: `(N,)` animal of each unit.
        found: `(N,)` its cluster.
        side: `(N,)` `left`, `right`, `unknown` or `both`.
        counted: `(N,)` bool, units whose animals and clusters count in `found` and `true`: not names that nobody met.
    """
    counted = np.ones(len(truth), bool) if counted is None else counted
    animal, cluster = (np.unique(codes, return_inverse=True)[1] for codes in (truth, found))
    joint = np.unique(np.c_[animal, cluster], axis=0, return_inverse=True)[1].reshape(-1)
    both = pairs_within(joint, side)
    together, same = pairs_within(cluster, side), pairs_within(animal, side)
    shown = pd.DataFrame({"animal": animal, "cluster": cluster, "left": _shows(side, "left"),
                          "right": _shows(side, "right")})  # fmt: skip
    parts = shown.groupby(["animal", "cluster"], as_index=False).any()
    parts["neither"] = ~(parts["left"] | parts["right"])
    of_animal = parts.groupby("animal")[["left", "right", "neither"]].sum()
    clusters = of_animal[["left", "right"]].max(axis=1) + of_animal["neither"]
    met = shown[counted].groupby("cluster")[["left", "right"]].any()
    apart = parts.groupby("animal").size() > clusters
    return Agreement(
        precision=both / together if together else None,
        recall=both / same if same else None,
        ari=adjusted_rand(animal, cluster),
        ghosts=int((clusters - 1).sum()),
        merges=int((parts.groupby("cluster").size() > 1).sum()),
        flanks_apart=int((apart & (clusters == 1)).sum()),
        found=int(met[["left", "right"]].sum().max() + (~met.any(axis=1)).sum()) if len(met) else 0,
        true=len(np.unique(animal[counted])),
    )


def _shows(side: np.ndarray, flank: str) -> np.ndarray:
    return np.isin(side, [flank, BOTH])


def pairs_within(codes: np.ndarray, side: np.ndarray) -> int:
    """Return how many pairs of units of equal codes are not a left and a right one.

    Args:
        codes: `(N,)` int from 0.
        side: `(N,)` `left`, `right`, or anything else.
    """
    if not len(codes):
        return 0
    counts, left, right = (np.bincount(codes[chosen], minlength=codes.max() + 1).astype(object) for chosen in (
        np.ones(len(codes), bool), side == "left", side == "right"))  # fmt: skip
    return int((counts * (counts - 1) // 2 - left * right).sum())


def adjusted_rand(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return the adjusted Rand index of two clusterings, None of fewer than two units.

    Args:
        first, second: `(N,)` int.
    """
    count = len(first)
    if count < 2:
        return None
    anything = np.full(count, UNKNOWN)
    joint = np.unique(np.c_[first, second], axis=0, return_inverse=True)[1].reshape(-1)
    both, one, two = (pairs_within(codes, anything) for codes in (joint, first, second))
    expected, most = one * two / (count * (count - 1) / 2), (one + two) / 2
    return 1.0 if most == expected else float((both - expected) / (most - expected))
