"""Clustering: which units are one animal? Correlation clustering on log-odds, with links that may not be broken.

A partition is as good as the sum of the weights inside its clusters (Bansal, Blum and Chawla, Machine Learning 2004).
Found by greedy additive edge contraction (Keuper et al., ICCV 2015), moves of single nodes, and local alternatives as
in LCA (Stewart et al., github.com/WildMeOrg/lca, `lca_alg2.py`): the ends of a link that speaks against the present
state are forced together, or apart, and their clusters are built anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from math import exp

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.special import expit

from pelage.common.errors import PelageError

LEAST_GAIN = 1e-9
"""An improvement below this is rounding."""

TRIES = 6
"""Links of a pair of clusters, the strongest against the present state, that alternatives are built from."""

TIES = (0.0, 1.0, 0.5)
"""Shares of the weights that tie nodes to blocks, sweep by sweep."""

FAINT = -4.6
"""Log-odds, those of 1 %: links below it do not connect what the baselines look at together."""


class Contradiction(PelageError):
    """Links that must hold cannot hold together.

    Attributes:
        units: Names along the must-links from one end of what may not be together to the other.
    """

    def __init__(self, units: Sequence[str], why: str) -> None:
        self.units = list(units)
        super().__init__(f"{' = '.join(self.units)} must be one animal, but {why}. Take one of these decisions back.")


@dataclass(frozen=True)
class Graph:
    """Units and what speaks for two of them being one animal.

    Attributes:
        names: `(N,)` names of the units, sorted.
        first, second: `(E,)` int, the ends of links; `first < second`, each pair once.
        weight: `(E,)` log-odds that both are one animal, the prior included: `inf` must, `-inf` must not.
        animal: `(N,)` int, which animal a unit is known to be, -1 where nobody knows. Units of one animal are together,
            those of two apart, without a link for each pair. None: nobody knows any.
        absent: What a pair without a link counts, at most 0, if both units show the same flank.
        flank: `(N,)` int, code of the flank; -1 where a missing link says nothing. None: all show the same.
    """

    names: np.ndarray
    first: np.ndarray
    second: np.ndarray
    weight: np.ndarray
    animal: np.ndarray | None = None
    absent: float = 0.0
    flank: np.ndarray | None = None

    def known(self) -> np.ndarray:
        """Return `animal`, `(N,)`, -1 where nobody knows."""
        return np.full(len(self.names), -1) if self.animal is None else np.asarray(self.animal, int)

    def flanks(self) -> np.ndarray:
        """Return `(N, F)` of 0 and 1: which flank a unit shows."""
        flank = np.zeros(len(self.names), int) if self.flank is None else np.asarray(self.flank, int)
        return (flank[:, None] == np.arange(max(flank.max(initial=0) + 1, 1))).astype(float)


@dataclass(frozen=True)
class Nodes:
    """Units that must be together, contracted to nodes.

    Attributes:
        of_unit: `(N,)` int, the node of each unit.
        links: By node, the summed weight to each linked node, less what the pairs would count without a link.
        flanks: By node, how many units show each flank.
        named: By node, whether its animal is known; two named nodes are never together.
        absent: See `Graph`.
    """

    of_unit: np.ndarray
    links: list[dict[int, float]]
    flanks: list[tuple[float, ...]]
    named: list[bool]
    absent: float


def contract(graph: Graph) -> Nodes:
    """Contract units that must be together.

    Raises:
        Contradiction: Two units must be together and must not.
    """
    count, weight = len(graph.names), np.asarray(graph.weight, float)
    first, second = np.asarray(graph.first, int), np.asarray(graph.second, int)
    known = graph.known()
    must = weight == np.inf
    told = np.flatnonzero(known >= 0)
    _, one, inverse = np.unique(known[told], return_index=True, return_inverse=True)
    ends = np.r_[first[must], told[one][inverse]], np.r_[second[must], told]
    tied = coo_array((np.ones(len(ends[0])), ends), shape=(count, count)).tocsr()
    _, component = connected_components(tied, directed=False)
    node = _by_first_member(component)
    total = int(node.max(initial=-1)) + 1
    animal = np.full(total, -1)
    animal[node[told]] = known[told]
    for unit in told[animal[node[told]] != known[told]]:
        other = told[(node[told] == node[unit]) & (known[told] == animal[node[unit]])][0]
        path = _path(tied, unit, other)
        raise Contradiction(graph.names[path], "the first and the last are known to be different animals")
    for link in np.flatnonzero((weight == -np.inf) & (node[first] == node[second])):
        path = _path(tied, first[link], second[link])
        raise Contradiction(graph.names[path], "the first and the last must not be")

    flanks = graph.flanks()
    expected = graph.absent * (flanks[first] * flanks[second]).sum(1)
    links: list[dict[int, float]] = [{} for _ in range(total)]
    a, b = node[first], node[second]
    a, b, extra = np.minimum(a, b), np.maximum(a, b), weight - expected
    apart = (a != b) & ~((animal[a] >= 0) & (animal[b] >= 0))
    order = np.lexsort((second, first, b, a))
    order = order[apart[order]]
    for i, j, value in zip(a[order].tolist(), b[order].tolist(), extra[order].tolist(), strict=True):
        links[i][j] = links[j][i] = links[i].get(j, 0.0) + value
    shown = np.zeros((total, flanks.shape[1]))
    np.add.at(shown, node, flanks)
    return Nodes(node, links, list(map(tuple, shown.tolist())), (animal >= 0).tolist(), float(graph.absent))


def _path(tied: coo_array, start: int, end: int) -> list[int]:
    """Return the units along the fewest must-links from one to another."""
    _, before = breadth_first_order(tied, start, directed=False)
    path = [int(end)]
    while path[-1] != start:
        path.append(int(before[path[-1]]))
    return path[::-1]


def _by_first_member(labels: np.ndarray) -> np.ndarray:
    """Number clusters 0, 1, ... in order of their first member."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    place = np.empty(len(first), int)
    place[np.argsort(first)] = np.arange(len(first))
    return place[inverse]


