"""Graph: units, what speaks for two of them being one animal, and what must hold between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lgamma
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.special import gammaln

from pelage.common.errors import PelageError


class Contradiction(PelageError):
    """Links that must hold cannot hold together.

    Attributes:
        units: Names along the must-links from one end of what may not be together to the other.
    """

    def __init__(self, units: Sequence[str], why: str) -> None:
        self.units = list(units)
        super().__init__(f"{' = '.join(self.units)} must be one animal, but {why}. Take one of these decisions back.")


Size = tuple[int, int, int, int]
"""Of units: how many, how many of them count and can be compared, and how many of these show flank 1, and 2."""


def comparable(one: Any, other: Any) -> Any:
    """Return how many pairs of a unit here and one there can be compared; sizes as `Size`, numbers or arrays."""
    return one[1] * other[1] - one[2] * other[3] - one[3] * other[2]


def added(one: Size, other: Size) -> Size:
    """Return the size of two clusters together."""
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]


def less(one: Size, other: Size) -> Size:
    """Return the size of a cluster without a part of it."""
    return one[0] - other[0], one[1] - other[1], one[2] - other[2], one[3] - other[3]


@dataclass(frozen=True)
class Graph:
    """Units and what speaks for two of them being one animal.

    Attributes:
        names: `(N,)` names of the units, sorted.
        first, second: `(E,)` int, the ends of links; `first < second`, each pair once.
        weight: `(E,)` log-odds that both are one animal, the prior included: `inf` must, `-inf` must not.
        animal: `(N,)` int, which animal a unit is known to be, -1 where nobody knows. Units of one animal are together,
            those of two apart, without a link for each pair. None: nobody knows any.
        prior: Log-odds, part of every weight, that any two units are one animal. Given, it counts once for a unit that
            joins an animal, not once for each of the units that it then is together with: else the larger an animal
            the more evidence its units would need (a partition's prior is that of Ewens, 1972, in which any two are
            together with this probability). None: only weights count.
        joining: With a prior, the log-odds that one unit joins another one rather than being of an animal of its own,
            before any evidence: what a unit that joins counts in the place of `prior` (`share_of_new`). None: `prior`.
        absent: Log-odds, the prior included as in weights, of a pair without a link whose units can be compared. None:
            it says nothing.
        flank: `(N,)` int, what `absent` depends on: 1 and 2 are flanks that cannot be compared with each other, 0
            can be compared with all, -1 with none. None: all can be compared.
        whole: `(N,)` int, the same of units that were asked about as one and must be together: they count once for
            `prior` and `absent`, with the flank of the first of them. None: each counts.
    """

    names: np.ndarray
    first: np.ndarray
    second: np.ndarray
    weight: np.ndarray
    animal: np.ndarray | None = None
    prior: float | None = None
    joining: float | None = None
    absent: float | None = None
    flank: np.ndarray | None = None
    whole: np.ndarray | None = None

    def known(self) -> np.ndarray:
        """Return `animal`, `(N,)`, -1 where nobody knows."""
        return np.full(len(self.names), -1) if self.animal is None else np.asarray(self.animal, int)

    def speakers(self) -> np.ndarray:
        """Return the unit that counts for each, `(N,)`: the first of its whole."""
        if self.whole is None:
            return np.arange(len(self.names))
        _, first, inverse = np.unique(self.whole, return_index=True, return_inverse=True)
        return first[inverse]

    def sizes(self) -> np.ndarray:
        """Return `(N, 4)` int, a row a unit, as `Size`."""
        flank = np.zeros(len(self.names), int) if self.flank is None else np.asarray(self.flank, int)
        counts = self.speakers() == np.arange(len(flank))
        told = np.stack([flank >= 0, flank == 1, flank == 2], 1) & counts[:, None]
        return np.hstack([np.ones((len(flank), 1), int), told]).astype(int)

    def held(self, labels: np.ndarray) -> np.ndarray:
        """Return the summed sizes of the units of each of K clusters, `(K, 4)` int; labels `(N,)` are 0 to K - 1."""
        total = np.zeros((int(labels.max(initial=-1)) + 1, 4), int)
        np.add.at(total, labels, self.sizes())
        return total

    def evidence(self) -> np.ndarray:
        """Return what links count beside what their pairs would count without a link and for the prior, `(E,)`."""
        weight, sizes = np.asarray(self.weight, float), self.sizes()
        if self.prior is None and not self.missing():
            return weight
        one, two = (self.speakers()[np.asarray(end, int)] for end in (self.first, self.second))
        key = np.minimum(one, two) * len(self.names) + np.maximum(one, two)
        finite = np.flatnonzero(np.isfinite(weight) & (one != two))
        fresh = finite[np.unique(key[finite], return_index=True)[1]]  # of several links of two wholes the first
        both = sizes[one[fresh]].T, sizes[two[fresh]].T
        expected = np.zeros(len(weight))
        expected[fresh] = self.missing() * comparable(*both) + (self.prior or 0.0) * (both[0][1] * both[1][1])
        return weight - expected

    def once(self) -> float | None:
        """Return what a unit that joins an animal counts, once; None where only weights count."""
        return self.prior if self.prior is None or self.joining is None else self.joining

    def missing(self) -> float:
        """Return what a pair without a link counts beside the prior."""
        return 0.0 if self.absent is None else self.absent - (self.prior or 0.0)

    def each_joined(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return `joined` of pairs of sizes, `(P, 4)` each, as `(P,)`."""
        added, once = self.missing() * comparable(one.T, other.T), self.once()
        if once is not None:
            a, b = (np.maximum(size[:, 1], 1) for size in (one, other))
            added = added + once + gammaln(a + b) - gammaln(a) - gammaln(b)
        return np.where((one[:, 1] > 0) & (other[:, 1] > 0), added, 0.0)


