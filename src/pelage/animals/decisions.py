"""Decisions: what the journal's entries say of the units there are now.

The state depends on each reviewer's own order, never on how the lines of several reviewers interleave. One person has
one voice: of several answers of one reviewer to the same question the last counts. The voices of several add up as
log-odds, for nobody is always right (experts err in 2 % of pairs: Stewart, dissertation, chapter 6). What was pinned,
merged or split holds for certain, unless that contradicts itself: then it is told, and only the voices count.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.special import logit

from pelage.animals.journal import Entry, Told, lines_of
from pelage.common.params import nearest
from pelage.common.tables import UNKNOWN

ACCURACY = 0.98
"""How often an expert's answer about one pair is right."""

LINK_COLUMNS = ["unit", "other", "log_odds", "kind", "for", "against", "entries"]
"""A row of links: two units, `unit < other`; `kind` is decision, must or cannot; `for` and `against` count voices."""


@dataclass(frozen=True)
class Decisions:
    """What people decided about units.

    Attributes:
        links: `LINK_COLUMNS`, a row a pair of units, sorted.
        new: By unit, the log-odds that it is none of the known animals; `inf` if pinned.
        aliases: By name of an animal as the source has it, what it is called now; merged animals share one.
        called: By unit, the name that people gave its animal.
        cannot_tell: By unit, why; only where nobody could tell.
        best: By unit, the crop that shows it best.
        notes: `(unit or name, reviewer, text)`, in order of time.
        seen: By pair of units, who answered or skipped it: these are not asked again.
        disputed: Pairs whose voices cancel out; a third person is asked.
        told: What does not fit together, or fits nothing.
    """

    links: pd.DataFrame
    new: dict[str, float]
    aliases: dict[str, str]
    called: dict[str, str]
    cannot_tell: dict[str, str]
    best: dict[str, str]
    notes: list[tuple[str, str, str]]
    seen: dict[tuple[str, str], tuple[str, ...]]
    disputed: list[tuple[str, str]]
    told: list[Told]


@dataclass(frozen=True)
class Voice:
    """The answer of one reviewer: 1 same, -1 different, 0 cannot tell; whether it is pinned, and the entries behind."""

    value: int
    pinned: bool
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Own:
    """What one reviewer says of one unit: `is` a name, `new` or `cannot_tell`; pinned or not; the entries behind."""

    verb: str
    name: str
    pinned: bool
    entries: tuple[Entry, ...]


Pair = tuple[str, str]


@dataclass
class _Voices:
    """What all reviewers say, gathered in each one's order."""

    pairs: dict[Pair, dict[str, Voice]] = field(default_factory=dict)
    units: dict[str, dict[str, Own]] = field(default_factory=dict)
    skipped: dict[Pair, set[str]] = field(default_factory=dict)
    renamed: dict[str, dict[str, Entry]] = field(default_factory=dict)
    called: dict[str, dict[str, Entry]] = field(default_factory=dict)
    best: list[tuple[str, str, Entry]] = field(default_factory=list)
    notes: list[tuple[str, Entry]] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)

    def tell(self, entries: Iterable[Entry], why: str) -> None:
        entries = sorted({entry.id: entry for entry in entries}.values(), key=lambda entry: entry.id)
        self.told.append(Told(tuple(entry.id for entry in entries), lines_of(entries), why))


def fold(
    entries: Sequence[Entry],
    unit_of: Mapping[str, str],
    identity: Mapping[str, str],
    sha256: Mapping[str, str],
    accuracy: float = ACCURACY,
) -> Decisions:
    """Say what the entries of a journal mean.

    Args:
        entries: In the order of the file.
        unit_of: By crop id, its unit.
        identity: By unit, the animal that the source names, or `unknown`.
        sha256: By image id, the hash of the photo; a crop whose photo was renamed is found by it.
        accuracy: How often an answer is right, above .5.
    """
    voices = _Voices()
    crops = _Crops(unit_of, sha256)
    source = {unit: name for unit, name in identity.items() if name != UNKNOWN}
    for entry in _alive(entries, voices):
        _hear(entry, crops, source, voices)
    aliases = _aliases(voices, set(source.values()))
    known = {unit: aliases.get(name, name) for unit, name in source.items()}
    new, called, cannot_tell, answers = _about_units(voices, known, aliases, float(logit(accuracy)))
    for pair, voiced in voices.pairs.items():
        answers.setdefault(pair, []).extend(voiced.values())
    links, disputed = _links(answers, _hard_links(answers, known, voices), float(logit(accuracy)))
    best = sorted(voices.best, key=lambda said: (moment(said[2]), said[0]))
    notes = sorted(voices.notes, key=lambda said: (moment(said[1]), said[0]))
    asked = sorted({*voices.pairs, *voices.skipped})
    return Decisions(
        links=links,
        new=new,
        aliases=aliases,
        called=called,
        cannot_tell=cannot_tell,
        best=dict(sorted({unit: crop for unit, crop, _ in best}.items())),
        notes=[(about, entry.reviewer, entry.reason) for about, entry in notes],
        seen={p: tuple(sorted({*voices.pairs.get(p, {}), *voices.skipped.get(p, ())})) for p in asked},
        disputed=disputed,
        told=sorted(voices.told, key=lambda one: (one.lines, one.entries, one.why)),
    )


