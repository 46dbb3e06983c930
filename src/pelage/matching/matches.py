"""Matches: where keypoints of a query and of its first candidates are the same, for the report to draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

EXPLAINED = 3
"""First candidates of a query whose matches are told."""

TOLD = 20
"""First candidates of a query of which is told where their matches lie (`placement`)."""

MATCH_COLUMNS = ["query_x", "query_y", "candidate_x", "candidate_y", "score"]


def placed(query: Any, candidate: Any, first: np.ndarray, second: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return where matches lie on the two crops, and what each counts: `(M, 5)` float32, `MATCH_COLUMNS`.

    Args:
        query, candidate: Features, with positions `xy` in pixels of a `size` (width, height).
        first, second: `(M,)` int, keypoints of the two.
        score: `(M,)`.

    Returns:
        Positions as shares of a crop's width and height, and scores.
    """
    return np.column_stack(
        [query.xy[first] / np.array(query.size), candidate.xy[second] / np.array(candidate.size), score]
    ).astype(np.float32)


def matches_table(found: Sequence[tuple[str, str, str, np.ndarray]]) -> pd.DataFrame:
    """Return one row a match of keypoints: `protocol`, `query`, `candidate`, and `MATCH_COLUMNS`.

    Args:
        found: Protocol, query, candidate, and what `placed` returns of their matches.
    """
    values = np.concatenate([np.zeros((0, len(MATCH_COLUMNS)), np.float32), *(rows for *_, rows in found)])
    counts = [len(rows) for *_, rows in found]
    names = {
        column: np.repeat(np.array([pair[place] for pair in found], object), counts)
        for place, column in enumerate(("protocol", "query", "candidate"))
    }
    return pd.DataFrame(names).astype(str).join(pd.DataFrame(values, columns=MATCH_COLUMNS))
