"""Simulated review: a reviewer who errs answers until a rule says that it is enough. How many answers, what is left?

Three ways to choose what is asked: what may change the clusters (`questions`), the likeliest pair first, and Graph ID
(Crall, thesis 2017, chapter 5): the likeliest pair first, but not within animals that two chains of links hold together
nor between animals that two links hold apart, and contradictions before all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow
from scipy.special import expit

from pelage.animals.graph import Graph, by_first_member, contract
from pelage.animals.questions import Inquiry, Pair, Question, Rest, strongest_pairs

SURE_SAME, SURE_DIFFERENT = 0.969, 1 - 0.986
"""Probabilities beyond which Graph ID decides by itself (plains zebra, thesis table 5.1)."""

ENOUGH = 2
"""Chains that hold an animal together, or links that hold two apart, from which on Graph ID asks no more."""

LOOKS_AGAIN = 5
"""Answers about one pair after which nobody is asked about it again."""

CHECKPOINTS = (50, 100, 200)


@dataclass(frozen=True)
class Reviewed:
    """What a simulated review came to.

    Attributes:
        answers: How many were given.
        wrong: How many of them were wrong.
        ended: `settled` if no answer could change anything, `idle` by Crall's rule, `limit` by neither.
        labels: `(N,)` the clusters at the end.
        after: By number of answers, the clusters then; of those before the end.
    """

    answers: int
    wrong: int
    ended: str
    labels: np.ndarray
    after: Mapping[int, np.ndarray]


def review(
    graph: Graph,
    truth: np.ndarray,
    accuracy: float,
    seed: int,
    order: str = "change",
    most: int = 5000,
    checkpoints: Sequence[int] = CHECKPOINTS,
) -> Reviewed:
    """Let a reviewer answer until there is nothing to ask.

    Args:
        graph: N units.
        truth: `(N,)` int, the animal of each.
        accuracy: How often the reviewer is right, each time anew.
        seed: Of the errors.
        order: `change`, `probability` or `graph_id`.
        most: Answers after which it ends in any case.
        checkpoints: Numbers of answers after which the clusters are kept.
    """
    asking = {"change": Inquiry, "probability": ByProbability, "graph_id": GraphID}[order](graph)
    rng = np.random.default_rng(seed)
    after, answers, wrong = {}, 0, 0
    while True:
        if answers in checkpoints:
            after[answers] = asking.labels
        asked = asking.first()
        if asked is None or asking.rest.reached or answers == most:
            ended = "settled" if asked is None else "idle" if asking.rest.reached else "limit"
            return Reviewed(answers, wrong, ended, asking.labels, after)
        right = bool(rng.random() < accuracy)
        asking.answer(asked.unit, asked.other, bool(truth[asked.unit] == truth[asked.other]) == right)
        answers, wrong = answers + 1, wrong + (not right)


class ByProbability(Inquiry):
    """Asks about the likeliest link that nobody has answered and that is not sure; clusters as `Inquiry` does."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        links = [(-weight, pair) for pair, (_, _, weight) in self.strongest.items() if unsure(weight)]
        self.waiting = [pair for _, pair in sorted(links, reverse=True)]

    def renew(self, nodes: object) -> None:
        """Look for nothing that an answer may change: the order is fixed."""

    def first(self) -> Question | None:
        """Return the likeliest question."""
        while self.waiting and self.implied(*self.waiting[-1]):
            self.waiting.pop()
        if not self.waiting:
            return None
        unit, other, weight = self.strongest[self.waiting[-1]]
        return Question(unit, other, 0.0, weight, False)


def unsure(weight: float) -> bool:
    """Tell whether Graph ID asks about a link."""
    return SURE_DIFFERENT < expit(weight) < SURE_SAME


