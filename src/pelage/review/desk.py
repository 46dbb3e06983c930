"""Desk: the clusters as the journal has them now, what to ask next, and decisions, which are written before they count.

An answer to a question changes the clusters at once. Anything else (an undo, a merge, a name) is taken in by building
them anew beside, while the page goes on with the last state; so is what other pages write to the same journal.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from pelage.animals.clustering import Graph
from pelage.animals.decisions import Decisions
from pelage.animals.graph import contract
from pelage.animals.journal import Entry, Journal, append, new_entry, read_journal
from pelage.animals.links import Nodes, graph_of, in_graph, nodes_of
from pelage.animals.local_search import clustered
from pelage.animals.naming import hear_people, with_decisions
from pelage.animals.questions import Inquiry
from pelage.common.errors import PelageError
from pelage.review.run import Run, hashes_for

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Question:
    """What is asked: are two units one animal? `query` and `candidate` are their crops that look most alike."""

    unit: str
    other: str
    query: str
    candidate: str
    probability: float
    delta: float
    together: bool


class State:
    """The clusters after some entries of the journal.

    Args:
        run: What the pipeline left.
        journal: The entries.
        counted_before: Animals an hour ago; None to count them.
    """

    def __init__(self, run: Run, journal: Journal) -> None:
        self.run, self.journal = run, journal
        people = hear_people(journal, run.units, run.clean)
        self.decisions: Decisions = people.decisions
        self.nodes: Nodes = nodes_of(run.units, self.decisions.aliases)
        graph, _ = graph_of(run.units, self.nodes, run.links)
        inside = in_graph(self.decisions, self.nodes)
        self.graph, contradictions = with_decisions(graph, inside)
        self.told = [*people.told, *contradictions]
        self.seen = inside.seen
        odds = dict(zip(zip(inside.links["unit"], inside.links["other"], strict=True), inside.links["log_odds"], strict=True))
        pairs = {tuple(sorted(pair)): value for pair, value in odds.items()}
        answered = {pair: float(np.clip(pairs.get(pair, 0.0), -1e3, 1e3)) for pair in {*self.seen, *pairs}}
        self._place = {str(name): i for i, name in enumerate(self.graph.names)}
        places = {
            (self._place[a], self._place[b]): value
            for (a, b), value in sorted(answered.items())
            if a in self._place and b in self._place
        }
        self.inquiry = Inquiry(self.graph, places)
        self._best_links = _best_links(run, self.nodes)
        self.name_clusters()

    def name_clusters(self) -> None:
        """Give each cluster its name: that of the source, else that people gave, else what the last run called it."""
        labels = self.inquiry.labels
        members: dict[int, list[str]] = {}
        label_of = dict(zip(map(str, self.graph.names), labels.tolist(), strict=True))
        for unit, node in self.nodes.member.items():
            members.setdefault(label_of[node], []).append(unit)
        row, names, taken = self.run.row, {}, set()
        for label, units in members.items():
            units.sort(key=lambda unit: (row[unit]["date"] == "", row[unit]["date"], unit))
            known = next((self.nodes.name[node] for unit in units if (node := self.nodes.member[unit]) in self.nodes.name), "")
            called = known or next((self.decisions.called[unit] for unit in units if unit in self.decisions.called), "")
            if called:
                names[label] = called
                taken.add(called)
        order = sorted(
            (label for label in members if label not in names),
            key=lambda label: (row[members[label][0]]["date"] == "", row[members[label][0]]["date"], members[label][0]),
        )
        for label in order:
            was = Counter(self.run.likeliest.get(unit, "") for unit in members[label])
            free = sorted((-count, name) for name, count in was.items() if name.startswith("new-") and name not in taken)
            number = 1
            while not free and f"new-{number:03d}" in taken:
                number += 1
            names[label] = free[0][1] if free else f"new-{number:03d}"
            taken.add(names[label])
        self.members = {names[label]: units for label, units in members.items()}
        self.name_of = {unit: name for name, units in self.members.items() for unit in units}

    @property
    def individuals(self) -> int:
        """Return how many animals there are."""
        return len(self.members)

    def questions(self, reviewer: str = "") -> list[Question]:
        """Return what is worth asking, the most open first, but for what `reviewer` has seen."""
        asked = []
        for one in self.inquiry.questions():
            pair = tuple(sorted((str(self.graph.names[one.unit]), str(self.graph.names[one.other]))))
            if reviewer and reviewer in self.seen.get(pair, ()):
                continue
            asked.append(self.question(*pair, one.weight, one.delta, one.together))
        return asked

    def question(self, a: str, b: str, weight: float | None = None, delta: float = 0.0, together: bool | None = None) -> Question:
        """Return the question about two units, or the nodes of two."""
        one, two = sorted((self.nodes.member[a], self.nodes.member[b]))
        link = self._best_links.get((one, two))
        unit, other, query, candidate, log_odds = link if link else (a, b, "", "", 0.0)
        query, candidate = query or self._first(unit), candidate or self._first(other)
        if unit in self.run.named and other not in self.run.named:
            unit, other, query, candidate = other, unit, candidate, query
        odds = log_odds if weight is None else weight
        joined = self.name_of[a] == self.name_of[b] if together is None else together
        return Question(unit, other, query, candidate, float(expit(odds)), delta, joined)

    def _first(self, unit: str) -> str:
        photos = self.run.of_unit.get(unit)
        return self.run.row[unit]["best_crop"] or (photos[0].crop if photos else "")

    def weight(self, a: str, b: str) -> float | None:
        """Return the log-odds of the link of two nodes, None where there is none."""
        link = self._best_links.get(tuple(sorted((self.nodes.member[a], self.nodes.member[b]))))
        return link[4] if link else None

    def candidates(self, unit: str) -> list[Question]:
        """Return whom a unit may be compared with, the likeliest first."""
        own = self.nodes.member[unit]
        found = [self.question(*pair) for pair in self._pairs_of().get(own, ())]
        return sorted(found, key=lambda one: (-one.probability, one.unit, one.other))

    def _pairs_of(self) -> dict[str, list[tuple[str, str]]]:
        if not hasattr(self, "_of_node"):
            self._of_node: dict[str, list[tuple[str, str]]] = {}
            for pair in sorted(self._best_links):
                for node in pair:
                    self._of_node.setdefault(node, []).append(pair)
        return self._of_node

    def answer(self, entry: Entry) -> bool:
        """Take in an answer to a question; return False where it is no such answer, and the state has to be built anew."""
        same = {"same": True, "different": False, "cannot_tell": None, "skip": None}
        if entry.verb not in same or not entry.other_crops:
            return False
        photos = self.run.photos
        sides = [{photos[crop].unit for crop in crops if crop in photos} for crops in (entry.crops, entry.other_crops)]
        if any(len(side) != 1 for side in sides):
            return False
        pair = tuple(sorted(self.nodes.member[unit] for side in sides for unit in side))
        who = self.seen.get(pair, ())
        if pair[0] == pair[1] or who:
            return False  # a voice among several, or one that changes its mind
        self.seen[pair] = (entry.reviewer,)
        if entry.verb == "skip":
            return True
        self.inquiry.answer(*(self._place[node] for node in pair), same[entry.verb])
        self.name_clusters()
        return True


def _best_links(run: Run, nodes: Nodes) -> dict[tuple[str, str], tuple[str, str, str, str, float]]:
    """Return, by pair of the graph's nodes, unit, other, their crops that look most alike, and the summed log-odds."""
    links = run.links
    found: dict[tuple[str, str], tuple[str, str, str, str, float]] = {}
    strongest: dict[tuple[str, str], float] = {}
    columns = (links[name] for name in ("unit", "other", "query", "candidate", "log_odds"))
    for unit, other, query, candidate, weight in zip(*columns, strict=True):
        pair = tuple(sorted((nodes.member[unit], nodes.member[other])))
        if pair[0] == pair[1]:
            continue
        total = found[pair][4] + weight if pair in found else weight
        if weight > strongest.get(pair, -np.inf) or pair not in found:
            strongest[pair] = weight
            found[pair] = (unit, other, query, candidate, total)
        else:
            found[pair] = (*found[pair][:4], total)
    return found


