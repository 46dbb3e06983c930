"""Cosine search: the crops whose embeddings point the same way, for each protocol of the split."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pelage.matching.rankings import join_rankings, rankings_table
from pelage.split.protocols import ProtocolSet, allowed

BLOCK = 1024
"""Queries at a time: with 100,000 gallery crops the scores of a block take 0.4 GB."""


def search(embeddings: pd.DataFrame, sets: Mapping[str, ProtocolSet], depth: int) -> pd.DataFrame:
    """Rank the gallery of each protocol for each of its queries.

    Args:
        embeddings: `crop_id` and `embedding`, lists of length 1 as vectors. Crops that are not in it take no part.
        sets: Protocols by name.
        depth: Most candidates a query.

    Returns:
        The table of `rankings_table`. Scores are cosines rounded to six digits, so that equal points tie.
    """
    ids = embeddings["crop_id"]
    points = np.stack(embeddings["embedding"].to_list()).astype(np.float32) if len(ids) else np.empty((0, 1))
    places = pd.Series(np.arange(len(ids)), index=ids)
    tables = []
    for protocol, chosen in sets.items():
        queries = chosen.queries[chosen.queries["crop_id"].isin(ids)]
        gallery = chosen.gallery[chosen.gallery["crop_id"].isin(ids)]
        candidates = points[places.loc[gallery["crop_id"]]]
        for start in range(0, len(queries), BLOCK):
            block = queries.iloc[start : start + BLOCK]
            scores = np.round(points[places.loc[block["crop_id"]]] @ candidates.T, 6)
            permitted = allowed(block, gallery, chosen.same_encounter)
            tables.append(rankings_table(protocol, block["crop_id"], gallery["crop_id"], scores, permitted, depth))
    return join_rankings(tables)
