"""Naming: the whole way from photo pairs to answers, the same for the survey and for its rehearsal."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pandas as pd
from scipy.special import expit

from pelage.animals.agreement import Agreement, agree
from pelage.animals.answers import CANNOT_TELL, CONTRADICTED, answer, partitions_table
from pelage.animals.clustering import cluster, draw_partitions, share_of_new
from pelage.animals.decisions import Decisions, fold
from pelage.animals.evidence import Evidence, learn, side_pairs
from pelage.animals.graph import Contradiction, Graph, contract
from pelage.animals.journal import JOURNAL, Journal
from pelage.animals.links import (
    DECISION,
    PEOPLE,
    Nodes,
    answered_pairs,
    count_asked,
    decision_links,
    evidence_links,
    far_links,
    graph_of,
    known_links,
    nodes_of,
    shares_of,
    whole_links,
)
from pelage.animals.questions import QUESTION_COLUMNS as ASKED_COLUMNS
from pelage.animals.questions import next_questions
from pelage.animals.units import NAMED, Units
from pelage.evaluation.reliability import expected_calibration_error, proper_scores, reliability_table

QUESTION_COLUMNS = ["place", "scope", "unit", "other", "individual", "probability", "delta", "together", "why"]


@dataclass(frozen=True)
class Named:
    """What came of the units of a scope.

    Attributes:
        units, nodes: Named units, and those of the scope.
        links: `LINK_COLUMNS`, with `probability`, and whether both are `together` in the best clustering.
        graph: Of these, see `graph_of`.
        sides: `(N,)` of its nodes.
        best: `(N,)` best clustering.
        draws: `(D, N)` partitions.
        answers: `ANSWER_COLUMNS`.
        told: Decisions that would make one animal of two that were photographed together: sentences.
    """

    units: Units
    nodes: Nodes
    links: pd.DataFrame
    graph: Graph
    sides: np.ndarray
    best: np.ndarray
    draws: np.ndarray
    answers: pd.DataFrame
    told: list[str]

    @property
    def individuals(self) -> int:
        """How many animals there are in the best clustering."""
        label = dict(zip(self.graph.names, self.best.tolist(), strict=True))
        return count_individuals({unit: label[node] for unit, node in self.nodes.member.items()}, self.units)

    def asked_only(self) -> Named:
        """Return the same with tables of units that nobody named alone, and `identity` among the answers."""
        table, crops, answers = self.units.table, self.units.crops, self.answers
        own = Units(table[table["scope"] != NAMED], crops[crops["scope"] != NAMED], self.units.links)
        told = answers[answers["scope"] != NAMED]
        return replace(self, units=own, answers=told.assign(identity=told["unit"].map(self.nodes.identity)))

    def met(self) -> list[tuple[set[str], set[str]]]:
        """Return, of each node that nobody named, the nodes of its cluster and the others of its animal, by photos."""
        shown = set(self.nodes.crops["node"])
        label = dict(zip(self.graph.names, self.best, strict=True))
        clusters: dict[int, set[str]] = {}
        animals: dict[str, set[str]] = {}
        for unit, node in self.nodes.of_unit.items():
            if node in shown:
                clusters.setdefault(label[self.nodes.member[unit]], set()).add(node)
                animals.setdefault(self.nodes.identity[node], set()).add(node)
        asked = sorted(self.nodes.asked & shown)
        return [(clusters[label[node]], animals[self.nodes.identity[node]] - {node}) for node in asked]

    def questions(self, people: People | None = None) -> pd.DataFrame:
        """Return what a person should decide next, `QUESTION_COLUMNS`; of a name, the unit that looks most alike.

        What people said and photos deny comes first: another person is asked, or the answer is pinned.
        """
        answered = answered_pairs(people.decisions, self.nodes) if people else {}
        found = pd.concat([self._disputed(), next_questions(self.graph, answered)], ignore_index=True)
        found["place"] = np.arange(1, len(found) + 1)
        links = self.links[self.links["pairs"] > 0]
        ends = [links[end].map(self.nodes.member) for end in ("unit", "other")]
        shown = {
            frozenset(pair): (unit, other)
            for *pair, unit, other in zip(*ends, links["unit"], links["other"], strict=True)
        }
        pairs = [shown.get(frozenset(pair), pair) for pair in zip(found["unit"], found["other"], strict=True)]
        likeliest = dict(zip(self.answers["unit"], self.answers["likeliest"], strict=True))
        scope = self.units.table.set_index("unit")["scope"]
        found = found.assign(unit=[pair[0] for pair in pairs], other=[pair[1] for pair in pairs])
        found = found.assign(scope=found["unit"].map(scope), individual=found["other"].map(likeliest))
        found = found.astype({"probability": float, "delta": float})
        return found.round({"probability": 4, "delta": 4})[QUESTION_COLUMNS]

    def _disputed(self) -> pd.DataFrame:
        """Return pairs of which people say what photos deny, as `next_questions` does."""
        torn = self.answers["reason"].str.startswith(CONTRADICTED)
        torn = set(self.answers.loc[torn, "unit"])
        said = self.links[(self.links["kind"] == DECISION) & (self.links["log_odds"] != 0)]
        said = said[said["unit"].isin(torn) | said["other"].isin(torn)]
        said = said[(said["log_odds"] > 0) | said["together"]]
        ends = [said[end].map(self.nodes.member) for end in ("unit", "other")]
        place = pd.Series(np.arange(len(self.graph.names)), index=self.graph.names)
        whole = self.graph.speakers()
        ends = [self.graph.names[whole[place[end].to_numpy(int)]] for end in ends]
        why = "people say one thing, photos another: ask another person, or pin it"
        table = pd.DataFrame({"unit": ends[0], "other": ends[1], "probability": said["probability"], "delta": 0.0,
                              "together": said["together"], "why": why})  # fmt: skip
        return table.drop_duplicates(["unit", "other"]).assign(place=0)[ASKED_COLUMNS]

    def partitions(self) -> pd.DataFrame:
        """Return the draws as a table, see `partitions_table`."""
        return partitions_table(self.graph, self.draws, self.units, self.nodes)


def count_individuals(cluster_of: Mapping[str, Hashable], units: Units) -> int:
    """Return how many clusters of units are animals: they have a name, or a photo that can be compared."""
    named = units.table.loc[units.table["scope"] == NAMED, "unit"]
    return len({cluster_of[unit] for unit in {*named, *units.crops["unit"]} & cluster_of.keys()})


@dataclass(frozen=True)
class People:
    """What people decided on the units of a scope.

    Attributes:
        decisions: As `fold` returns them.
        reviewers: By unit, who decided on it last.
        told: Entries that count not at all, or not as they were meant: sentences.
    """

    decisions: Decisions
    reviewers: dict[str, str]
    told: list[str]


def hear_people(journal: Journal, units: Units, photos: pd.DataFrame) -> People:
    """Return what a journal says of units.

    Args:
        journal: As `read_journal` returns it.
        units: Named ones, and those of another scope.
        photos: Rows of `data/clean.csv`: `image_id, sha256`.
    """
    table = units.table
    unit_of = dict(zip(units.crops["crop_id"], units.crops["unit"], strict=True))
    identity = dict(zip(table["unit"], table["identity"], strict=True))
    decisions = fold(journal.entries, unit_of, identity, dict(zip(photos["image_id"], photos["sha256"], strict=True)))
    links = decisions.links
    concerned = {*links["unit"], *links["other"], *decisions.new, *decisions.called, *decisions.cannot_tell}
    reviewers: dict[str, str] = {}
    for entry in sorted(journal.entries, key=lambda entry: (datetime.fromisoformat(entry.time), entry.id)):
        for crop in (*entry.crops, *entry.other_crops):
            if unit_of.get(crop) in concerned:
                reviewers[unit_of[crop]] = entry.reviewer
    told = [one.sentence(JOURNAL) for one in (*journal.told, *decisions.told)]
    return People(decisions, reviewers, told)


def practise(units: Units, photo_pairs: pd.DataFrame) -> Evidence | None:
    """Learn what photo pairs are worth from units whose names are known but were not told; None without any pair."""
    nodes = nodes_of(units)
    pairs = side_pairs(photo_pairs, nodes.crops)
    if pairs.empty:
        return None
    evidence = learn(pairs, nodes.identity, nodes.asked, sum(count_asked(nodes)) - len(pairs))
    named = name_animals(units, photo_pairs, evidence, None, draws=0, probability=1.0, speed_m_per_s=None, seed=0)
    missed = [len(cluster) == 1 for cluster, others in named.met() if others]
    return replace(evidence, missed=(sum(missed) + 1) / (len(missed) + 2))


def name_animals(
    units: Units,
    photo_pairs: pd.DataFrame,
    evidence: Evidence | None,
    places: pd.DataFrame | None,
    draws: int,
    probability: float,
    speed_m_per_s: float | None,
    seed: int,
    people: People | None = None,
) -> Named:
    """Decide which units are one animal, and who it is.

    Args:
        units: Named ones, and those of another scope.
        photo_pairs: `query, candidate, score` of the scope's protocol.
        evidence: What was learnt in practice; None where scores are no probabilities.
        places: `station, latitude, longitude`; needed if there is a speed.
        draws: Partitions drawn.
        probability: Least one of an answer.
        speed_m_per_s: Metres a second that no animal exceeds; None: any does.
        seed: Of the draws.
        people: What they decided.
    """
    nodes = nodes_of(units, people.decisions.aliases if people else None)
    links, compared, absent, prior, joining = known_links(units), set(), None, None, None
    if evidence is not None:
        pairs = side_pairs(photo_pairs, nodes.crops)
        shares = shares_of(nodes, pairs, evidence)
        absent, prior = evidence.least + shares.own, evidence.prior(shares.own)
        links = pd.concat([links, evidence_links(nodes, pairs, evidence, shares)])
        compared = {*pairs["first"], *pairs["second"]}
    if speed_m_per_s is not None:
        links = pd.concat([links, far_links(units, nodes, links, places, speed_m_per_s)])
    links = links.reset_index(drop=True)
    if evidence is not None:
        graph, _ = graph_of(units, nodes, links, absent, prior)
        joining = share_of_new(graph)
        graph = replace(graph, joining=joining)
        links = pd.concat([links, whole_links(graph, nodes, links, photo_pairs, evidence, shares)], ignore_index=True)
    told: list[str] = []
    if people is not None:
        links = pd.concat([links, decision_links(people.decisions, nodes, links)], ignore_index=True)
        links, told = without_contradictions(units, nodes, links)
    graph, sides = graph_of(units, nodes, links, absent, prior)
    graph = replace(graph, joining=joining)
    best = cluster(graph)
    drawn = draw_partitions(graph, draws, seed)
    said = (people.decisions, people.reviewers) if people else ()
    answers = answer(units, nodes, links, graph, best, drawn, probability, evidence, compared, *said)
    label = pd.Series(best, index=graph.names)
    ends = [links[column].map(nodes.member).map(label) for column in ("unit", "other")]
    links = links.assign(
        log_odds=links["log_odds"].round(6), probability=expit(links["log_odds"]).round(6), together=ends[0] == ends[1]
    )
    links = links.sort_values(["unit", "other", "kind", "filters"], ignore_index=True)
    return Named(units, nodes, links, graph, sides, best, drawn, answers, told)


def without_contradictions(units: Units, nodes: Nodes, links: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Leave out what people made certain where it cannot be: two animals of one photo are two.

    Returns:
        The links, and a sentence for each time that some were left out.

    Raises:
        Contradiction: It does not come from people.
    """
    told: list[str] = []
    while True:
        try:
            contract(graph_of(units, nodes, links)[0])
            return links, told
        except Contradiction as error:
            path = set(map(str, error.units))
            ends = [links[end].map(nodes.member).isin(path) for end in ("unit", "other")]
            certain = ends[0] & ends[1] & links["filters"].str.startswith(PEOPLE) & np.isinf(links["log_odds"])
            if not certain.any():
                raise
            told.append(f"{error} Until then none of them counts.")
            links = links[~certain].reset_index(drop=True)


