"""Naive rankings, the controls that every method has to beat: a random order, and the most photographed first.

The leopard study's naive rows; neither looks at a photo.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pelage.common.seeds import generator
from pelage.matching.rankings import join_rankings, kept, rankings_table
from pelage.split.protocols import ProtocolSet, protocol_sets

NAIVE = ("random", "majority")
BLOCK = 128


def naive_rankings(split: pd.DataFrame, part: str, depth: int, seed: int, whole: int = 0) -> dict[str, pd.DataFrame]:
    """Rank the gallery of each protocol without looking.

    * random: uniform random scores, the same ones whenever a query meets the same gallery.
    * majority: the score is the number of gallery photos of the candidate's individual (in closed and open of a drawn
      split these are its train photos) plus a random fraction of the individual, so ties follow the seed.

    Args:
        split: Rows of `data/split.csv`.
        part: `flank` or `face`.
        depth: Most candidates a query of a gallery of more than `whole` crops.
        seed: Seed of both.
        whole: Crops of the largest gallery that is ranked as a whole.

    Returns:
        `random` and `majority`: rankings tables.
    """
    tables: dict[str, list[pd.DataFrame]] = {method: [] for method in NAIVE}
    for name, protocol in protocol_sets(split, part).items():
        queries, gallery = protocol.queries, protocol.gallery
        names, most = pd.Index(gallery["crop_id"], dtype=str), kept(len(gallery), depth, whole)
        popularity = _popularity(protocol, generator(seed, "majority"))
        for start in range(0, len(queries), BLOCK):
            block = queries.iloc[start : start + BLOCK]
            may, relevant = protocol.may_answer(block, gallery), protocol.relevant(block, gallery)
            random = [generator(seed, "random", query).random(len(gallery)) for query in block["crop_id"]]
            scores = {"random": np.array(random), "majority": np.broadcast_to(popularity, may.shape)}
            for method in NAIVE:
                ranked = rankings_table(name, block["crop_id"], names, scores[method], may, most, relevant)
                tables[method].append(ranked)
    return {method: join_rankings(tables[method]) for method in NAIVE}


def _popularity(protocol: ProtocolSet, random: np.random.Generator) -> np.ndarray:
    """`(G,)` float32: photos of the candidate's individual in the gallery, and a fraction that settles ties."""
    _, codes, counts = np.unique(protocol.gallery["identity"].astype(str), return_inverse=True, return_counts=True)
    return (counts + random.random(len(counts)))[codes].astype(np.float32)
