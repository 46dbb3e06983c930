"""Local search: partitions of nodes that greedy joining, single moves and local alternatives make better.

Greedy additive edge contraction is that of Keuper et al. (ICCV 2015); local alternatives are those of LCA (Stewart et
al., github.com/WildMeOrg/lca, `lca_alg2.py`): the ends of a link that speaks against the present state are forced
together, or apart, and their clusters are built anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

import numpy as np

from pelage.animals.graph import Nodes, Size, added, less

LEAST_GAIN = 1e-9
"""An improvement below this is rounding."""

NOTHING: Size = (0, 0, 0, 0)

TRIES = 6
"""Links of a pair of clusters, the strongest against the present state, that alternatives are built from."""

WIDE = 2000
"""Nodes of one or two clusters beyond which no alternative is built.

It takes as long as they are many, and a cluster has as many links. A matcher that takes most animals for one makes such
clusters; greedy joining and single moves have the last word on them.
"""


@dataclass
class Clusters:
    """A partition of nodes that can be changed.

    Attributes:
        nodes: What is clustered.
        of: By node, its cluster, named by a number.
        members: By cluster, its nodes.
        named: By cluster, how many of its nodes are named: 0 or 1.
        size: By cluster, that of its nodes together.
        touched: Clusters that a node came to or left since somebody cleared this.
    """

    nodes: Nodes
    of: list[int]
    members: dict[int, set[int]] = field(default_factory=dict)
    named: dict[int, int] = field(default_factory=dict)
    size: dict[int, Size] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.next = max(self.of, default=-1) + 1
        for node, cluster in enumerate(self.of):
            self._add(node, cluster)

    def _add(self, node: int, cluster: int) -> None:
        self.members.setdefault(cluster, set()).add(node)
        self.named[cluster] = self.named.get(cluster, 0) + self.nodes.named[node]
        self.size[cluster] = added(self.size.get(cluster, NOTHING), self.nodes.size[node])
        self.of[node] = cluster

    def move(self, node: int, cluster: int | None) -> None:
        """Move a node to a cluster, None for one of its own."""
        old = self.of[node]
        self.members[old].discard(node)
        self.named[old] -= self.nodes.named[node]
        self.size[old] = less(self.size[old], self.nodes.size[node])
        if not self.members[old]:
            del self.members[old], self.named[old], self.size[old]
        if cluster is None:
            cluster, self.next = self.next, self.next + 1
        self.touched |= {old, cluster}
        self._add(node, cluster)

    def pull(self, node: int) -> dict[int, float]:
        """Return what a node adds to its cluster, or would add to each other one that it is linked to."""
        of, own = self.of, self.of[node]
        found = {own: 0.0}
        for other, weight in self.nodes.links[node].items():
            cluster = of[other]
            found[cluster] = found.get(cluster, 0.0) + weight
        if self.nodes.sized:
            mine = self.nodes.size[node]
            for cluster in found:
                theirs = less(self.size[cluster], mine) if cluster == own else self.size[cluster]
                found[cluster] += self.nodes.joined(theirs, mine)
        return found

    def score(self) -> float:
        """Return the sum of weights between nodes of one cluster, and what the prior adds."""
        of, links = self.of, self.nodes.links
        total = (
            sum(weight for node, row in enumerate(links) for other, weight in row.items() if of[node] == of[other]) / 2
        )
        if self.nodes.sized:
            for members in self.members.values():
                size = NOTHING
                for node in sorted(members):
                    total += self.nodes.joined(size, self.nodes.size[node])
                    size = added(size, self.nodes.size[node])
        return total

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
    named, size = [False] * total, [NOTHING] * total
    for node, mine in where.items():
        size[mine] = added(size[mine], nodes.size[node])
        named[mine] |= nodes.named[node]
        row = links[mine]
        for other, weight in nodes.links[node].items():
            theirs = where.get(other)
            if theirs is not None and theirs != mine:
                row[theirs] = row.get(theirs, 0.0) + weight
    if apart:
        a, b = apart
        links[a][b] = links[b][a] = -np.inf
    return Nodes(np.asarray(block, int), links, named, size, nodes.prior, nodes.missing)


def greedy(nodes: Nodes) -> list[int]:
    """Join the two clusters that gain most by it while any two gain; return labels, `(M,)`."""
    links = [dict(row) for row in nodes.links]
    named, size = list(nodes.named), list(nodes.size)
    into = list(range(len(links)))

    def gain(a: int, b: int) -> float:
        weight = links[a].get(b, -np.inf)
        return weight + nodes.joined(size[a], size[b]) if nodes.sized else weight

    def rewarding(a: int, others: Iterable[int]) -> Iterator[tuple[float, int, int]]:
        for b in others:
            if not (named[a] and named[b]) and (more := gain(a, b)) > LEAST_GAIN:
                yield -more, min(a, b), max(a, b)

    heap = [one for a, row in enumerate(links) for one in rewarding(a, (b for b in row if a < b))]
    heapify(heap)
    while heap:
        loss, a, b = heappop(heap)
        if into[a] != a or into[b] != b or (named[a] and named[b]) or gain(a, b) != -loss:
            continue
        if len(links[b]) > len(links[a]):
            a, b = b, a
        into[b] = a
        named[a] |= named[b]
        size[a] = added(size[a], size[b])
        del links[a][b], links[b][a]
        for other, more in links[b].items():
            row = links[other]
            del row[b]
            links[a][other] = row[a] = links[a].get(other, 0.0) + more
        for one in rewarding(a, links[a] if nodes.sized else links[b]):
            heappush(heap, one)
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
        for other in nodes.links[node]:
            if of[other] != theirs:
                continue
            weight = nodes.between(node, other)
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


def improve(clusters: Clusters, start: Iterable[int]) -> None:
    """Take alternatives of single clusters and of linked pairs of clusters, up to `WIDE`, until none is better.

    Args:
        clusters: The present state, which is changed.
        start: Nodes whose clusters are looked at first; others are where something changes.
    """
    nodes = clusters.nodes
    waiting: deque[tuple[int, ...]] = deque()
    queued: set[tuple[int, ...]] = set()

    def queue(members: Iterable[int]) -> None:
        for node in sorted(members):
            mine = clusters.of[node]
            for other in nodes.links[node]:
                theirs = clusters.of[other]
                region = (min(mine, theirs), max(mine, theirs)) if mine != theirs else (mine,)
                if region not in queued and (nodes.between(node, other) < 0) == (mine == theirs):
                    queued.add(region)
                    waiting.append(region)

    queue(start)
    while waiting:
        region = waiting.popleft()
        queued.discard(region)
        if any(cluster not in clusters.members for cluster in region):
            continue
        if sum(len(clusters.members[cluster]) for cluster in region) > WIDE:
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


def clustered(nodes: Nodes) -> Clusters:
    """Return the clusters of nodes that `cluster` finds."""
    clusters = Clusters(nodes, greedy(nodes))
    clusters.settle(range(len(nodes.links)))
    improve(clusters, range(len(nodes.links)))
    return clusters