def objective(graph: Graph, labels: np.ndarray) -> float:
    """Return the sum of weights inside clusters, `-inf` where a link is broken that must hold.

    Args:
        graph: N units.
        labels: `(N,)` cluster of each.
    """
    labels, weight, known = np.asarray(labels), np.asarray(graph.weight, float), graph.known()
    together = labels[graph.first] == labels[graph.second]
    if (~together & (weight == np.inf)).any():
        return -np.inf
    told = known >= 0
    pairs = np.unique(np.c_[labels[told], known[told]], axis=0)
    if any(len(np.unique(side)) < len(side) for side in pairs.T):
        return -np.inf
    soft = together & (weight < np.inf)
    total = weight[soft].sum()
    if graph.absent:
        flanks = graph.flanks()
        shown = np.zeros((len(np.unique(labels)), flanks.shape[1]))
        np.add.at(shown, _by_first_member(labels), flanks)
        inside = (shown * (shown - 1) / 2).sum()
        linked = (flanks[graph.first] * flanks[graph.second]).sum(1)[together].sum()
        total += graph.absent * (inside - linked)
    return float(total)


@dataclass
class Clusters:
    """A partition of nodes that can be changed.

    Attributes:
        nodes: What is clustered.
        of: By node, its cluster, named by a number.
        members: By cluster, its nodes.
        flanks: By cluster, how many units show each flank.
        named: By cluster, how many of its nodes are named: 0 or 1.
    """

    nodes: Nodes
    of: list[int]
    members: dict[int, set[int]] = field(default_factory=dict)
    flanks: dict[int, tuple[float, ...]] = field(default_factory=dict)
    named: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.next = max(self.of, default=-1) + 1
        for node, cluster in enumerate(self.of):
            self._add(node, cluster)

    def _add(self, node: int, cluster: int) -> None:
        self.members.setdefault(cluster, set()).add(node)
        shown, more = self.flanks.get(cluster), self.nodes.flanks[node]
        self.flanks[cluster] = more if shown is None else tuple(map(float.__add__, shown, more))
        self.named[cluster] = self.named.get(cluster, 0) + self.nodes.named[node]
        self.of[node] = cluster

    def move(self, node: int, cluster: int | None) -> None:
        """Move a node to a cluster, None for one of its own."""
        old = self.of[node]
        self.members[old].discard(node)
        self.flanks[old] = tuple(map(float.__sub__, self.flanks[old], self.nodes.flanks[node]))
        self.named[old] -= self.nodes.named[node]
        if not self.members[old]:
            del self.members[old], self.flanks[old], self.named[old]
        if cluster is None:
            cluster, self.next = self.next, self.next + 1
        self._add(node, cluster)

    def pull(self, node: int) -> dict[int, float]:
        """Return what a node adds to its cluster, or would add to each other one that it is linked to."""
        of, own = self.of, self.of[node]
        found = {own: 0.0}
        for other, weight in self.nodes.links[node].items():
            cluster = of[other]
            found[cluster] = found.get(cluster, 0.0) + weight
        if self.nodes.absent:
            mine = self.nodes.flanks[node]
            for cluster in found:
                pairs = sum(map(float.__mul__, mine, self.flanks[cluster]))
                if cluster == own:
                    pairs -= sum(map(float.__mul__, mine, mine))
                found[cluster] += self.nodes.absent * pairs
        return found

    def score(self) -> float:
        """Return the sum of weights between nodes of one cluster."""
        return sum(self.pull(node)[cluster] for node, cluster in enumerate(self.of)) / 2

    def replace(self, nodes: Sequence[int], labels: Sequence[int]) -> None:
        """Give nodes new clusters, those of one label the same."""
        made: dict[int, int] = {}
        for node, label in zip(nodes, labels, strict=True):
            self.move(node, made.get(label))
            made[label] = self.of[node]

    def settle(self, nodes: Iterable[int]) -> bool:
        """Move single nodes, those given first, to where they add most, until none gains. Return whether any moved."""
        waiting = deque(nodes)
        queued, moved = set(waiting), False
        while waiting:
            node = waiting.popleft()
            queued.discard(node)
            pull, own = self.pull(node), self.of[node]
            best, where = pull.pop(own) + LEAST_GAIN, own
            if best < 0 and len(self.members[own]) > 1:
                best, where = 0.0, None
            named = self.nodes.named[node]
            for cluster in sorted(pull):
                if pull[cluster] > best and not (named and self.named[cluster]):
                    best, where = pull[cluster], cluster
            if where != own:
                self.move(node, where)
                moved = True
                for other in self.nodes.links[node]:
                    if other not in queued:
                        queued.add(other)
                        waiting.append(other)
        return moved