def moment(entry: Entry) -> tuple[float, str]:
    """Return when an entry was written, in seconds, and its id, to order entries by."""
    return datetime.fromisoformat(entry.time).timestamp(), entry.id


def _alive(entries: Sequence[Entry], voices: _Voices) -> list[Entry]:
    """Return the entries that nobody undid, but for undos themselves. An undo may be undone."""
    there = {entry.id: entry for entry in entries}
    undoers: dict[str, list[str]] = {}
    for entry in entries:
        if entry.verb != "undo":
            continue
        if entry.undoes in there:
            undoers.setdefault(entry.undoes, []).append(entry.id)
        else:
            voices.tell([entry], f"there is no decision {entry.undoes!r} to undo.")
    open_undoers = {name: len(found) for name, found in undoers.items()}
    ready = deque(name for name in there if name not in undoers)
    alive: dict[str, bool] = {}
    while ready:
        name = ready.popleft()
        alive[name] = not any(alive[undoer] for undoer in undoers.get(name, ()))
        target = there[name].undoes if there[name].verb == "undo" else ""
        if target in open_undoers:
            open_undoers[target] -= 1
            if not open_undoers[target]:
                ready.append(target)
    circle = [entry for entry in entries if entry.id not in alive]
    if circle:
        voices.tell(circle, "these undo each other in a circle; none of them counts.")
    return [entry for entry in entries if alive.get(entry.id) and entry.verb != "undo"]


class _Crops:
    """Finds the unit of a crop that an entry names, by its id or by the hash of its photo."""

    def __init__(self, unit_of: Mapping[str, str], sha256: Mapping[str, str]) -> None:
        self.unit_of, self.sha256 = unit_of, sha256
        self.by_hash: dict[str, list[str]] = {}
        for image, digest in sorted(sha256.items()):
            self.by_hash.setdefault(digest, []).append(image)

    def now(self, crop: str, entry: Entry) -> str | None:
        """Return what a crop is called now, None where it is gone."""
        image, _, number = crop.rpartition("#")
        digest = entry.hashes.get(crop, "")
        if crop in self.unit_of and (not digest or self.sha256.get(image, digest) == digest):
            return crop
        same = (f"{renamed}#{number}" for renamed in self.by_hash.get(digest, ()))
        return next((found for found in same if found in self.unit_of), None)

    def units(self, crops: Sequence[str], entry: Entry, voices: _Voices) -> list[str]:
        """Return the units of crops, sorted; crops that are gone are told."""
        now = {crop: self.now(crop, entry) for crop in crops}
        gone = [crop for crop, found in now.items() if found is None]
        if gone:
            changed = [crop for crop in gone if crop in self.unit_of]
            why = "shows another photo than the one that was decided on" if changed else "is gone"
            more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
            rest = "The other crops count." if len(gone) < len(now) else "The decision does not count."
            voices.tell([entry], f"crop {(changed or gone)[0]!r}{more} {why}. {rest}")
        return sorted({self.unit_of[found] for found in now.values() if found is not None})


