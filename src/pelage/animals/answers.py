"""Answers: who is it, who is new, and what cannot be told.

What is answered is the best clustering. How sure an answer is, is the share of partitions, drawn by their probability,
in which the unit is with that name, or that new animal, and with no other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from scipy.special import expit, logit

from pelage.animals.clustering import Links
from pelage.animals.decisions import Decisions
from pelage.animals.evidence import Evidence, possible_pairs, shown_sides, side_codes
from pelage.animals.graph import Graph, contract
from pelage.animals.links import DECISION, EVIDENCE, Nodes
from pelage.animals.units import NAMED, Units
from pelage.common.tables import UNKNOWN

KNOWN, NEW, CANNOT_TELL = "known", "new", "cannot_tell"
SOURCE, PELAGE = "source", "pelage"
"""Who decided: the names that came with the photos, or this program."""

CONTRADICTED = "contradicted"
"""Why it cannot be told: people say one thing, photos another. People who pin what they say are right."""

POOR = ("blurred", "underexposed", "overexposed", "too_small")
"""Flags of photos that say why nothing can be told from them."""

CERTAIN = 1e3
"""What a link that must hold is taken for where links are compared."""

ANSWER_COLUMNS = [
    "unit", "scope", "encounter", "side", "individual", "answer", "probability", "reason", "decided_by", "station",
    "date", "photos", "best_crop", "weakest_link", "likeliest",
]  # fmt: skip


def chances(graph: Graph, draws: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Return the probability of each node's place in the best clustering, `(N,)`.

    It is the mean over draws of the chance that a node, all others being where they are, goes where others of its
    cluster are (Gelfand and Smith, JASA 1990): smooth, where counting draws goes in steps. Nodes that must be together
    go together. A node that is alone is asked for the chance of being alone.

    Args:
        graph: N nodes.
        draws: `(D, N)` partitions of them.
        best: `(N,)` the best one.
    """
    count, nodes = len(graph.names), contract(graph)
    links, group = Links.of(nodes), nodes.of_unit
    named, size = links.named, links.size
    of = np.zeros(len(named), int)
    of[group] = np.arange(count)  # a unit of each node
    one, two = np.r_[links.first, links.second], np.r_[links.second, links.first]
    weight = np.tile(links.weight, 2)
    kept = ~named[one]
    one, two, weight = one[kept], two[kept], weight[kept]
    alone = np.bincount(best[of], minlength=count)[best[of]] == 1
    total = np.zeros(len(of))
    for labels in draws:
        label = labels[of]
        key = one * (label.max(initial=0) + 1) + label[two]
        _, at, place = np.unique(key, return_index=True, return_inverse=True)
        mine, cluster_ = one[at], label[two[at]]
        whole = np.zeros((label.max(initial=0) + 1, size.shape[1]), int)
        np.add.at(whole, label, size)
        theirs = whole[cluster_] - size[mine] * (label[mine] == cluster_)[:, None]
        pull = np.bincount(place, weight, len(at)) + graph.each_joined(theirs, size[mine])
        highest = np.zeros(len(of))
        np.maximum.at(highest, mine, pull)
        strength = np.exp(pull - highest[mine])
        all_ = np.bincount(mine, strength, len(of)) + np.exp(-highest)
        holds_name = np.zeros(label.max(initial=0) + 1, bool)
        holds_name[label[named]] = True
        friends = np.zeros(len(at), bool)  # clusters that hold others of the node's own
        np.logical_or.at(friends, place, best[of[one]] == best[of[two]])
        cluster_named = np.zeros(count, bool)
        cluster_named[best[of[named]]] = True
        right = friends & (holds_name[cluster_] == cluster_named[best[of[mine]]])
        total += np.where(alone, np.exp(-highest), np.bincount(mine, strength * right, len(of))) / all_
    result = total / max(len(draws), 1)
    result[named] = 1.0
    return result[group]