def regroup(nodes: Nodes, block: Sequence[int], apart: tuple[int, int] | None = None, of: Sequence[int] = ()) -> Nodes:
    """Contract nodes to blocks.

    Args:
        nodes: M nodes.
        block: Of each node of `of`, a number of a block, 0, 1, ...; a block holds at most one named node.
        apart: Two blocks that must not be together.
        of: The nodes that take part, empty for all.
    """
    of = of or range(len(nodes.links))
    where = dict(zip(of, block, strict=True))
    total = max(block, default=-1) + 1
    links: list[dict[int, float]] = [{} for _ in range(total)]
    flanks: list[tuple[float, ...] | None] = [None] * total
    named = [False] * total
    for node, mine in where.items():
        shown = flanks[mine]
        flanks[mine] = nodes.flanks[node] if shown is None else tuple(map(float.__add__, shown, nodes.flanks[node]))
        named[mine] |= nodes.named[node]
        row = links[mine]
        for other, weight in nodes.links[node].items():
            theirs = where.get(other)
            if theirs is not None and theirs != mine:
                row[theirs] = row.get(theirs, 0.0) + weight
    if apart:
        a, b = apart
        links[a][b] = links[b][a] = -np.inf
    return Nodes(np.asarray(block, int), links, flanks, named, nodes.absent)


def greedy(nodes: Nodes) -> list[int]:
    """Join the two clusters with the largest summed weight between them while it is above 0; return labels, `(M,)`."""
    links = [dict(row) for row in nodes.links]
    flanks, named, absent = list(nodes.flanks), list(nodes.named), nodes.absent
    into = list(range(len(links)))

    def between(a: int, b: int) -> float:
        weight = links[a].get(b, -np.inf)
        return weight + absent * sum(map(float.__mul__, flanks[a], flanks[b])) if absent else weight

    heap = []
    for a, row in enumerate(links):
        for b in row:
            if a < b and not (named[a] and named[b]) and (weight := between(a, b)) > LEAST_GAIN:
                heap.append((-weight, a, b))
    heapify(heap)
    while heap:
        weight, a, b = heappop(heap)
        if into[a] != a or into[b] != b or (named[a] and named[b]) or between(a, b) != -weight:
            continue
        if len(links[b]) > len(links[a]):
            a, b = b, a
        into[b] = a
        flanks[a] = tuple(map(float.__add__, flanks[a], flanks[b]))
        named[a] |= named[b]
        del links[a][b], links[b][a]
        for other, more in links[b].items():
            row = links[other]
            del row[b]
            links[a][other] = row[a] = links[a].get(other, 0.0) + more
        for other in links[a] if absent else links[b]:
            if not (named[a] and named[other]) and (weight := between(a, other)) > LEAST_GAIN:
                heappush(heap, (-weight, min(a, other), max(a, other)))
        links[b] = {}
    for node in range(len(into)):
        root = node
        while into[root] != root:
            root = into[root]
        into[node] = root
    return into