def _hear(entry: Entry, crops: _Crops, source: Mapping[str, str], voices: _Voices) -> None:
    """Take in one entry; those of one reviewer come in order."""
    who, verb = entry.reviewer, entry.verb
    units = crops.units(entry.crops, entry, voices)
    others = crops.units(entry.other_crops, entry, voices)
    if (entry.crops and not units) or (entry.other_crops and not others):
        return
    pairs = sorted({(min(a, b), max(a, b)) for a in units for b in others if a != b})
    within = sorted(set(units) & set(others))
    if within and verb in ("different", "split"):
        voices.tell([entry], f"both sides are photos of unit {within[0]!r}; a decision cannot divide it.")
    if verb == "note":
        voices.notes.extend((about, entry) for about in (units or [entry.name]))
    elif verb == "best":
        voices.best.append((units[0], crops.now(entry.crops[0], entry), entry))
    elif verb in ("rename", "merge") and not pairs and not others:
        _hear_name(entry, units, source, voices)
    elif verb == "skip":
        for pair in pairs:
            voices.skipped.setdefault(pair, set()).add(who)
    elif entry.other_crops and verb == "pin":
        for pair in pairs:
            said = voices.pairs.get(pair, {}).get(who)
            if said is None or not said.value:
                voices.tell([entry], f"{who} has said neither same nor different before, so nothing is pinned.")
            else:
                voices.pairs[pair][who] = replace(said, pinned=True, entries=(*said.entries, entry))
    elif entry.other_crops:
        value = {"same": 1, "merge": 1, "different": -1, "split": -1}.get(verb, 0)
        for pair in pairs:
            before = voices.pairs.setdefault(pair, {}).get(who)
            kept = before is not None and before.pinned and before.value == value
            entries = (*before.entries, entry) if kept else (entry,)
            voices.pairs[pair][who] = Voice(value, kept or verb in ("merge", "split"), entries)
    elif verb == "pin":
        for unit in units:
            own = voices.units.get(unit, {}).get(who)
            if own is None or own.verb == "cannot_tell":
                voices.tell([entry], f"{who} has not said before which animal this is, so nothing is pinned.")
            else:
                voices.units[unit][who] = replace(own, pinned=True, entries=(*own.entries, entry))
    else:
        name = entry.reason if verb == "cannot_tell" else entry.name
        for unit in units:
            before = voices.units.setdefault(unit, {}).get(who)
            kept = before is not None and before.pinned and (before.verb, before.name) == (verb, name)
            voices.units[unit][who] = Own(verb, name, kept, (*before.entries, entry) if kept else (entry,))


def _hear_name(entry: Entry, units: Sequence[str], source: Mapping[str, str], voices: _Voices) -> None:
    """Take in a name that changes; renaming back takes the first renaming away."""
    names = sorted({source[unit] for unit in units if unit in source}) if units else [entry.name]
    for unit in units:
        if unit not in source:
            voices.called.setdefault(unit, {})[entry.reviewer] = entry
    for name in names:
        back = voices.renamed.get(entry.to, {})
        if entry.reviewer in back and back[entry.reviewer].to == name:
            del back[entry.reviewer]
            if entry.verb == "rename":
                voices.renamed.get(name, {}).pop(entry.reviewer, None)
                continue
        if name != entry.to:
            voices.renamed.setdefault(name, {})[entry.reviewer] = entry


def _aliases(voices: _Voices, names: Collection[str]) -> dict[str, str]:
    """Return what each name that changes has become, by name; what contradicts itself is told and left out."""
    changed = [entry for said in (*voices.renamed.values(), *voices.called.values()) for entry in said.values()]
    given = {entry.to for entry in changed if entry.verb == "rename"}
    given |= {own.name for said in voices.units.values() for own in said.values() if own.verb == "is"}
    edges: dict[str, list[Entry]] = {}
    for name, said in sorted(voices.renamed.items()):
        entries = list(said.values())
        if not entries:
            continue
        if name not in names and name not in given:
            voices.tell(entries, f"no animal is called {name!r}.{nearest(name, sorted({*names, *given}))}")
        elif len({entry.to for entry in entries}) > 1:
            said_to = " and ".join(sorted({repr(entry.to) for entry in entries}))
            voices.tell(entries, f"{name!r} becomes {said_to}; neither counts until one is undone.")
        elif entries[0].verb == "rename" and entries[0].to in names:
            voices.tell(entries, f"another animal is called {entries[0].to!r}; merge the two, or choose another name.")
        elif entries[0].verb == "merge" and entries[0].to not in names and entries[0].to not in given:
            voices.tell(
                entries, f"no animal is called {entries[0].to!r}.{nearest(entries[0].to, sorted({*names, *given}))}"
            )
        else:
            edges[name] = entries
    while True:
        ends, circle = _followed(edges)
        if circle:
            told = [entry for name in circle for entry in edges.pop(name)]
            voices.tell(told, f"{' and '.join(map(repr, circle))} are renamed in a circle; none of this counts.")
            continue
        clash = _clash(edges, ends, names)
        if not clash:
            return ends
        told = [entry for name in clash for entry in edges.pop(name)]
        voices.tell(told, f"two animals are called {told[0].to!r} now; merge them, or choose another name.")