@dataclass(frozen=True)
class Nodes:
    """Units that must be together, contracted to nodes.

    Attributes:
        of_unit: `(N,)` int, the node of each unit.
        links: By node, the summed `Graph.evidence` to each linked node.
        named: By node, whether its animal is known; two named nodes are never together.
        size: By node, that of its units together.
        prior: See `Graph.once`.
        missing: See `Graph`.
    """

    of_unit: np.ndarray
    links: list[dict[int, float]]
    named: list[bool]
    size: list[Size]
    prior: float | None = None
    missing: float = 0.0

    @property
    def sized(self) -> bool:
        """Whether anything but links counts."""
        return self.prior is not None or self.missing != 0

    def joined(self, one: Size, other: Size) -> float:
        """Return what the prior, and pairs were they without links, add when two clusters of such sizes become one."""
        if not one[1] or not other[1]:
            return 0.0
        added = self.missing * comparable(one, other) if self.missing else 0.0
        if self.prior is not None:
            added += self.prior + lgamma(one[1] + other[1]) - lgamma(one[1]) - lgamma(other[1])
        return added

    def between(self, one: int, other: int) -> float:
        """Return the log-odds of two linked nodes, were they all there is."""
        return self.links[one][other] + self.joined(self.size[one], self.size[other])


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
    node = by_first_member(component)
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

    links: list[dict[int, float]] = [{} for _ in range(total)]
    a, b = node[first], node[second]
    a, b = np.minimum(a, b), np.maximum(a, b)
    apart = (a != b) & ~((animal[a] >= 0) & (animal[b] >= 0))
    order = np.lexsort((second, first, b, a))
    order = order[apart[order]]
    for i, j, value in zip(a[order].tolist(), b[order].tolist(), graph.evidence()[order].tolist(), strict=True):
        links[i][j] = links[j][i] = links[i].get(j, 0.0) + value
    sizes = list(map(tuple, graph.held(node).tolist()))
    return Nodes(node, links, (animal >= 0).tolist(), sizes, graph.once(), graph.missing())


def _path(tied: coo_array, start: int, end: int) -> list[int]:
    """Return the units along the fewest must-links from one to another."""
    _, before = breadth_first_order(tied, start, directed=False)
    path = [int(end)]
    while path[-1] != start:
        path.append(int(before[path[-1]]))
    return path[::-1]


def by_first_member(labels: np.ndarray) -> np.ndarray:
    """Number clusters 0, 1, ... in order of their first member."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    place = np.empty(len(first), int)
    place[np.argsort(first)] = np.arange(len(first))
    return place[inverse]


def objective(graph: Graph, labels: np.ndarray) -> float:
    """Return the sum of weights inside clusters, with the prior as `Graph` says, `-inf` where a broken link must hold.

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
    total = float(graph.evidence()[together & (weight < np.inf)].sum())
    able, one, two = graph.held(by_first_member(labels))[:, 1:].T
    once = graph.once()
    if once is not None:
        held = able[able > 0]
        total += float((gammaln(held) + once * (held - 1)).sum())
    if graph.missing():
        certain = (graph.sizes()[end[together & (weight == np.inf)]].T for end in (graph.first, graph.second))
        total += graph.missing() * float((able * (able - 1) / 2 - one * two).sum() - comparable(*certain).sum())
    return total
