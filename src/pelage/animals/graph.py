"""Graph: units, what speaks for two of them being one animal, and what must hold between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lgamma

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
    """

    names: np.ndarray
    first: np.ndarray
    second: np.ndarray
    weight: np.ndarray
    animal: np.ndarray | None = None
    prior: float | None = None

    def known(self) -> np.ndarray:
        """Return `animal`, `(N,)`, -1 where nobody knows."""
        return np.full(len(self.names), -1) if self.animal is None else np.asarray(self.animal, int)


@dataclass(frozen=True)
class Nodes:
    """Units that must be together, contracted to nodes.

    Attributes:
        of_unit: `(N,)` int, the node of each unit.
        links: By node, the summed weight to each linked node, without the prior if there is one.
        named: By node, whether its animal is known; two named nodes are never together.
        size: By node, its units.
        prior: See `Graph`.
    """

    of_unit: np.ndarray
    links: list[dict[int, float]]
    named: list[bool]
    size: list[int]
    prior: float | None = None

    def joined(self, one: int, other: int) -> float:
        """Return what the prior adds when a cluster of so many units and one of so many others become one."""
        if self.prior is None or not one or not other:
            return 0.0
        return self.prior + lgamma(one + other) - lgamma(one) - lgamma(other)


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
    evidence = (weight - (graph.prior or 0.0))[order].tolist()
    for i, j, value in zip(a[order].tolist(), b[order].tolist(), evidence, strict=True):
        links[i][j] = links[j][i] = links[i].get(j, 0.0) + value
    return Nodes(node, links, (animal >= 0).tolist(), np.bincount(node, minlength=total).tolist(), graph.prior)


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
    soft = together & (weight < np.inf)
    total = float(weight[soft].sum())
    if graph.prior is not None:
        sizes = np.unique(labels, return_counts=True)[1]
        total += float((gammaln(sizes) + graph.prior * (sizes - 1)).sum() - graph.prior * soft.sum())
    return total
