"""Questions: which pair of units should a person look at next? The one whose answer may change the clusters.

As in LCA (github.com/WildMeOrg/lca): of each cluster and each linked pair of clusters the best alternative in which two
units are the other way round; `delta`, what it is worth less than the present state, says how far an answer is from
changing anything. Nothing is asked that the answers so far imply. It ends when no answer could change anything, or when
answers have long changed nothing (Crall, thesis 2017, section 5.3.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from math import exp

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from pelage.animals.decisions import ACCURACY
from pelage.animals.graph import Graph, Nodes, by_first_member, contract
from pelage.animals.local_search import Clusters, alternative, clustered, improve, regroup

MARGIN = 1.5
"""Voices of one person that an alternative must be away from the present state to be left in peace."""

SPAN, AHEAD, LEAST_CHANCE = 20, 20, 0.135
"""Crall's rule: answers that the running mean spans, answers looked ahead, and the chance of a change that ends it."""

LOOKS = 3
"""Links of a cluster or a pair of clusters whose alternatives are built."""

QUESTION_COLUMNS = ["place", "unit", "other", "probability", "delta", "together", "why"]

Region = tuple[int, ...]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Question:
    """Are two units one animal?

    Attributes:
        unit, other: Their places in the graph, `unit < other`.
        delta: What the best alternative is worth less than the present state; the nearer to 0, the more open. Above 0
            where an answer that nobody may override keeps a worse state.
        weight: Log-odds of the link, decisions included.
        together: Whether they are together now.
    """

    unit: int
    other: int
    delta: float
    weight: float
    together: bool


class Rest:
    """Crall's rule: when have answers long enough changed nothing?

    The share of answers that change a cluster is followed by a running mean that spans `SPAN` answers; the chance that
    one of the next `AHEAD` does follows from it (Poisson).
    """

    def __init__(self) -> None:
        self.mean = 1.0

    def note(self, changed: bool) -> None:
        """Take in whether an answer changed a cluster."""
        self.mean += 2 / (SPAN + 1) * (changed - self.mean)

    @property
    def reached(self) -> bool:
        """Whether a change among the next answers is unlikely."""
        return 1 - exp(-self.mean * AHEAD) < LEAST_CHANCE


