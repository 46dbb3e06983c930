"""Merging: clusters are asked about once more, each as a whole.

Encounters of one animal look alike where it stood alike, and not where it did not. So what links of single encounters
add up to is no evidence of a whole cluster: a few good ones are outvoted by many poor ones. A cluster with all its
photos is asked as a name is, and clusters that are then found to be one animal are merged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from pelage.animals.clustering import cluster
from pelage.animals.graph import Graph

ROUNDS = 5
"""Times that clusters are asked again, at most; each needs another merger."""


def cluster_and_merge(graph: Graph, seed: int, ask: Callable[[np.ndarray], pd.DataFrame]) -> tuple[Graph, np.ndarray]:
    """Cluster, and merge clusters that are one animal as wholes.

    Args:
        graph: N nodes.
        seed: See `cluster`.
        ask: From clusters `(N,)` to what is said of pairs of them: `first` < `second`, `log_odds`, each pair once.

    Returns:
        The graph, in which links between merged clusters add up to what was said of these; and the clusters, `(N,)`.
    """
    labels, weight = cluster(graph, seed), np.array(graph.weight, float)
    expected = np.where(np.isfinite(weight), weight, 0.0) - np.where(np.isfinite(weight), graph.evidence(), 0.0)
    for _ in range(ROUNDS):
        count = int(labels.max(initial=-1)) + 1
        said = ask(labels)
        pairs = said["first"].to_numpy(np.int64) * count + said["second"].to_numpy(np.int64)
        odds = pd.Series(said["log_odds"].to_numpy(float), index=pairs)
        ends = labels[graph.first], labels[graph.second]
        key = np.minimum(*ends).astype(np.int64) * count + np.maximum(*ends)
        barred = np.unique(key[(weight == -np.inf) & (ends[0] != ends[1])])
        odds = pd.concat([odds.drop(barred, errors="ignore"), pd.Series(-np.inf, index=barred)])
        animal = np.full(count, -1)
        told = graph.known() >= 0
        animal[labels[told]] = graph.known()[told]
        names = np.char.zfill(np.arange(count).astype(str), len(str(count)))
        pairs = odds.index.to_numpy(np.int64)
        merged = cluster(Graph(names, pairs // max(count, 1), pairs % max(count, 1), odds.to_numpy(), animal), seed)
        if merged.max(initial=-1) + 1 == count:
            break
        joined = (ends[0] != ends[1]) & (merged[ends[0]] == merged[ends[1]]) & np.isfinite(weight)
        joined &= np.isin(key, pairs)
        said, of, links = np.unique(key[joined], return_inverse=True, return_counts=True)
        size = np.zeros((count, 4), int)
        np.add.at(size, labels, graph.sizes())
        more = odds.loc[said].to_numpy() - graph.each_joined(size[said // count], size[said % count])
        weight[joined] = (more / links)[of] + expected[joined]
        labels = merged[labels]
    return replace(graph, weight=weight), pd.factorize(labels)[0]
