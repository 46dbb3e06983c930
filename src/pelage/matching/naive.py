"""Naive rankings, the controls that every method has to beat: a random order, and the most photographed first.

The leopard study's naive rows; neither looks at a photo.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pelage.common.seeds import generator
from pelage.matching.rankings import join_rankings, rankings_table
from pelage.split.protocols import ProtocolSet, protocol_sets

NAIVE = ("random", "majority")
BLOCK = 512


def naive_rankings(split: pd.DataFrame, part: str, depth: int, seed: int) -> dict[str, pd.DataFrame]:
    """Rank the gallery of each protocol without looking.

    * random: uniform random scores, the same ones whenever a query meets the same gallery.
    * majority: the score is the number of gallery photos of the candidate's individual (in closed and open of a drawn
      split these are its train photos) plus a random fraction of the individual, so ties follow the seed.

    Args:
        split: Rows of `data/split.csv`.
        part: `flank` or `face`.
        depth: Most candidates a query.
        seed: Seed of both.

    Returns:
        `random` and `majority`: rankings tables.
    """
    tables: dict[str, list[pd.DataFrame]] = {method: [] for method in NAIVE}
    for name, protocol in protocol_sets(split, part).items():
        queries, gallery = protocol.queries, protocol.gallery
        popularity = _popularity(protocol, generator(seed, "majority"))
        for start in range(0, len(queries), BLOCK):
            block = queries.iloc[start : start + BLOCK]
            may = protocol.may_answer(block, gallery)
            random = [generator(seed, "random", query).random(len(gallery)) for query in block["crop_id"]]
            scores = {"random": np.array(random), "majority": np.broadcast_to(popularity, may.shape)}
            for method in NAIVE:
                ranked = rankings_table(name, block["crop_id"], gallery["crop_id"], scores[method], may, depth)
                tables[method].append(ranked)
    return {method: join_rankings(tables[method]) for method in NAIVE}


def _popularity(protocol: ProtocolSet, random: np.random.Generator) -> np.ndarray:
    """`(G,)` float32: photos of the candidate's individual in the gallery, and a fraction that settles ties."""
    _, codes, counts = np.unique(protocol.gallery["identity"].astype(str), return_inverse=True, return_counts=True)
    return (counts + random.random(len(counts)))[codes].astype(np.float32)