class Inquiry:
    """Clusters that answers change, and what is still worth asking.

    Args:
        graph: N units, with what people decided so far (`decisions.decided`).
        answered: By pair of units, the log-odds of the answers so far; 0 where somebody looked and could not tell.
        accuracy: How often an answer is right.

    Raises:
        Contradiction: Units must be together and must not.
    """

    def __init__(self, graph: Graph, answered: Mapping[Pair, float] | None = None, accuracy: float = ACCURACY) -> None:
        self.voice = float(logit(accuracy))
        self.nodes: Nodes = contract(graph)
        self.clusters: Clusters = clustered(self.nodes)
        self.rest = Rest()
        self.strongest = strongest_pairs(graph, self.nodes.of_unit)
        self._answers: dict[Pair, float] = {}
        self._asked: dict[Region, Question] = {}
        self._regions: dict[int, set[Region]] = {}
        for (unit, other), value in (answered or {}).items():
            self._note(self._nodes_of(unit, other), value)
        self._imply()
        self.renew(range(len(self.nodes.links)))

    @property
    def labels(self) -> np.ndarray:
        """The cluster of each unit, `(N,)`, as `clustering.cluster` numbers them."""
        return by_first_member(np.array(self.clusters.of, int)[self.nodes.of_unit])

    def questions(self) -> list[Question]:
        """Return what an answer may still change, the most open first."""
        stale = [
            region for region, asked in self._asked.items() if self.implied(*self._nodes_of(asked.unit, asked.other))
        ]
        for region in stale:
            self._renew_region(region, _links_between(self.clusters, region), {})
        return sorted(self._asked.values(), key=lambda asked: (-asked.delta, asked.unit, asked.other))

    def first(self) -> Question | None:
        """Return the most open question, None where no answer changes anything."""
        return next(iter(self.questions()), None)

    def answer(self, unit: int, other: int, same: bool | None) -> bool:
        """Take in an answer, None for cannot tell; return whether it changed a cluster."""
        a, b = self._nodes_of(unit, other)
        value = 0.0 if same is None else self.voice * (1 if same else -1)
        self._note((a, b), value)
        self._imply()
        links, of = self.nodes.links, self.clusters.of
        links[a][b] = links[b][a] = links[a].get(b, 0.0) + value
        self.clusters.touched = set()
        self.clusters.settle((a, b))
        improve(self.clusters, self.clusters.members[of[a]] | self.clusters.members[of[b]])
        changed = bool(self.clusters.touched)
        self.rest.note(changed)
        near = {of[a], of[b]} | self.clusters.touched
        for region in sorted(set().union(*(self._regions.pop(cluster, set()) for cluster in near))):
            self._asked.pop(region, None)
        self.renew(node for cluster in near for node in self.clusters.members.get(cluster, ()))
        return changed

    def _nodes_of(self, unit: int, other: int) -> Pair:
        a, b = int(self.nodes.of_unit[unit]), int(self.nodes.of_unit[other])
        return min(a, b), max(a, b)

    def _note(self, pair: Pair, value: float) -> None:
        if pair[0] != pair[1]:
            self._answers[pair] = self._answers.get(pair, 0.0) + value

    def _imply(self) -> None:
        """Follow the answers: what is the same as the same is the same, and differs from what that differs from."""
        self._root: dict[int, int] = {}

        def root(node: int) -> int:
            while (above := self._root.get(node, node)) != node:
                node = above
            return node

        for (a, b), value in sorted(self._answers.items()):
            if value > 0:
                self._root[max(root(a), root(b))] = min(root(a), root(b))
        self._root = {node: root(node) for node in self._root}
        self._apart = {
            tuple(sorted((self._root.get(a, a), self._root.get(b, b))))
            for (a, b), value in self._answers.items()
            if value < 0
        }

    def implied(self, a: int, b: int) -> bool:
        """Tell whether the answers so far say, or imply, how two nodes are related."""
        one, other = self._root.get(a, a), self._root.get(b, b)
        return one == other or (a, b) in self._answers or (min(one, other), max(one, other)) in self._apart

    def renew(self, nodes: Iterable[int]) -> None:
        """Ask anew about the clusters of nodes and about each pair of clusters that these are linked to."""
        of = self.clusters.of
        found: dict[Region, dict[Pair, float]] = {}
        for node in sorted(set(nodes)):
            mine = of[node]
            for other, weight in self.nodes.links[node].items():
                theirs = of[other]
                if mine != theirs or node < other:
                    region = (mine,) if mine == theirs else (mine, theirs) if mine < theirs else (theirs, mine)
                    found.setdefault(region, {})[(node, other) if node < other else (other, node)] = weight
        pulls: dict[int, dict[int, float]] = {}
        for region in sorted(found):
            self._renew_region(region, found[region], pulls)

    def _renew_region(self, region: Region, links: Mapping[Pair, float], pulls: dict[int, dict[int, float]]) -> None:
        self._asked.pop(region, None)
        asked = self._ask(region, links, pulls)
        if asked is not None:
            self._asked[region] = asked
            for cluster in region:
                self._regions.setdefault(cluster, set()).add(region)

    def _ask(self, region: Region, links: Mapping[Pair, float], pulls: dict[int, dict[int, float]]) -> Question | None:
        """Return the most open question about a cluster or about two clusters, None where no answer changes them.

        Args:
            region: One cluster, or two.
            links: All links inside the one, or between the two.
            pulls: By node, what it adds to each cluster; filled as they are needed.
        """
        clusters, nodes = self.clusters, self.nodes
        single, least = len(region) == 1, -MARGIN * self.voice
        ranked = sorted(((weight if single else -weight, pair) for pair, weight in links.items() if weight > -np.inf))
        chosen = list(islice((pair for _, pair in ranked if not self.implied(*pair)), LOOKS))
        if not single:
            joined = sum(links.values())
            chosen = [p for p in chosen if self._together(p, links[p], joined, region, pulls) > 2 * least]
        if not chosen:
            return None
        inside = sorted(set().union(*(clusters.members[cluster] for cluster in region)))
        place = {node: i for i, node in enumerate(inside)}
        part = regroup(nodes, range(len(inside)), of=inside)
        present = [clusters.of[node] for node in inside]
        score = Clusters(part, list(present)).score()
        best = None
        for pair in chosen:
            other = alternative(part, present, place[pair[0]], place[pair[1]])
            delta = Clusters(part, other).score() - score
            if delta > least and (best is None or delta > best.delta):
                best = Question(*self.strongest[pair][:2], float(delta), self.strongest[pair][2], single)
        return best

    def _together(
        self, pair: Pair, weight: float, joined: float, region: Region, pulls: dict[int, dict[int, float]]
    ) -> float:
        """Return what it is worth at least to have two nodes of two clusters together, less the present state."""
        clusters, nodes = self.clusters, self.nodes
        a, b = pair
        if nodes.named[a] and nodes.named[b]:
            return -np.inf
        for node in pair:
            if node not in pulls:
                pulls[node] = clusters.pull(node)
        mine, theirs = clusters.of[a], clusters.of[b]
        found = [weight + nodes.joined(nodes.size[a], nodes.size[b]) - pulls[a][mine] - pulls[b][theirs]]
        if not (nodes.named[a] and clusters.named[theirs]):
            found.append(pulls[a][theirs] - pulls[a][mine])
        if not (nodes.named[b] and clusters.named[mine]):
            found.append(pulls[b][mine] - pulls[b][theirs])
        if not (clusters.named[mine] and clusters.named[theirs]):
            found.append(joined + nodes.joined(clusters.size[mine], clusters.size[theirs]))
        return max(found)