def _followed(edges: Mapping[str, list[Entry]]) -> tuple[dict[str, str], list[str]]:
    """Return the last name of each that changes, and the names of a circle if there is one."""
    ends: dict[str, str] = {}
    for start in sorted(edges):
        path = [start]
        while path[-1] in edges:
            onward = edges[path[-1]][0].to
            if onward in path:
                return {}, sorted(path[path.index(onward) :])
            path.append(onward)
        ends[start] = path[-1]
    return ends, []


def _clash(edges: Mapping[str, list[Entry]], ends: Mapping[str, str], names: Collection[str]) -> list[str]:
    """Return the renamed names of two animals that end with one name and were not merged; none if there are not."""
    merged: dict[str, str] = {name: entries[0].to for name, entries in edges.items() if entries[0].verb == "merge"}

    def root(name: str) -> str:
        while name in merged:
            name = merged[name]
        return name

    roots: dict[str, set[str]] = {}
    for name in sorted({*names, *edges}):
        roots.setdefault(ends.get(name, name), set()).add(root(name))
    for found in roots.values():
        starts = sorted(
            name for name in found if name in edges and not any(other in _way(name, edges) for other in found)
        )
        if len(starts) > 1:
            return starts
    return []


def _way(name: str, edges: Mapping[str, list[Entry]]) -> set[str]:
    """Return the names that a name has had after the first."""
    way = set()
    while name in edges:
        name = edges[name][0].to
        way.add(name)
    return way


def _about_units(
    voices: _Voices, known: Mapping[str, str], aliases: Mapping[str, str], weight: float
) -> tuple[dict[str, float], dict[str, str], dict[str, str], dict[Pair, list[Voice]]]:
    """Return what is said of single units: `new`, `called` and `cannot_tell` of `Decisions`, and answers about pairs.

    That a unit is an animal is an answer about it and the first unit of this animal.
    """
    first: dict[str, str] = {}
    for unit in sorted(known):
        first.setdefault(known[unit], unit)
    animals = set(first)
    said: dict[str, dict[str, Own]] = {}
    for unit, owns in sorted(voices.units.items()):
        for who, own in sorted(owns.items()):
            name = aliases.get(own.name, own.name)
            if unit in known and own.verb != "cannot_tell" and name != known[unit]:
                claim = "a new animal" if own.verb == "new" else repr(name)
                voices.tell(own.entries, f"unit {unit!r} is {claim} here and {known[unit]!r} in the source.")
            elif unit not in known:
                said.setdefault(unit, {})[who] = replace(own, name=name)
                if own.verb == "is" and name not in animals:
                    first.setdefault(name, unit)
    new, called, cannot_tell = {}, {}, {}
    answers: dict[Pair, list[Voice]] = {}
    for unit, owns in said.items():
        told = {who: own for who, own in owns.items() if own.verb != "cannot_tell"}
        if not told:
            cannot_tell[unit] = next((own.name for own in owns.values() if own.name), "a reviewer could not tell")
            continue
        for name in sorted({own.name for own in told.values() if own.verb == "is"}):
            if first[name] == unit:
                continue
            pair = min(unit, first[name]), max(unit, first[name])
            answers.setdefault(pair, []).extend(
                Voice(1 if (own.verb, own.name) == ("is", name) else -1, own.pinned, own.entries)
                for own in told.values()
            )
        fresh = [own for own in told.values() if own.verb == "new" or own.name not in animals]
        if fresh:
            new[unit] = weight * (2 * len(fresh) - len(told))
            if all(own in fresh for own in told.values() if own.pinned) and any(own.pinned for own in fresh):
                new[unit] = float("inf")
        names = sorted({own.name for own in fresh if own.name})
        if len(names) > 1:
            voices.tell(
                [e for own in fresh for e in own.entries], f"unit {unit!r} is {' and '.join(map(repr, names))}."
            )
        elif names and new[unit] > 0:
            called[unit] = names[0]
    for unit, entries in sorted(voices.called.items()):
        names = sorted({aliases.get(entry.to, entry.to) for entry in entries.values()})
        if len(names) > 1:
            voices.tell(entries.values(), f"unit {unit!r} is called {' and '.join(map(repr, names))}; neither counts.")
        elif names[0] in animals:
            voices.tell(entries.values(), f"{names[0]!r} is known already; say that unit {unit!r} is {names[0]!r}.")
        else:
            called[unit] = names[0]
    return new, dict(sorted(called.items())), cannot_tell, answers