class GraphID:
    """Graph ID: links are the same, different or open; animals are what links that are the same connect."""

    def __init__(self, graph: Graph) -> None:
        self.nodes = contract(graph)
        self.rest = Rest()
        self.units = {}
        for unit, node in enumerate(self.nodes.of_unit.tolist()):
            self.units.setdefault(node, unit)
        self.votes: dict[Pair, list[int]] = {}
        linked = strongest_pairs(graph, self.nodes.of_unit).items()
        named = self.nodes.named
        self.weight = {(a, b): weight for (a, b), (_, _, weight) in linked if not (named[a] and named[b])}
        self.same: list[set[int]] = [set() for _ in self.nodes.links]
        self.different: list[set[int]] = [set() for _ in self.nodes.links]
        for (a, b), weight in self.weight.items():
            if not unsure(weight):
                self._set(a, b, weight > 0)
        links = [(weight, pair) for pair, weight in self.weight.items() if unsure(weight)]
        self.waiting = [pair for _, pair in sorted(links, key=lambda one: (one[0], one[1]))]
        self.of = [-1] * len(self.nodes.links)
        self.members: dict[int, list[int]] = {}
        self.torn: set[int] = set()
        self.beyond: set[int] = set()
        self._connect(range(len(self.of)))

    @property
    def labels(self) -> np.ndarray:
        """The cluster of each unit, `(N,)`."""
        return by_first_member(np.array(self.of, int)[self.nodes.of_unit])

    def _set(self, a: int, b: int, same: bool) -> None:
        for one, other in ((a, b), (b, a)):
            (self.same if same else self.different)[one].add(other)
            (self.different if same else self.same)[one].discard(other)

    def _connect(self, nodes: Sequence[int]) -> None:
        """Find the animals of nodes anew, and which of them contradict themselves."""
        for node in nodes:
            self.members.pop(self.of[node], None)
            self.torn.discard(self.of[node])
            self.beyond.discard(self.of[node])
            self.of[node] = -1
        for start in nodes:
            if self.of[start] >= 0:
                continue
            found, self.of[start] = [start], start
            for node in found:
                for other in sorted(self.same[node]):
                    if self.of[other] < 0:
                        self.of[other] = start
                        found.append(other)
            self.members[start] = found
            if self._contradictions(found):
                self.torn.add(start)

    def _contradictions(self, members: Sequence[int]) -> list[Pair]:
        inside = set(members)
        named = sorted(node for node in members if self.nodes.named[node])
        apart = {(min(a, b), max(a, b)) for a in members for b in self.different[a] & inside}
        return sorted(apart | {(a, b) for a in named for b in named if a < b})

    def first(self) -> Question | None:
        """Return the next question: what mends a contradiction, else the likeliest link that is open."""
        for animal in sorted(self.torn - self.beyond):
            pair = self._mend(animal)
            if pair is not None:
                return self._question(pair)
            self.beyond.add(animal)  # nothing mends it, until an answer takes its parts apart or together
        while self.waiting:
            pair = self.waiting[-1]
            if pair not in self.votes and not self._redundant(*pair):
                return self._question(pair)
            self.waiting.pop()
        return None

    def _question(self, pair: Pair) -> Question:
        return Question(self.units[pair[0]], self.units[pair[1]], 0.0, self.weight[pair], False)

    def _strength(self, pair: Pair) -> float:
        return float(expit(abs(self.weight[pair]))) + len(self.votes.get(pair, ()))

    def _mend(self, animal: int) -> Pair | None:
        """Return the weakest link of the cheaper side: what holds a contradiction together, or makes it."""
        members = self.members[animal]
        place = {node: i for i, node in enumerate(members)}
        links = sorted({(min(a, b), max(a, b)) for a in members for b in self.same[a]})
        ends = np.array([[place[a], place[b]] for a, b in links])
        flow = np.array([max(1, int(1000 * self._strength(pair))) for pair in links], np.int32)
        both = csr_array(
            (np.r_[flow, flow], (np.r_[ends[:, 0], ends[:, 1]], np.r_[ends[:, 1], ends[:, 0]])),
            shape=(len(members),) * 2,
        )
        for a, b in self._contradictions(members):
            cut = maximum_flow(both, place[a], place[b])
            left = (both - cut.flow).tocsr()
            left.eliminate_zeros()
            reached = set(breadth_first_order(left, place[a], return_predecessors=False).tolist())
            held = [pair for pair in links if (place[pair[0]] in reached) != (place[pair[1]] in reached)]
            apart = [(a, b)] if (a, b) in self.weight else []
            sides = [held, apart] if not apart or cut.flow_value <= 1000 * self._strength((a, b)) else [apart, held]
            for pair in sorted(sides[0], key=self._strength) + sorted(sides[1], key=self._strength):
                if len(self.votes.get(pair, ())) < LOOKS_AGAIN and self.weight[pair] > -np.inf:
                    return pair
        return None

    def _redundant(self, a: int, b: int) -> bool:
        one, other = self.members[self.of[a]], self.members[self.of[b]]
        if one is other:
            return self._held_twice(one)
        if any(self.nodes.named[node] for node in one) and any(self.nodes.named[node] for node in other):
            return True
        inside = set(other)
        return sum(len(self.different[node] & inside) for node in one) >= ENOUGH

    def _held_twice(self, members: Sequence[int]) -> bool:
        """Tell whether no single link holds an animal together (no bridge; Tarjan 1974)."""
        number, low = {members[0]: 0}, {members[0]: 0}
        way = [(members[0], -1, iter(sorted(self.same[members[0]])))]
        while way:
            node, parent, others = way[-1]
            onward = next(others, None)
            if onward is None:
                way.pop()
                if parent >= 0:
                    low[parent] = min(low[parent], low[node])
                    if low[node] > number[parent]:
                        return False
            elif onward not in number:
                number[onward] = low[onward] = len(number)
                way.append((onward, node, iter(sorted(self.same[onward]))))
            elif onward != parent:
                low[node] = min(low[node], number[onward])
        return True

    def answer(self, unit: int, other: int, same: bool) -> bool:
        """Take in an answer; return whether it changed an animal."""
        a, b = sorted((int(self.nodes.of_unit[unit]), int(self.nodes.of_unit[other])))
        said = self.votes.setdefault((a, b), [])
        said.append(1 if same else -1)
        before = {self.of[a], self.of[b]}
        nodes = sorted({node for animal in before for node in self.members[animal]})
        held = by_first_member(np.array([self.of[node] for node in nodes]))
        self._set(a, b, sum(said) > 0 if sum(said) else same)
        self._connect(nodes)
        changed = bool((by_first_member(np.array([self.of[node] for node in nodes])) != held).any())
        self.rest.note(changed)
        return changed