def _links_between(clusters: Clusters, region: Region) -> dict[Pair, float]:
    """Return the links inside one cluster, or between two."""
    mine, theirs = region[0], region[-1]
    return {
        (min(node, other), max(node, other)): weight
        for node in sorted(clusters.members.get(mine, ()))
        for other, weight in clusters.nodes.links[node].items()
        if clusters.of[other] == theirs
    }


def strongest_pairs(graph: Graph, node: np.ndarray) -> dict[Pair, tuple[int, int, float]]:
    """Return, by pair of linked nodes, the units of the strongest link between them, and its weight."""
    first, second = np.asarray(graph.first, int), np.asarray(graph.second, int)
    a, b = np.minimum(node[first], node[second]), np.maximum(node[first], node[second])
    order = np.lexsort((second, first, -np.asarray(graph.weight, float), b, a))
    order = order[a[order] != b[order]]
    a, b = a[order], b[order]
    fresh = np.r_[True, (a[1:] != a[:-1]) | (b[1:] != b[:-1])] if len(order) else np.zeros(0, bool)
    chosen = order[fresh]
    rows = zip(first[chosen].tolist(), second[chosen].tolist(), graph.weight[chosen].tolist(), strict=True)
    return dict(zip(zip(a[fresh].tolist(), b[fresh].tolist(), strict=True), rows, strict=True))


def next_questions(graph: Graph, answered: Mapping[tuple[str, str], float], accuracy: float = ACCURACY) -> pd.DataFrame:
    """Return what to ask next, the most open first.

    Args:
        graph: N units, with what people decided so far.
        answered: By pair of names of the graph, the log-odds of the answers so far; 0 where nobody could tell. These
            are not asked again, nor is what they imply.
        accuracy: How often an answer is right.

    Returns:
        `QUESTION_COLUMNS`; `probability` is that of the link, `together` what is taken for true now.
    """
    place = {str(name): i for i, name in enumerate(graph.names)}
    known = {(place[a], place[b]): value for (a, b), value in answered.items() if a in place and b in place}
    rows = []
    for number, asked in enumerate(Inquiry(graph, known, accuracy).questions(), 1):
        pair = str(graph.names[asked.unit]), str(graph.names[asked.other])
        why = "one animal now; two, if they differ" if asked.together else "two animals now; one, if they are the same"
        rows.append((number, *pair, float(expit(asked.weight)), asked.delta, asked.together, why))
    return pd.DataFrame(rows, columns=QUESTION_COLUMNS)
