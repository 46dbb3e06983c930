"""Clustering: which units are one animal? Correlation clustering on log-odds, with links that may not be broken.

A partition is as good as the sum of the weights inside its clusters (Bansal, Blum and Chawla, Machine Learning 2004).
Partitions are drawn with the probability that this gives them. Baselines stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform
from scipy.special import expit
from sklearn.cluster import HDBSCAN

from pelage.animals.graph import Contradiction, Graph, Nodes, Size, added, by_first_member, contract, less, objective
from pelage.animals.local_search import NOTHING, clustered

__all__ = [
    "Contradiction", "Graph", "average_linkage", "cluster", "contract", "draw_partitions", "hdbscan_labels",
    "objective", "share_of_new", "threshold_components",
]  # fmt: skip

TIES = (0.0, 1.0, 0.5)
"""Shares of the weights that tie nodes to blocks, sweep by sweep."""

FAINT = -4.6
"""Log-odds, those of 1 %: links below it do not connect what the baselines look at together."""

LARGEST = 4000
"""Units that the baselines look at together at most: the matrix of their distances has the square of it."""


def cluster(graph: Graph) -> np.ndarray:
    """Cluster units into animals: maximise `objective`, as far as local search finds it.

    Args:
        graph: N units.

    Returns:
        `(N,)` int labels, 0, 1, ... in order of their first member.

    Raises:
        Contradiction: Units must be together and must not.
    """
    nodes = contract(graph)
    return by_first_member(np.array(clustered(nodes).of, int)[nodes.of_unit])


def share_of_new(graph: Graph) -> float:
    """Return `Graph.joining`: how seldom a unit is of an animal that no other unit shows.

    The chance that one more sighting is of a new animal is the share of sightings that stand alone (Good, Biometrika
    1953). In Ewens' partitions (1972) it is theta / (N + theta), and two units are together with odds of 1 to theta.
    They stand alone in clusters that join wherever evidence says so (odds of 1): with the odds of pairs, or once more
    with what comes of these, those whose photos are poor would stand alone as well, and be taken for new animals
    (`benchmarks/counting.py`).

    Args:
        graph: N units, with a prior.
    """
    sizes, asked = graph.sizes(), graph.known() < 0
    labels = cluster(replace(graph, joining=0.0))
    held = graph.held(labels)[labels, 1]
    count, own, alone = sizes[:, 1].sum(), sizes[asked, 1].sum(), (sizes[:, 1] * (held == 1))[asked].sum()
    return -float(np.log(count * (alone + 0.5) / (own - alone + 0.5)))


def draw_partitions(graph: Graph, draws: int, seed: int, sweeps: int = 30) -> np.ndarray:
    """Draw partitions with probability proportional to `exp(objective)`, so that two units alone are together with `p`.

    Each draw is a chain of its own that starts at `cluster`. A sweep ties what is together by chance (Swendsen and
    Wang, 1987; Barbu and Zhu, IEEE TPAMI 2005), from no tie to all that the weights allow, and then gives every block
    in turn a new cluster, by its weight to each (Gibbs). So single units move, and so do whole animals. Clusters hang
    together by links: units without a link are together only through others.

    Args:
        graph: N units.
        draws: How many.
        seed: Of the draws; a draw is the same however many are made.
        sweeps: Of each chain.

    Returns:
        `(draws, N)` int labels, each row as `cluster` numbers them.

    Raises:
        Contradiction: Units must be together and must not.
    """
    nodes = contract(graph)
    start = np.array(clustered(nodes).of, int)
    links = Links.of(nodes)
    drawn = np.empty((draws, len(graph.names)), int)
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        labels = start
        for sweep in range(sweeps):
            labels = links.sweep(labels, TIES[sweep % len(TIES)], rng)
        drawn[draw] = by_first_member(labels[nodes.of_unit])
    return drawn


@dataclass(frozen=True)
class Links:
    """Links between M nodes as arrays: their ends and weights; and the nodes."""

    first: np.ndarray
    second: np.ndarray
    weight: np.ndarray
    named: np.ndarray
    size: np.ndarray
    nodes: Nodes

    @classmethod
    def of(cls, nodes: Nodes) -> Links:
        ends = [(a, b, weight) for a, row in enumerate(nodes.links) for b, weight in sorted(row.items()) if a < b]
        first, second, weight = (np.array(column) for column in zip(*ends, strict=True)) if ends else np.empty((3, 0))
        named, size = np.array(nodes.named, bool), np.array(nodes.size, int).reshape(-1, 4)
        return cls(first.astype(int), second.astype(int), weight, named, size, nodes)

    def sweep(self, labels: np.ndarray, ties: float, rng: np.random.Generator) -> np.ndarray:
        """Return the `(M,)` labels after one sweep, as `ties` of the weights tie nodes to blocks."""
        tie = ties * np.maximum(self.weight, 0)
        together = labels[self.first] == labels[self.second]
        tied = together & (rng.random(len(tie)) < -np.expm1(-tie))
        total, block = self._components(tied)
        named = np.zeros(total, bool)
        named[block[self.named]] = True
        of = np.zeros(total, int)
        of[block] = labels
        a, b = block[self.first], block[self.second]
        between = a != b
        ends = np.r_[a[between], b[between]], np.r_[b[between], a[between]]
        rows = coo_array((np.tile((self.weight - tie)[between], 2), ends), shape=(total, total)).tocsr()
        rows.sum_duplicates()
        size = np.zeros((total, 4), int)
        np.add.at(size, block, self.size)
        labels = np.array(_gibbs(rows, of.tolist(), named.tolist(), size.tolist(), self.nodes, rng), int)[block]
        together = (labels[self.first] == labels[self.second]) & np.isfinite(self.weight)
        return self._components(together)[1]

    def _components(self, chosen: np.ndarray) -> tuple[int, np.ndarray]:
        ends = self.first[chosen], self.second[chosen]
        shape = (len(self.named), len(self.named))
        return connected_components(coo_array((np.ones(len(ends[0])), ends), shape=shape), directed=False)


def _gibbs(
    rows: csr_array, of: list[int], named: list[bool], size: list[Size], nodes: Nodes, rng: np.random.Generator
) -> list[int]:
    """Give each block that is not named a cluster in turn, with probability as its weight to each; return clusters."""
    starts, others, weights = rows.indptr.tolist(), rows.indices.tolist(), rows.data.tolist()
    luck = rng.random(len(of)).tolist()
    whole: dict[int, Size] = {}
    for mine, own_size in zip(of, size, strict=True):
        whole[mine] = added(whole.get(mine, NOTHING), own_size)
    free = max(whole, default=-1) + 1
    for block in rng.permutation(len(of)).tolist():
        if named[block]:
            continue
        own, own_size = of[block], size[block]
        if starts[block] == starts[block + 1] and whole[own][0] == own_size[0]:
            continue  # nothing is linked to it, and it is alone
        whole[own] = less(whole[own], own_size)
        pull: dict[int, float] = {}
        for place in range(starts[block], starts[block + 1]):
            theirs = of[others[place]]
            pull[theirs] = pull.get(theirs, 0.0) + weights[place]
        if nodes.sized:
            for theirs in pull:
                pull[theirs] += nodes.joined(whole[theirs], own_size)
        highest = max(0.0, max(pull.values(), default=0.0))
        left = luck[block] * (exp(-highest) + sum(exp(value - highest) for value in pull.values()))
        chosen = -1
        for theirs, value in pull.items():
            left -= exp(value - highest)
            if left < 0:
                chosen = theirs
                break
        if chosen < 0:  # alone
            chosen, free = (free, free + 1) if whole[own][0] else (own, free)
        whole[chosen] = added(whole.get(chosen, NOTHING), own_size)
        of[block] = chosen
    return of


def threshold_components(graph: Graph, threshold: float = 0.0) -> np.ndarray:
    """Baseline: units that a chain of links above `threshold` connects are one animal. `(N,)` labels as `cluster`."""
    return by_first_member(_components_above(graph, threshold))


def average_linkage(graph: Graph, threshold: float = 0.0) -> np.ndarray:
    """Baseline: join the two clusters with the least mean distance, 1 - probability, while it is below a threshold.

    Args:
        graph: N units; a missing link is a distance of 1.
        threshold: Log-odds; the mean distance stays below that of a link with these.

    Returns:
        `(N,)` int labels as `cluster` numbers them.
    """

    def divide(distance: np.ndarray) -> np.ndarray:
        return fcluster(linkage(squareform(distance), "average"), expit(-threshold), "distance")

    return _by_part(graph, divide)


def hdbscan_labels(graph: Graph, least: int = 2) -> np.ndarray:
    """Baseline: HDBSCAN on distances 1 - probability; what it calls noise stands alone.

    Args:
        graph: N units; a missing link is a distance of 1.
        least: Units of the smallest cluster.

    Returns:
        `(N,)` int labels as `cluster` numbers them.
    """

    def divide(distance: np.ndarray) -> np.ndarray:
        if len(distance) <= least:
            return np.zeros(len(distance), int) if distance.max() < 0.5 else np.arange(len(distance))
        found = HDBSCAN(least, min_samples=1, metric="precomputed", allow_single_cluster=True, copy=True).fit_predict(
            distance
        )
        return np.where(found < 0, found.max() + 1 + np.arange(len(found)), found)

    return _by_part(graph, divide)


def _components_above(graph: Graph, threshold: float) -> np.ndarray:
    """Return the component of each unit, `(N,)`, of links above a threshold and of known animals."""
    count, known = len(graph.names), graph.known()
    told = np.flatnonzero(known >= 0)
    _, one, inverse = np.unique(known[told], return_index=True, return_inverse=True)
    above = np.asarray(graph.weight, float) > threshold
    ends = np.r_[graph.first[above], told[one][inverse]], np.r_[graph.second[above], told]
    return connected_components(coo_array((np.ones(len(ends[0])), ends), shape=(count, count)), directed=False)[1]


def _parts(graph: Graph) -> np.ndarray:
    """Return the part of each unit, `(N,)`: what links above `FAINT` connect, known animals whole.

    Faint links of a large survey connect nearly all of it. What has more than `LARGEST` units is connected anew, the
    strongest links first, and a link that would make a larger part is left out. Known animals are not taken apart.
    """
    part = _components_above(graph, FAINT)
    large = np.bincount(part, minlength=1) > LARGEST
    if not large.any():
        return part
    known = graph.known()
    told = np.flatnonzero(known >= 0)
    _, one, inverse = np.unique(known[told], return_index=True, return_inverse=True)
    weight = np.asarray(graph.weight, float)
    links = np.flatnonzero((weight > FAINT) & large[part[graph.first]])
    links = links[np.argsort(-weight[links], kind="stable")]
    pairs = [*zip(told.tolist(), told[one][inverse].tolist(), strict=True)]
    whole = len(pairs)
    pairs += zip(graph.first[links].tolist(), graph.second[links].tolist(), strict=True)
    head, size = list(range(len(part))), [1] * len(part)

    def head_of(unit: int) -> int:
        while head[unit] != unit:
            head[unit] = unit = head[head[unit]]
        return unit

    for place, pair in enumerate(pairs):
        a, b = map(head_of, pair)
        if a != b and (place < whole or size[a] + size[b] <= LARGEST):
            small, great = sorted((a, b), key=lambda unit: (size[unit], unit))
            head[small] = great
            size[great] += size[small]
    anew = np.array([head_of(unit) for unit in range(len(part))])
    return np.unique(np.where(large[part], len(part) + anew, part), return_inverse=True)[1]


def _by_part(graph: Graph, divide: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Divide each of `_parts` by its matrix of distances; return labels as `cluster`."""
    component, known = _parts(graph), graph.known()
    distance = 1 - expit(np.asarray(graph.weight, float))
    order = np.argsort(component, kind="stable")
    bounds = np.searchsorted(component[order], np.arange(component.max(initial=-1) + 2))
    place = np.empty(len(component), int)
    place[order] = np.arange(len(component)) - bounds[component[order]]
    inside = np.flatnonzero(component[graph.first] == component[graph.second])
    inside = inside[np.argsort(component[graph.first[inside]], kind="stable")]
    ends = np.searchsorted(component[graph.first[inside]], np.arange(len(bounds)))
    labels = np.empty(len(component), int)
    used = 0
    for part in range(len(bounds) - 1):
        units, links = order[bounds[part] : bounds[part + 1]], inside[ends[part] : ends[part + 1]]
        if len(units) == 1:
            found = np.zeros(1, int)
        else:
            matrix = np.ones((len(units), len(units)))
            a, b = place[graph.first[links]], place[graph.second[links]]
            matrix[a, b] = matrix[b, a] = distance[links]
            mine = known[units]
            told = (mine[:, None] >= 0) & (mine >= 0)
            matrix = np.where(told, (mine[:, None] != mine).astype(float), matrix)
            np.fill_diagonal(matrix, 0)
            found = divide(matrix)
        labels[units] = found + used
        used = labels[units].max() + 1
    return by_first_member(labels)