def answer(
    units: Units,
    nodes: Nodes,
    links: pd.DataFrame,
    graph: Graph,
    best: np.ndarray,
    draws: np.ndarray,
    enough: float,
    evidence: Evidence | None,
    compared: Collection[str],
    people: Decisions | None = None,
    reviewers: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Answer for each unit of a scope; named ones answer for themselves.

    Args:
        units, nodes: Named units, and those of another scope.
        links: Rows of `LINK_COLUMNS`.
        graph: As `graph_of` returns it of these.
        best: `(N,)` the best clustering of its nodes.
        draws: `(D, N)` partitions drawn.
        enough: Least probability of an answer.
        evidence: What was learnt in practice, None where scores of photo pairs are no probabilities.
        compared: Nodes whose photos were compared with others', whatever came of it.
        people: What they decided: names that they gave, what they could not tell, which crop shows a unit best.
        reviewers: By unit, who decided upon it last.

    Returns:
        `ANSWER_COLUMNS`, ordered by scope and unit. `likeliest` is the individual of the best clustering also where the
        answer is that it cannot be told. New animals are numbered by their first sighting.
    """
    place = pd.Series(np.arange(len(graph.names)), index=graph.names)
    table = units.table.assign(
        node=units.table["unit"].map(nodes.of_unit), decided_by=units.table["unit"].map(reviewers or {}).fillna(PELAGE)
    )
    named = table["scope"] == NAMED
    at = place[table["unit"].map(nodes.member)].to_numpy(int)
    name_of = {best[place[node]]: name for node, name in nodes.name.items()}
    seen = _flanks_seen(nodes, table["node"])
    chance = chances(graph, draws, best)[at]
    is_known = pd.Series(best[at]).isin(name_of).to_numpy()
    alone = (table["node"].groupby(best[at]).transform("nunique") == 1).to_numpy() & ~named.to_numpy()
    asked = nodes.asked & {*nodes.crops["node"]}
    lonely = {*table.loc[alone, "node"]} & asked
    never = evidence.alone_share(len(lonely), len(asked)) if evidence else 1.0
    new = chance * seen["share"] * np.where(alone, never, 1.0)
    if people is not None:
        new = _as_people_say(new, table["node"], {nodes.of_unit[unit]: odds for unit, odds in people.new.items()})
    table["probability"] = np.where(is_known, chance, new)
    table["weakest_link"] = weakest_links(graph, best, links, nodes)[at]

    reasons = _reasons(table, compared, evidence is not None, is_known)
    table["probability"] = table["probability"].where(reasons == "", 0.0)
    unsure = table["probability"] < enough
    reason = np.where(reasons != "", reasons, np.where(unsure, _doubt(table, seen), ""))
    if people is not None:
        against = _contradictions(links, nodes, pd.Series(best, index=graph.names), set(table.loc[unsure, "node"]))
        reason = table["node"].map(against).where(table["best_crop"] != "").fillna(pd.Series(reason, table.index))
        reason = table["unit"].map(people.cannot_tell).fillna(reason).to_numpy(object)
        table["best_crop"] = table["unit"].map(people.best).fillna(table["best_crop"])
    told = np.where(reason != "", CANNOT_TELL, np.where(is_known, KNOWN, NEW))
    table["answer"], table["reason"] = np.where(named, NAMED, told), np.where(named, "", reason)
    table["probability"] = np.where(named, 1.0, table["probability"])
    table.loc[named, "decided_by"] = SOURCE

    decided = table[(table["answer"] == NEW).to_numpy()].assign(cluster=best[at][(table["answer"] == NEW).to_numpy()])
    called = {} if people is None else people.called
    new = new_names(decided, set(name_of.values()) | set(called.values()))
    said = {best[place[unit]]: name for unit, name in called.items() if unit in place.index}
    new |= {label: name for label, name in said.items() if label not in name_of}
    likeliest = pd.Series(best[at], index=table.index).map(name_of | new).fillna("")
    table["likeliest"] = likeliest
    table["individual"] = table["likeliest"].where(table["answer"] != CANNOT_TELL, "")
    return table.round({"probability": 4})[ANSWER_COLUMNS]


def new_names(decided: pd.DataFrame, taken: set[str]) -> dict[int, str]:
    """Return the name of each new animal, `new-001` and so on by its first sighting, by cluster.

    Args:
        decided: Units of new animals: `cluster, date, unit`.
        taken: Names that are others'.
    """
    dated = decided.assign(undated=decided["date"] == "").sort_values(["undated", "date", "unit"])
    free = (name for number in range(1, len(decided) + len(taken) + 1) if (name := f"new-{number:03d}") not in taken)
    return {int(cluster): name for cluster, name in zip(dated["cluster"].drop_duplicates(), free, strict=False)}


def partitions_table(graph: Graph, draws: np.ndarray, units: Units, nodes: Nodes) -> pd.DataFrame:
    """Return `draw, unit, individual`: names, and `unnamed-` with the first unit of the cluster where there is none."""
    place = pd.Series(np.arange(len(graph.names)), index=graph.names)
    at = place[units.table["unit"].map(nodes.member)].to_numpy(int)
    tables = []
    for number, labels in enumerate(draws):
        whose = np.full(labels.max(initial=-1) + 1, "", object)
        for node in range(len(labels) - 1, -1, -1):
            whose[labels[node]] = f"unnamed-{graph.names[node]}"
        for node, name in nodes.name.items():
            whose[labels[place[node]]] = name
        tables.append(pd.DataFrame({"draw": number, "unit": units.table["unit"], "individual": whose[labels[at]]}))
    columns = {"draw": int, "unit": object, "individual": object}
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(columns)).astype(columns)


def weakest_links(graph: Graph, best: np.ndarray, links: pd.DataFrame, nodes: Nodes) -> np.ndarray:
    """Return what holds each node in its cluster by a thread, `(N,)`: the two crops of the weakest link, or nothing.

    The links of a cluster that hold it together are its maximum spanning tree. Of those on the way from a node to the
    name, or where there is none to the first node, the weakest counts; one that must hold is never weak.
    """
    count = len(graph.names)
    inside = (best[graph.first] == best[graph.second]) & (graph.weight > -np.inf)
    one, two = graph.first[inside], graph.second[inside]
    weight = np.minimum(graph.weight[inside], CERTAIN)
    tree = minimum_spanning_tree(coo_array((2 * CERTAIN - weight, (one, two)), shape=(count, count)).tocsr())
    place = pd.Series(np.arange(count), index=graph.names)
    ends = [place[links[column].map(nodes.member)].to_numpy(int) for column in ("unit", "other")]
    words = {
        (min(a, b), max(a, b)): f"{query} ~ {candidate}"
        for a, b, query, candidate in zip(*ends, links["query"], links["candidate"], strict=True)
        if query
    }
    result = np.full(count, "", object)
    start = np.argsort(graph.known() < 0, kind="stable")
    seen: set[int] = set()
    cost = tree + tree.T
    for root in start:
        if best[root] in seen:
            continue
        seen.add(best[root])
        order, before = breadth_first_order(cost, root, directed=False)
        least = {int(root): (np.inf, "")}
        for node in order[1:].tolist():
            step = int(before[node])
            strength = 2 * CERTAIN - cost[node, step]
            pair = (min(node, step), max(node, step))
            own = (np.inf, "") if strength >= CERTAIN else (strength, words.get(pair, ""))
            least[node] = min(least[step], own)
            result[node] = least[node][1]
    return result


def _flanks_seen(nodes: Nodes, of: pd.Series) -> pd.DataFrame:
    """Return which share of names each of some nodes can be compared with, how many these are, and how many names."""
    names = np.unique(np.r_[nodes.crops["node"].to_numpy(str), of.to_numpy(str)])
    place = pd.Series(np.arange(len(names)), index=names)
    shown = shown_sides(place[nodes.crops["node"]].to_numpy(int), side_codes(nodes.crops["side"]), len(names))
    named = np.flatnonzero([name in nodes.name for name in names])
    kinds, kind = np.unique(shown > 0, axis=0, return_inverse=True)
    able = np.array([(possible_pairs(np.vstack([own, shown[named]]), 0, np.arange(1, len(named) + 1)) > 0).sum()
                     for own in kinds.astype(int)])  # fmt: skip
    met = able[kind.reshape(-1)][place[of].to_numpy(int)]
    share = met / len(named) if len(named) else np.ones(len(met))
    return pd.DataFrame({"share": share, "met": met, "names": len(named)}, index=of.index)


def _as_people_say(new: pd.Series, node: pd.Series, said: Mapping[str, float]) -> pd.Series:
    """Return probabilities of being new, `(U,)`, with what people said of it: log-odds by node."""
    odds = logit(new.astype(float).clip(1e-6, 1 - 1e-6)) + node.map(said).fillna(0.0)
    return new.where(~node.isin(said), expit(odds))


def _reasons(table: pd.DataFrame, compared: Collection[str], calibrated: bool, known: np.ndarray) -> np.ndarray:
    """Return why nothing at all can be told of a unit, empty where something can."""
    no_crop = (table["best_crop"] == "").to_numpy()
    several = table["flags"].str.contains("several").to_numpy()
    alone = ~table["node"].isin(compared).to_numpy() & (len(compared) > 0)
    decided = (table["decided_by"] != PELAGE).to_numpy()
    reason = np.select(
        [decided, no_crop & several, no_crop, np.full(len(table), not calibrated), alone],
        [
            "",
            "several animals: every photo of it shows another one as well",
            "no flank: no photo of it shows what is compared",
            "too little evidence: too few individuals in validation to turn scores into probabilities",
            "too little evidence: no photo of it could be compared with any other",
        ],
        default="",
    )
    return np.where(known & no_crop, np.where(table["probability"] == 1.0, "", reason), reason)


def _contradictions(links: pd.DataFrame, nodes: Nodes, label: pd.Series, unsure: Collection[str]) -> dict[str, str]:
    """Return of which nodes that nobody named people say what photos deny, and what: by node.

    That is where the clusters are not as people say, for what photos say weighs more than their voices, and where an
    answer is not sure though they say who it is, or though they deny what photos say.

    Args:
        links: Rows of `LINK_COLUMNS`.
        nodes: Of the scope.
        label: Best cluster by member of `nodes`.
        unsure: Nodes whose answer is not probable enough.
    """
    ends = links[["unit", "other"]].apply(lambda end: end.map(nodes.of_unit))
    pair = pd.Series(list(zip(ends.min(axis=1), ends.max(axis=1), strict=True)), index=links.index, dtype=object)
    photos = links["log_odds"].where(links["kind"] == EVIDENCE, 0.0).groupby(pair).transform("sum")
    said = links[(links["kind"] == DECISION) & (links["log_odds"] != 0)]
    found: dict[str, str] = {}
    for row, (unit, other, log_odds) in zip(said.index, said[["unit", "other", "log_odds"]].to_numpy(), strict=True):
        together, one = label[nodes.member[unit]] == label[nodes.member[other]], log_odds > 0
        named = any(nodes.of_unit[end] in nodes.name for end in (unit, other))
        denied = photos[row] * log_odds < 0 or (one and named)
        for own, whose in ((unit, other), (other, unit)):
            node = nodes.of_unit[own]
            if node in nodes.asked and (together != one or (denied and node in unsure)):
                who = nodes.name.get(nodes.of_unit[whose], whose)
                against = "is not, photos that it is" if not one else "is, photos that it is not"
                found.setdefault(node, f"{CONTRADICTED}: people say that this {against}, {who}")
    return found


def _doubt(table: pd.DataFrame, seen: pd.DataFrame) -> np.ndarray:
    """Return why the probability of a unit's answer is not enough."""
    poor = table["flags"].map(lambda own: next((word for word in POOR if word in own.split()), ""))
    unseen = (seen["share"] < 1).to_numpy()
    words = "too little evidence: this flank is known of " + seen["met"].astype(str) + " of "
    words += seen["names"].astype(str) + " named animals"
    return np.select(
        [poor != "", table["side"] == UNKNOWN, unseen],
        [poor.str.replace("_", " "), "no flank: it cannot be told which one it shows", words],
        default="too little evidence",
    )