def compare(named: Named, labels: np.ndarray | None = None, decided: bool = False) -> Agreement:
    """Compare a clustering with the truth.

    Args:
        named: Units whose true animals are known.
        labels: `(N,)` clusters of the graph's nodes, else the best ones.
        decided: Only of units that were answered for, and names.
    """
    names, labels = named.graph.names, named.best if labels is None else labels
    is_name = named.graph.known() >= 0
    truth = np.array([named.nodes.identity[name] for name in names])
    counted = np.ones(len(names), bool)
    if decided:
        rows = named.answers
        told = rows.loc[~rows["answer"].isin([CANNOT_TELL, NAMED]), "unit"]
        counted = is_name | np.isin(names, told)
    return agree(truth[counted], labels[counted], named.sides[counted], ~is_name[counted])


def calibration(named: Named, photo_pairs: pd.DataFrame, evidence: Evidence | None) -> dict[str, float | None]:
    """Return what the probabilities of pairs are worth: `brier_skill`, and `top1_ece` of each node's best answer.

    Args:
        named: Units whose true animals are known.
        photo_pairs, evidence: As they were named by.
    """
    nodes = named.nodes
    pairs = side_pairs(photo_pairs, nodes.crops)
    if evidence is None or pairs.empty:
        return {"brier_skill": None, "top1_ece": None}
    shares = shares_of(nodes, pairs, evidence)
    ends = [pairs[end].astype(object) for end in ("first", "second")]
    asked = [end.isin(nodes.asked).to_numpy() for end in ends]
    probability = expit(evidence.log_odds(pairs) + np.where(asked[0] & asked[1], shares.own, shares.name))
    same = (ends[0].map(nodes.identity) == ends[1].map(nodes.identity)).to_numpy()
    skill = proper_scores(probability, same, np.ones(len(same)))["brier_skill"]
    both = [pd.DataFrame({"node": ends[i], "probability": probability, "same": same})[asked[i]] for i in (0, 1)]
    top = pd.concat(both).sort_values(["node", "probability"], kind="stable").drop_duplicates("node", keep="last")
    table = reliability_table(top["probability"].to_numpy(), top["same"].to_numpy(), np.ones(len(top)))
    return {"brier_skill": skill, "top1_ece": expected_calibration_error(table)}