def conflicts(clusters: Clusters, region: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the links that speak against the present state, the strongest first, at most `TRIES`.

    Args:
        clusters: The present state.
        region: One cluster: links inside it that speak for two animals. Two clusters: links between them that speak for
            one animal.
    """
    nodes, of = clusters.nodes, clusters.of
    mine, theirs = region[0], region[-1]
    found = []
    for node in sorted(clusters.members[mine]):
        for other, weight in nodes.links[node].items():
            if of[other] != theirs:
                continue
            if mine == theirs:
                if weight < 0 and node < other:
                    found.append((weight, node, other))
            elif weight > 0 and not (nodes.named[node] and nodes.named[other]):
                found.append((-weight, node, other))
    return [(node, other) for _, node, other in sorted(found)[:TRIES]]


def alternative(nodes: Nodes, labels: Sequence[int], one: int, other: int) -> list[int]:
    """Return the labels, `(M,)`, of what is best as far as greedy search sees, were two nodes the other way round.

    Nodes that are together are held apart, those that are apart together; all else is built anew.

    Args:
        nodes: M nodes.
        labels: `(M,)` the present clusters.
        one, other: Two nodes; where they are apart they may be together, that is no link forbids it.
    """
    count = len(nodes.links)
    if labels[one] == labels[other]:
        block = list(range(count))
        forced = regroup(nodes, block, apart=(one, other))
    else:
        low, high = min(one, other), max(one, other)
        block = [low if node == high else node - (node > high) for node in range(count)]
        forced = regroup(nodes, block)
    found = Clusters(forced, greedy(forced))
    found.settle(range(len(forced.links)))
    return [found.of[mine] for mine in block]


def improve(clusters: Clusters) -> None:
    """Take alternatives of single clusters and of linked pairs of clusters until none is better."""
    nodes = clusters.nodes
    waiting: deque[tuple[int, ...]] = deque()
    queued: set[tuple[int, ...]] = set()

    def queue(members: Iterable[int]) -> None:
        for node in sorted(members):
            mine = clusters.of[node]
            for other, weight in nodes.links[node].items():
                theirs = clusters.of[other]
                region = (min(mine, theirs), max(mine, theirs)) if mine != theirs else (mine,)
                if (weight < 0) == (mine == theirs) and region not in queued:
                    queued.add(region)
                    waiting.append(region)

    queue(range(len(nodes.links)))
    while waiting:
        region = waiting.popleft()
        queued.discard(region)
        if any(cluster not in clusters.members for cluster in region):
            continue
        against = conflicts(clusters, region)
        if not against:
            continue
        inside = sorted(set().union(*(clusters.members[cluster] for cluster in region)))
        place = {node: i for i, node in enumerate(inside)}
        part = regroup(nodes, range(len(inside)), of=inside)
        present = [clusters.of[node] for node in inside]
        least = Clusters(part, list(present)).score() + LEAST_GAIN
        for one, other in against:
            found = Clusters(part, alternative(part, present, place[one], place[other]))
            if found.score() <= least:
                found.settle(range(len(inside)))
            if found.score() > least:
                clusters.replace(inside, found.of)
                queue(inside)
                break


def cluster(graph: Graph, seed: int = 0) -> np.ndarray:
    """Cluster units into animals: maximise `objective`, as far as local search finds it.

    Args:
        graph: N units.
        seed: Of nothing as yet; the search draws nothing.

    Returns:
        `(N,)` int labels, 0, 1, ... in order of their first member.

    Raises:
        Contradiction: Units must be together and must not.
    """
    nodes = contract(graph)
    return _by_first_member(np.array(_clustered(nodes).of, int)[nodes.of_unit])


def _clustered(nodes: Nodes) -> Clusters:
    clusters = Clusters(nodes, greedy(nodes))
    clusters.settle(range(len(nodes.links)))
    improve(clusters)
    return clusters


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
    start = np.array(_clustered(nodes).of, int)
    links = _Links.of(nodes)
    drawn = np.empty((draws, len(graph.names)), int)
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        labels = start
        for sweep in range(sweeps):
            labels = links.sweep(labels, TIES[sweep % len(TIES)], rng)
        drawn[draw] = _by_first_member(labels[nodes.of_unit])
    return drawn


@dataclass(frozen=True)
class _Links:
    """Links between M nodes as arrays: their ends, and what they count beside `absent`."""

    first: np.ndarray
    second: np.ndarray
    weight: np.ndarray
    flanks: np.ndarray
    named: np.ndarray
    absent: float

    @classmethod
    def of(cls, nodes: Nodes) -> _Links:
        ends = [(a, b, weight) for a, row in enumerate(nodes.links) for b, weight in sorted(row.items()) if a < b]
        first, second, weight = (np.array(column) for column in zip(*ends, strict=True)) if ends else np.empty((3, 0))
        flanks = np.array(nodes.flanks).reshape(len(nodes.links), -1)
        return cls(first.astype(int), second.astype(int), weight, flanks, np.array(nodes.named, bool), nodes.absent)

    def sweep(self, labels: np.ndarray, ties: float, rng: np.random.Generator) -> np.ndarray:
        """Return the `(M,)` labels after one sweep, as `ties` of the weights tie nodes to blocks."""
        count = len(labels)
        pairs = (self.flanks[self.first] * self.flanks[self.second]).sum(1)
        tie = ties * np.maximum(self.weight + self.absent * pairs, 0)
        together = labels[self.first] == labels[self.second]
        tied = together & (rng.random(len(tie)) < -np.expm1(-tie))
        total, block = self._components(tied)
        flanks = np.zeros((total, self.flanks.shape[1]))
        np.add.at(flanks, block, self.flanks)
        named = np.zeros(total, bool)
        named[block[self.named]] = True
        of = np.zeros(total, int)
        of[block] = labels
        a, b = block[self.first], block[self.second]
        between = a != b
        ends = np.r_[a[between], b[between]], np.r_[b[between], a[between]]
        rows = coo_array((np.tile((self.weight - tie)[between], 2), ends), shape=(total, total)).tocsr()
        rows.sum_duplicates()
        of = _gibbs(rows, of.tolist(), flanks, named.tolist(), self.absent, rng)
        labels = np.array(of)[block]
        together = (labels[self.first] == labels[self.second]) & np.isfinite(self.weight)
        return self._components(together)[1] if count else labels

    def _components(self, chosen: np.ndarray) -> tuple[int, np.ndarray]:
        ends = self.first[chosen], self.second[chosen]
        shape = (len(self.named), len(self.named))
        return connected_components(coo_array((np.ones(len(ends[0])), ends), shape=shape), directed=False)


def _gibbs(
    rows: coo_array, of: list[int], flanks: np.ndarray, named: list[bool], absent: float, rng: np.random.Generator
) -> list[int]:
    """Give each block that is not named a cluster in turn, with probability as its weight to each; return clusters."""
    starts, others, weights = rows.indptr.tolist(), rows.indices.tolist(), rows.data.tolist()
    luck = rng.random(len(of)).tolist()
    size: dict[int, int] = {}
    shown: dict[int, np.ndarray] = {}
    for block, mine in enumerate(of):
        size[mine] = size.get(mine, 0) + 1
        if absent:
            shown[mine] = shown.get(mine, 0.0) + flanks[block]
    free = max(size, default=-1) + 1
    for block in rng.permutation(len(of)).tolist():
        if named[block]:
            continue
        own = of[block]
        pull: dict[int, float] = {}
        for place in range(starts[block], starts[block + 1]):
            theirs = of[others[place]]
            pull[theirs] = pull.get(theirs, 0.0) + weights[place]
        if absent:
            shown[own] = shown[own] - flanks[block]
            for theirs in pull:
                pull[theirs] += absent * float(flanks[block] @ shown[theirs])
        highest = max(0.0, max(pull.values(), default=0.0))
        left = luck[block] * (exp(-highest) + sum(exp(value - highest) for value in pull.values()))
        chosen = -1
        for theirs, value in pull.items():
            left -= exp(value - highest)
            if left < 0:
                chosen = theirs
                break
        if chosen < 0:  # alone
            chosen, free = (own, free) if size[own] == 1 else (free, free + 1)
        size[own] -= 1
        size[chosen] = size.get(chosen, 0) + 1
        of[block] = chosen
        if absent:
            shown[chosen] = shown.get(chosen, 0.0) + flanks[block]
    return of


def threshold_components(graph: Graph, threshold: float = 0.0) -> np.ndarray:
    """Baseline: units that a chain of links above `threshold` connects are one animal. `(N,)` labels as `cluster`."""
    return _by_first_member(_components_above(graph, threshold))


def average_linkage(graph: Graph, threshold: float = 0.0) -> np.ndarray:
    """Baseline: join the two clusters with the least mean distance, 1 - probability, while it is below a threshold.

    Args:
        graph: N units; a missing link is a distance of 1.
        threshold: Log-odds; the mean distance stays below that of a link with these.

    Returns:
        `(N,)` int labels as `cluster` numbers them.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

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
    from sklearn.cluster import HDBSCAN

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


def _by_part(graph: Graph, divide: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Divide each component of links above `FAINT` by its matrix of distances; return labels as `cluster`."""
    component, known = _components_above(graph, FAINT), graph.known()
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
    return _by_first_member(labels)
