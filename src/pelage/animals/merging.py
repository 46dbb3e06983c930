"""Merging: clusters are asked about once more, each as a whole.

Encounters of one animal look alike where it stood alike, and not where it did not. So what links of single encounters
add up to is no evidence of a whole cluster: a few good ones are outvoted by many poor ones. A cluster with all its
photos is asked as a name is. Where two are then found to be one animal, what was said of both is shared out among the
pairs of their encounters, as links like all others: no way of clustering has to know of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from pelage.animals.clustering import cluster
from pelage.animals.graph import Graph, comparable

ROUNDS = 5
"""Times that clusters are asked again, at most; each needs another merger."""

HAIR = 1e-6
"""What a pair whose photos were compared counts less than others of two clusters: people are asked about it first."""


def links_of_wholes(graph: Graph, ask: Callable[[np.ndarray], pd.DataFrame]) -> pd.DataFrame:
    """Return what clusters say as wholes and not as encounters.

    Args:
        graph: N nodes.
        ask: From clusters `(N,)` to what is said of pairs of them: `first` < `second`, `log_odds`, each pair once.

    Returns:
        `first` < `second`, places in the graph, and `log_odds`, what the pair has to count more: with it, those of two
        clusters that are one animal add up to what was said of both. Each pair once.
    """
    more = pd.DataFrame({"first": np.zeros(0, int), "second": np.zeros(0, int), "log_odds": np.zeros(0)})
    for _ in range(ROUNDS):
        whole = with_more(graph, more)
        labels = cluster(whole)
        fresh = _shared_out(whole, labels, _merged(whole, labels, ask(labels)))
        if fresh.empty:
            break
        more = pd.concat([more, fresh]).groupby(["first", "second"], as_index=False)["log_odds"].sum()
    return more


def with_more(graph: Graph, more: pd.DataFrame) -> Graph:
    """Return a graph whose links count `more` (`first`, `second`, `log_odds`)."""
    own = pd.DataFrame({"first": graph.first, "second": graph.second, "log_odds": graph.weight})
    pairs = pd.concat([own, more]).groupby(["first", "second"], as_index=False)["log_odds"].sum()
    first, second, weight = (pairs[name].to_numpy() for name in ("first", "second", "log_odds"))
    return replace(graph, first=first.astype(int), second=second.astype(int), weight=weight.astype(float))


def _merged(graph: Graph, labels: np.ndarray, said: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `said` that are of clusters which are one animal."""
    count = int(labels.max(initial=-1)) + 1
    ends = labels[graph.first], labels[graph.second]
    barred = (np.asarray(graph.weight) == -np.inf) & (ends[0] != ends[1])
    barred = np.unique(np.sort(np.c_[ends[0][barred], ends[1][barred]], axis=1), axis=0)
    known = np.isin(_key(said["first"], said["second"], count), _key(*barred.T, count))
    said = said[~known]
    first, second = (np.r_[said[end].to_numpy(int), barred[:, side]] for side, end in enumerate(("first", "second")))
    odds = np.r_[said["log_odds"].to_numpy(float), np.full(len(barred), -np.inf)]
    animal = np.full(count, -1)
    told = graph.known() >= 0
    animal[labels[told]] = graph.known()[told]
    names = np.char.zfill(np.arange(count).astype(str), len(str(count)))
    merged = cluster(Graph(names, first, second, odds, animal))
    return said[merged[said["first"].to_numpy(int)] == merged[said["second"].to_numpy(int)]]


def _shared_out(graph: Graph, labels: np.ndarray, said: pd.DataFrame) -> pd.DataFrame:
    """Return what pairs of wholes have to count more, that all of two clusters count the same and add up to `said`.

    Args:
        graph: N nodes.
        labels: `(N,)` their clusters.
        said: `first`, `second`, `log_odds` of clusters.
    """
    speakers, sizes, whole = graph.speakers(), graph.sizes(), graph.held(labels)
    able = np.flatnonzero(sizes[:, 1] > 0)
    members = [able[labels[able] == cluster] for cluster in range(len(whole))]
    one, two = (speakers[np.asarray(end, int)] for end in (graph.first, graph.second))
    finite = np.isfinite(graph.weight) & (one != two)
    counted = pd.Series(graph.evidence()[finite]).groupby(_key(one[finite], two[finite], len(labels))).sum()
    found = [np.empty((0, 3))]
    for a, b, odds in zip(said["first"], said["second"], said["log_odds"], strict=True):
        first, second = np.repeat(members[a], len(members[b])), np.tile(members[b], len(members[a]))
        pairs = comparable(sizes[first].T, sizes[second].T) > 0
        first, second = first[pairs], second[pairs]
        if len(first):
            share = (odds - graph.each_joined(whole[[a]], whole[[b]])[0]) / len(first)
            found.append(np.c_[np.minimum(first, second), np.maximum(first, second), np.full(len(first), share)])
    first, second, share = np.concatenate(found).T
    first, second = first.astype(int), second.astype(int)
    counts = counted.reindex(_key(first, second, len(labels)))
    linked = counts.notna().to_numpy()
    more = np.where(linked, share - HAIR - counts, share + graph.missing() + (graph.prior or 0.0))
    table = pd.DataFrame({"first": first, "second": second, "log_odds": more})
    return table[np.abs(more) > 2 * HAIR]


def _key(first: np.ndarray, second: np.ndarray, count: int) -> np.ndarray:
    """Return a number for each unordered pair of numbers below `count`."""
    return np.minimum(first, second).astype(np.int64) * max(count, 1) + np.maximum(first, second)
