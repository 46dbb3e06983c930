"""How many of the nearest keypoints does a matcher's search find, where a gallery is too large to compare all?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pelage.common.parallel import parallel_map
from pelage.matching.local.lnbnn import Features, Index, Nearest, build_index, nearest_rows

SAMPLE = 20
"""Crops whose keypoints are searched exactly, too."""

NEIGHBOURS = 5


def search_recall(crops: Sequence[Features], search: Callable[[Index], Nearest]) -> float:
    """Return the share of the `NEIGHBOURS` nearest keypoints that a search finds; 1 where it compares all.

    Each of a few crops, taken at equal distances, is searched for among all others.

    Args:
        crops: Features of all crops.
        search: Makes the search of an index, such as `SiftLnbnn.nearest`.
    """
    index = build_index(crops)
    nearest = search(index)
    if nearest is nearest_rows:
        return 1.0

    def compare(own: int) -> tuple[int, int]:
        others = np.arange(len(crops)) != own
        rows, exact = (way(index, crops[own].descriptors, others, NEIGHBOURS)[0] for way in (nearest, nearest_rows))
        return int((rows[:, :, None] == exact[:, None]).any(axis=1).sum()), exact.size

    sample = np.unique(np.linspace(0, len(crops) - 1, SAMPLE).astype(int))
    found, true = np.sum(list(parallel_map(compare, sample)), axis=0)
    return float(found / max(true, 1))