class Desk:
    """The state, kept up with the journal.

    Args:
        run: What the pipeline left.
        path: Of the journal.
    """

    def __init__(self, run: Run, path: Path) -> None:
        self.run, self.path = run, path
        self._lock, self._building = threading.RLock(), threading.Lock()
        self._size = -1
        self.busy = False
        self.state: State
        self.before = 0
        self._counted = 0.0
        self.refresh()

    def refresh(self) -> None:
        """Build the state of the journal as it is now."""
        with self._building:
            while True:
                size = self._journal_size()
                state = State(self.run, read_journal(self.path))
                if time.monotonic() - self._counted > 300 or not self._counted:
                    self.before = self._count_before(state)
                    self._counted = time.monotonic()
                with self._lock:
                    self.state, self._size = state, size
                    if self._journal_size() == size:
                        self.busy = False
                        return

    def _count_before(self, state: State) -> int:
        """Return how many animals there were by what had been decided an hour ago."""
        since = datetime.now().astimezone() - HOUR
        old = [entry for entry in state.journal.entries if datetime.fromisoformat(entry.time) < since]
        if len(old) == len(state.journal.entries):
            return state.individuals
        decisions = hear_people(Journal(old, []), self.run.units, self.run.clean).decisions
        nodes = nodes_of(self.run.units, decisions.aliases)
        graph: Graph = with_decisions(graph_of(self.run.units, nodes, self.run.links)[0], in_graph(decisions, nodes))[0]
        return len(clustered(contract(graph)).members)

    def look(self) -> State:
        """Return the state, and have a new one built beside if others wrote to the journal."""
        with self._lock:
            if self._journal_size() != self._size and not self.busy:
                self._build_beside()
            return self.state

    def _build_beside(self) -> None:
        self.busy = True
        threading.Thread(target=self.refresh, name="clusters", daemon=True).start()

    def settle(self) -> State:
        """Return the state once it holds all of the journal."""
        while True:
            state = self.look()
            if not self.busy:
                return state
            time.sleep(0.01)

    def _journal_size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def decide(self, said: Mapping[str, Any]) -> Entry:
        """Write a decision, then take it in.

        Args:
            said: Fields of an entry, `id`, `reviewer` and `verb` among them; `undoes` may be `last`. Hashes are added.

        Raises:
            PelageError: It is none, or could not be written; then nothing has changed.
        """
        with self._lock:
            fields = {key: value for key, value in said.items() if key not in ("reviewer", "verb")}
            if any(entry.id == fields.get("id") for entry in self.state.journal.entries):
                return next(entry for entry in self.state.journal.entries if entry.id == fields["id"])
            if fields.get("undoes") == "last":
                fields["undoes"] = self._last(said.get("reviewer", ""))
            crops = [crop for side in ("crops", "other_crops") for crop in fields.get(side) or ()]
            fields["hashes"] = hashes_for(self.run.photos, crops)
            entry = new_entry(str(said.get("verb", "")), str(said.get("reviewer", "")), **fields)
            unknown = [crop for crop in crops if crop not in self.run.photos]
            if unknown:
                raise PelageError(f"there is no crop {unknown[0]!r} in this run.")
            kept_up = self._size == self._journal_size()
            append(entry, self.path)
            self.state.journal.entries.append(entry)
            if kept_up and self.state.answer(entry):
                self._size = self._journal_size()
            elif not self.busy:
                self._build_beside()
            return entry

    def _last(self, reviewer: str) -> str:
        """Return the id of a reviewer's last decision that still counts.

        Raises:
            PelageError: There is none.
        """
        entries = self.state.journal.entries
        undone = {entry.undoes for entry in entries if entry.verb == "undo"}
        for entry in reversed(entries):
            if entry.reviewer == reviewer and entry.verb != "undo" and entry.id not in undone:
                return entry.id
        raise PelageError("you have decided nothing that could be undone.")
