"""Desk: the clusters as the journal has them now, what to ask next, and decisions, which are written before they count.

An answer is acknowledged as soon as it is on the disk, and the clusters follow before the next page. Anything else (an
undo, a merge, a name) is taken in by building them anew beside, while the page goes on with the last state; so is what
other pages write to the same journal.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from pelage.animals.journal import Entry, Journal, append, new_entry, read_journal
from pelage.animals.links import Nodes, answered_pairs
from pelage.animals.naming import count_individuals, hear_people
from pelage.animals.questions import Inquiry, Rest
from pelage.common.errors import PelageError
from pelage.common.params import nearest
from pelage.review.run import Run, hashes_for

HOUR = timedelta(hours=1)

ANSWERS = {"same": True, "different": False, "cannot_tell": None, "skip": None}
"""Verbs that answer a question, and what they say of the two being one animal."""


@dataclass(frozen=True)
class Question:
    """What is asked: are two units one animal? `query` and `candidate` are their crops that look most alike.

    `disputed`: people said, and photos deny it.
    """

    unit: str
    other: str
    query: str
    candidate: str
    probability: float
    delta: float
    together: bool
    disputed: bool = False


class State:
    """The clusters after some entries of the journal, the same as the stage `individuals` finds with these.

    Args:
        run: What the pipeline left.
        journal: The entries.

    Attributes:
        members: Units by name of their animal.
        name_of: The other way round.
        individuals: How many animals there are, as `Named.individuals` counts them.
    """

    def __init__(self, run: Run, journal: Journal) -> None:
        self.run, self.journal, self._inquiring = run, journal, threading.Lock()
        people = hear_people(journal, run.units, run.clean)
        named = run.name(people)
        self.decisions, self.nodes, self.graph = people.decisions, named.nodes, named.graph
        self.told = [*people.told, *named.told]
        self._place = {str(name): i for i, name in enumerate(self.graph.names)}
        self.answered = answered_pairs(self.decisions, self.nodes)
        places = {
            (self._place[a], self._place[b]): value
            for (a, b), value in sorted(self.answered.items())
            if a in self._place and b in self._place
        }
        self.inquiry = Inquiry(self.graph, places)
        self.seen: dict[tuple[str, str], set[str]] = {}
        for pair, who in self.decisions.seen.items():
            if all(unit in self.nodes.member for unit in pair):
                self.seen.setdefault(self._pair(*pair), set()).update(who)
        self._likest = _likest(named.links, self.nodes)
        ends = self.graph.names[self.graph.first], self.graph.names[self.graph.second]
        self._weight = dict(
            zip(zip(*(map(str, end) for end in ends), strict=True), self.graph.weight.tolist(), strict=True)
        )
        self._near: dict[str, list[tuple[str, str]]] = {}
        for pair in sorted({*self._weight, *self._likest}):
            for node in pair:
                self._near.setdefault(node, []).append(pair)
        self.name_clusters()

    def _pair(self, a: str, b: str) -> tuple[str, str]:
        one, two = sorted((self.nodes.member[a], self.nodes.member[b]))
        return one, two

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
            known = next(
                (self.nodes.name[node] for unit in units if (node := self.nodes.member[unit]) in self.nodes.name), ""
            )
            called = known or next((self.decisions.called[unit] for unit in units if unit in self.decisions.called), "")
            if called:
                names[label] = called
                taken.add(called)
        order = sorted(
            (label for label in members if label not in names),
            key=lambda label: (row[members[label][0]]["date"] == "", row[members[label][0]]["date"], members[label][0]),
        )
        number = 1
        for label in order:
            was = Counter(self.run.likeliest.get(unit, "") for unit in members[label])
            free = sorted(
                (-count, name) for name, count in was.items() if name.startswith("new-") and name not in taken
            )
            while not free and f"new-{number:03d}" in taken:
                number += 1
            names[label] = free[0][1] if free else f"new-{number:03d}"
            taken.add(names[label])
        self.members = {names[label]: units for label, units in members.items()}
        self.name_of = {unit: name for name, units in self.members.items() for unit in units}
        self.individuals = count_individuals(self.name_of, self.run.units)

    def questions(self, reviewer: str = "") -> list[Question]:
        """Return what is worth asking, the most open first, but for what `reviewer` has seen.

        What others said and photos deny comes before all, where it is asked for a reviewer.
        """
        asked = [
            replace(self.question(*pair), disputed=True)
            for pair in self.disputed()
            if reviewer and reviewer not in self.seen.get(pair, ())
        ]
        for one in self.open_questions():
            pair = str(self.graph.names[one.unit]), str(self.graph.names[one.other])
            if not reviewer or reviewer not in self.seen.get(self._pair(*pair), ()):
                asked.append(self.question(*pair, one.delta))
        return asked

    def disputed(self) -> list[tuple[str, str]]:
        """Return pairs of which people said what the clusters deny: photos weigh more than their voices."""
        return sorted(
            (a, b)
            for (a, b), value in self.answered.items()
            if value and (value > 0) != (self.name_of[a] == self.name_of[b])
        )

    def question(self, a: str, b: str, delta: float = 0.0) -> Question:
        """Return the question about two units, or about all that must be together with them."""
        pair = self._pair(a, b)
        unit, other, query, candidate = self._likest.get(pair, (a, b, "", ""))
        query, candidate = query or self._first(unit), candidate or self._first(other)
        if unit in self.run.named and other not in self.run.named:
            unit, other, query, candidate = other, unit, candidate, query
        chance = float(expit(self._weight.get(pair, 0.0)))
        return Question(unit, other, query, candidate, chance, delta, self.name_of[a] == self.name_of[b])

    def _first(self, unit: str) -> str:
        photos = self.run.of_unit.get(unit)
        return self.run.row[unit]["best_crop"] or (photos[0].crop if photos else "")

    def candidates(self, unit: str) -> list[Question]:
        """Return whom a unit may be compared with, the likeliest first."""
        found = [self.question(*pair) for pair in self._near.get(self.nodes.member[unit], ())]
        return sorted(found, key=lambda one: (-one.probability, one.unit, one.other))

    def weakest(self, units: Sequence[str]) -> Question | None:
        """Return the link by which units hang together least: the weakest of their strongest tree."""
        inside = {self.nodes.member[unit] for unit in units}
        links = sorted(
            (-self._weight.get(pair, 0.0), pair)
            for node in inside
            for pair in self._near.get(node, ())
            if pair[0] == node and pair[1] in inside
        )
        root = {node: node for node in inside}

        def find(node: str) -> str:
            while root[node] != node:
                node = root[node]
            return node

        last = None
        for weight, pair in links:
            a, b = map(find, pair)
            if a != b:
                root[a] = b
                last = pair if weight > -np.inf else last  # one that must hold is never weak
        return self.question(*last) if last else None

    def asks(self, entry: Entry) -> tuple[str, str] | None:
        """Return the pair that an entry answers a question about, None where the state has to be built anew for it."""
        if entry.verb not in ANSWERS or not entry.other_crops:
            return None
        photos = self.run.photos
        sides = [{photos[crop].unit for crop in crops if crop in photos} for crops in (entry.crops, entry.other_crops)]
        if any(len(side) != 1 for side in sides):
            return None
        pair = self._pair(*(unit for side in sides for unit in side))
        return None if pair[0] == pair[1] or self.seen.get(pair) else pair  # else: a voice among several, or a new mind

    def answer(self, entry: Entry, pair: tuple[str, str]) -> None:
        """Take in an answer about a pair."""
        if entry.verb != "skip":
            with self._inquiring:
                same = ANSWERS[entry.verb]
                self.inquiry.answer(self._place[pair[0]], self._place[pair[1]], same)
                self.answered[pair] = 0.0 if same is None else self.inquiry.voice * (1 if same else -1)
                self.name_clusters()

    def open_questions(self) -> list[Any]:
        """Return what the inquiry asks."""
        with self._inquiring:
            return self.inquiry.questions()


def _likest(links: pd.DataFrame, nodes: Nodes) -> dict[tuple[str, str], tuple[str, str, str, str]]:
    """Return, by pair of the graph's nodes, the units and the crops of theirs that look most alike."""
    shown = links[links["query"] != ""].sort_values("log_odds", ascending=False, kind="stable")
    found: dict[tuple[str, str], tuple[str, str, str, str]] = {}
    for row in zip(*(shown[name] for name in ("unit", "other", "query", "candidate")), strict=True):
        one, two = sorted((nodes.member[row[0]], nodes.member[row[1]]))
        found.setdefault((one, two), row)
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
        self._worker, self._taking = ThreadPoolExecutor(1), None  # answers, one after another
        self._size, self._rest = -1, Rest()
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
                    state.inquiry.rest = self._rest  # goes on: answers are not counted twice
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
        return State(self.run, Journal(old, [])).individuals

    def look(self) -> State:
        """Return the state, and have a new one built beside if others wrote to the journal."""
        if (taking := self._taking) is not None:
            taking.exception()  # waits until the last answer is taken in
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
        if said.get("verb") in ("is", "merge", "rename", "undo"):
            self.settle()  # they go by what is called how, or what was decided, now
        with self._lock:
            fields = self._meant(said)
            if any(entry.id == fields.get("id") for entry in self.state.journal.entries):
                return next(entry for entry in self.state.journal.entries if entry.id == fields["id"])
            if fields.get("undoes") == "last":
                fields["undoes"] = self._last(said.get("reviewer", ""))
            crops = [
                crop for side in ("crops", "other_crops") for crop in fields.get(side) or () if isinstance(crop, str)
            ]
            fields["hashes"] = hashes_for(self.run.photos, crops)
            entry = new_entry(**fields)
            unknown = [crop for crop in crops if crop not in self.run.photos]
            if unknown:
                raise PelageError(f"there is no crop {unknown[0]!r} in this run.")
            kept_up = self._size == self._journal_size()
            append(entry, self.path)
            self.state.journal.entries.append(entry)
            pair = self.state.asks(entry) if kept_up else None
            if pair is not None:
                self.state.seen[pair] = {entry.reviewer}
                self._size = self._journal_size()
                self._taking = self._worker.submit(self.state.answer, entry, pair)
            elif not self.busy:
                self._build_beside()
            return entry

    def _meant(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Return a decision as the journal holds it, where animals that have no name of their own are told by crops.

        What this page calls `new-002` may be called otherwise tomorrow; the crops stay.
        """
        fields, verb = dict(said), said.get("verb")
        name, to = (fields.get(key) or "" for key in ("name", "to"))
        own = {*self.state.nodes.name.values(), *self.state.decisions.called.values()}
        if verb == "is" and name not in own and name in self.state.members:
            fields |= {"verb": "same", "other_crops": self._crops_of(name), "name": ""}
        elif verb == "is" or verb in ("new", "note", "best"):
            fields["other_crops"] = []
        elif verb == "merge" and name and not {name, to} <= set(self.state.nodes.name.values()):
            unknown = next((one for one in (name, to) if one not in self.state.members), None)
            if unknown is not None:
                raise PelageError(f"no animal is called {unknown!r}.{nearest(unknown, sorted(self.state.members))}")
            fields |= {"crops": self._crops_of(name), "other_crops": self._crops_of(to), "name": "", "to": ""}
        elif verb in ("rename", "merge") and name:
            fields |= {"crops": [], "other_crops": []} if name in self.state.nodes.name.values() else {"name": ""}
        return fields

    def _crops_of(self, name: str) -> list[str]:
        units = self.state.members[name]
        return next(
            ([photo.crop for photo in self.run.of_unit[unit]] for unit in units if unit in self.run.of_unit), []
        )

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