def _hard_links(answers: Mapping[Pair, list[Voice]], known: Mapping[str, str], voices: _Voices) -> dict[Pair, int]:
    """Return the pairs that are pinned, 1 together, -1 apart; those that contradict each other are told, left out."""
    hard: dict[Pair, int] = {}
    for pair, said in sorted(answers.items()):
        values = {voice.value for voice in said if voice.pinned}
        if len(values) > 1:
            entries = [entry for voice in said if voice.pinned for entry in voice.entries]
            voices.tell(entries, f"{pair[0]!r} and {pair[1]!r} are pinned as one animal and as two.")
        elif values:
            hard[pair] = values.pop()
    while True:
        tied: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for pair in sorted(hard):
            if hard[pair] > 0:
                a, b = (("unit", unit) for unit in pair)
                tied.setdefault(a, []).append(b)
                tied.setdefault(b, []).append(a)
        touched = {unit for pair in hard for unit in pair if unit in known}
        for unit in sorted(touched):
            a, b = ("unit", unit), ("animal", known[unit])
            tied.setdefault(a, []).append(b)
            tied.setdefault(b, []).append(a)
        path, broken = _broken(hard, tied)
        if path is None:
            return hard
        steps = [(min(a[1], b[1]), max(a[1], b[1])) for a, b in pairwise(path) if a[0] == b[0] == "unit"]
        chain = " = ".join(name for _, name in path)
        entries = []
        for pair in {*steps, *broken}:
            del hard[pair]
            entries += [entry for voice in answers[pair] if voice.pinned for entry in voice.entries]
        why = (
            "the first and the last are pinned as two animals"
            if broken
            else "the source tells them apart (merge the names)"
        )
        voices.tell(entries, f"{chain} by what is pinned, but {why}. These count as single voices only; undo one.")


def _broken(
    hard: Mapping[Pair, int], tied: Mapping[tuple[str, str], list[tuple[str, str]]]
) -> tuple[list[tuple[str, str]] | None, list[Pair]]:
    """Return a shortest chain of what must be together between what must not be, and the pair that says so, if any."""
    for pair in sorted(hard):
        if hard[pair] < 0:
            path = _chain(tied, ("unit", pair[0]), lambda end, goal=("unit", pair[1]): end == goal)
            if path:
                return path, [pair]
    for start in sorted(tied):
        if start[0] == "animal":
            path = _chain(tied, start, lambda end, own=start: end[0] == "animal" and end != own)
            if path:
                return path, []
    return None, []


def _chain(
    tied: Mapping[tuple[str, str], list[tuple[str, str]]], start: tuple[str, str], reached: Callable[..., bool]
) -> list[tuple[str, str]] | None:
    before: dict[tuple[str, str], tuple[str, str] | None] = {start: None}
    waiting = deque([start])
    while waiting:
        end = waiting.popleft()
        if reached(end):
            path = [end]
            while before[path[-1]] is not None:
                path.append(before[path[-1]])
            return path[::-1]
        for onward in sorted(tied.get(end, ())):
            if onward not in before:
                before[onward] = end
                waiting.append(onward)
    return None


def _links(
    answers: Mapping[Pair, list[Voice]], hard: Mapping[Pair, int], weight: float
) -> tuple[pd.DataFrame, list[Pair]]:
    """Return `links` and `disputed` of `Decisions`."""
    rows, disputed = [], []
    for pair, said in sorted(answers.items()):
        total = sum(voice.value for voice in said)
        yes, no = (sum(voice.value == value for voice in said) for value in (1, -1))
        if not yes + no:
            continue
        kind = {1: "must", -1: "cannot", 0: "decision"}[hard.get(pair, 0)]
        log_odds = hard[pair] * np.inf if pair in hard else weight * total
        if kind == "decision" and total == 0:
            disputed.append(pair)
        entries = sorted({entry.id for voice in said for entry in voice.entries})
        rows.append((*pair, log_odds, kind, yes, no, " ".join(entries)))
    return pd.DataFrame(rows, columns=LINK_COLUMNS).astype({"log_odds": float, "for": int, "against": int}), disputed
