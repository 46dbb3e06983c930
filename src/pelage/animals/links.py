"""Links: all that is known of two units being one animal, a row each, and the graph that it makes.

Units that must be together are asked about as one, with all their photos, and so is a named animal: one that is known
from forty encounters answers once, and is not outvoted by the thirty in which it stood otherwise. They are a node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pelage.animals.agreement import BOTH
from pelage.animals.decisions import Decisions
from pelage.animals.evidence import (
    Evidence,
    count_comparable,
    shown_sides,
    side_codes,
    side_pairs,
)
from pelage.animals.graph import Contradiction, Graph, comparable
from pelage.animals.merging import links_of_wholes
from pelage.animals.units import NAMED, Units
from pelage.catalogue.clocks import seconds_of

MUST, CANNOT, EVIDENCE, WHOLE, DECISION = "must", "cannot", "evidence", "whole", "decision"
"""Kinds of links. A `whole` says what two clusters with all their photos say more than the links of their units."""

LINK_COLUMNS = ["unit", "other", "log_odds", "pairs", "query", "candidate", "kind", "filters"]
COMPARED = "own encounter and opposite flanks left out"
PEOPLE = "people: "
EARTH_M = 6371008.8
CLOCKS_S = 600.0
"""Seconds by which the clocks of two stations may differ."""

FAINT = -3.0
"""Log-odds below which a link is no doubt worth having, unless others tie its ends."""

LEAST_ALIKE = 0.2
"""Share of the pairs of encounters of two clusters that have to look alike before both are asked about as wholes."""

LARGEST = 3000
"""Units in a component up to which pairs on no shortlist, and places that are too far apart, are looked for in it."""


@dataclass(frozen=True)
class Nodes:
    """What is asked about as one; a node has the name of its first unit.

    Attributes:
        of_unit: Node by unit: that of all units of its name, or of those that must be together.
        member: Node of the graph by unit: the same of named ones; others stand for themselves.
        name: Name by node, of named ones.
        identity: True animal by unit.
        asked: Nodes that nobody named.
        crops: `crop_id, node, side, unit` of all crops that may be compared.
    """

    of_unit: dict[str, str]
    member: dict[str, str]
    name: dict[str, str]
    identity: dict[str, str]
    asked: set[str]
    crops: pd.DataFrame


def nodes_of(units: Units, aliases: Mapping[str, str] | None = None) -> Nodes:
    """Group units.

    Args:
        units: Named ones, and those of another scope.
        aliases: What animals are called now, by the name that the source has.
    """
    table = units.table
    place = pd.Series(np.arange(len(table)), index=table["unit"])
    named = (table["scope"] == NAMED).to_numpy()
    must = units.links[units.links["kind"] == MUST]
    one, two = (place[must[column]].to_numpy(int) for column in ("unit", "other"))
    asked = ~named[one] & ~named[two]
    group = components(one[asked], two[asked], len(table))
    whose = table["identity"].map(lambda name: (aliases or {}).get(name, name))
    first = table["unit"].groupby(whose.where(named)).transform("min")
    node = first.where(named, table["unit"].groupby(group).transform("min"))
    of_unit = dict(zip(table["unit"], node, strict=True))
    side = table.set_index("unit")["side"]
    crops = units.crops.assign(node=units.crops["unit"].map(of_unit), side=units.crops["unit"].map(side))
    return Nodes(
        of_unit,
        dict(zip(table["unit"], node.where(named, table["unit"]), strict=True)),
        dict(zip(node[named], whose[named], strict=True)),
        dict(zip(table["unit"], table["identity"], strict=True)),
        set(node[~named]),
        crops[["crop_id", "node", "side", "unit"]],
    )


def known_links(units: Units) -> pd.DataFrame:
    """Return what is known without a match, as rows of `LINK_COLUMNS`."""
    known = units.links
    certain = known["kind"].map({MUST: np.inf, CANNOT: -np.inf}).astype(float)
    why = known["kind"].map({MUST: "one encounter of one animal", CANNOT: "two animals of one photo"})
    return _links(known["unit"], known["other"], certain, kind=known["kind"], filters=why)


def count_asked(nodes: Nodes) -> tuple[int, int]:
    """Return how many pairs of nodes can be compared: of two that nobody named, and of such a one and a name."""
    names, shown = _shown(nodes)
    asked = np.isin(names, sorted(nodes.asked))
    return count_comparable(shown[asked]), count_comparable(shown[asked], shown[~asked])


@dataclass(frozen=True)
class Shares:
    """Log-odds by which pairs of a scope differ from those of practice (`Evidence.shift`).

    Attributes:
        own: Of two nodes that nobody named.
        name: Of such a one and a name.
    """

    own: float
    name: float


def shares_of(nodes: Nodes, pairs: pd.DataFrame, evidence: Evidence) -> Shares:
    """Find how many pairs of nodes, and of nodes and names, show one animal.

    Args:
        nodes: As `nodes_of` returns them.
        pairs: As `side_pairs` returns them for `nodes`.
        evidence: What was learnt in practice.
    """
    odds, own = evidence.log_odds(pairs), (pairs["first"].isin(nodes.asked) & pairs["second"].isin(nodes.asked))
    listed = odds[own], odds[~own]
    possible = count_asked(nodes)
    return Shares(*(evidence.shift(some, most - len(some)) for some, most in zip(listed, possible, strict=True)))


def evidence_links(nodes: Nodes, pairs: pd.DataFrame, evidence: Evidence, shares: Shares) -> pd.DataFrame:
    """Return what photos say, a row of `LINK_COLUMNS` a pair of nodes, told of the units whose crops look most alike.

    Left out are those that tell nothing (`telling_pairs`); what those on no shortlist together count, `graph_of` says.

    Args:
        nodes: As `nodes_of` returns them.
        pairs: As `side_pairs` returns them for `nodes`.
        evidence: What was learnt in practice.
        shares: As `shares_of` returns them.
    """
    own = pairs["first"].isin(nodes.asked) & pairs["second"].isin(nodes.asked)
    odds = np.minimum(evidence.log_odds(pairs) + np.where(own, shares.own, shares.name), evidence.most)
    telling = telling_pairs(pairs["first"].cat.codes, pairs["second"].cat.codes, odds)
    pairs, odds = pairs[telling].astype(dict.fromkeys(["query", "candidate"], object)), odds[telling]
    unit = nodes.crops.set_index("crop_id")["unit"]
    asks = pairs["query"].map(unit).map(nodes.of_unit).isin(nodes.asked)
    query, candidate = pairs["query"].where(asks, pairs["candidate"]), pairs["candidate"].where(asks, pairs["query"])
    told = {"pairs": pairs["pairs"], "query": query, "candidate": candidate, "kind": EVIDENCE, "filters": COMPARED}
    return _links(query.map(unit), candidate.map(unit), odds, **told)


def telling_pairs(first: np.ndarray, second: np.ndarray, odds: np.ndarray) -> np.ndarray:
    """Return which pairs say anything: those that may be one animal, and others that stand against such, `(P,)` bool.

    Nearly all pairs are of animals that nothing ties. They would fill the memory and change no answer.

    Args:
        first, second: `(P,)` int, the ends of each pair.
        odds: `(P,)` their log-odds.
    """
    first, second = np.asarray(first, int), np.asarray(second, int)
    above = odds > 0
    part = components(first[above], second[above], int(max(first.max(initial=-1), second.max(initial=-1))) + 1)
    return (odds > FAINT) | (part[first] == part[second])


def whole_links(
    graph: Graph, nodes: Nodes, links: pd.DataFrame, photo_pairs: pd.DataFrame, evidence: Evidence, shares: Shares
) -> pd.DataFrame:
    """Return what clusters of units say as wholes and not as encounters (`merging`), as rows of `LINK_COLUMNS`.

    Args:
        graph: As `graph_of` returns it of `links`.
        nodes, evidence, shares: As in `evidence_links`.
        links: All but people's: what these say changes clusters and not what photos say.
        photo_pairs: `query, candidate, score`.
    """
    more = links_of_wholes(graph, partial(evidence_of_clusters, graph, nodes, photo_pairs, evidence, shares, links))
    ends = (pd.Series(graph.names[more[end].to_numpy(int)], dtype=object) for end in ("first", "second"))
    return _links(*ends, more["log_odds"].to_numpy(float), kind=WHOLE, filters=COMPARED)


def evidence_of_clusters(
    graph: Graph,
    nodes: Nodes,
    photo_pairs: pd.DataFrame,
    evidence: Evidence,
    shares: Shares,
    links: pd.DataFrame,
    labels: np.ndarray,
) -> pd.DataFrame:
    """Return what photos say of pairs of clusters, `first`, `second`, `log_odds`, each pair once.

    Args:
        graph: As `graph_of` returns it.
        nodes, evidence, shares: As in `evidence_links`.
        photo_pairs: `query, candidate, score`.
        links: Of the units: in how many ways clusters look alike. A cluster is not another one for a single pair of
            encounters that look alike among many that do not (`LEAST_ALIKE`): that is how a mistake of a matcher looks.
        labels: `(N,)` cluster of each node of the graph.
    """
    label = dict(zip(graph.names, map(int, labels), strict=True))
    of_unit = {unit: label[member] for unit, member in nodes.member.items()}
    pairs = side_pairs(photo_pairs, nodes.crops.assign(node=nodes.crops["unit"].map(of_unit).astype(str)))
    named = {str(label[node]) for node in nodes.name}
    name = pairs["first"].isin(named) | pairs["second"].isin(named)
    odds = np.minimum(evidence.log_odds(pairs) + np.where(name, shares.name, shares.own), evidence.most)
    telling = telling_pairs(pairs["first"].cat.codes, pairs["second"].cat.codes, odds)
    telling &= ~_mistaken(pairs, links, of_unit, graph.held(labels))
    ends = pairs.loc[telling, ["first", "second"]].astype(int).to_numpy()
    said = {"first": ends.min(1), "second": ends.max(1), "log_odds": odds[telling]}
    return pd.DataFrame(said).sort_values(["first", "second"], ignore_index=True)


def _mistaken(pairs: pd.DataFrame, links: pd.DataFrame, of_unit: Mapping[str, int], size: np.ndarray) -> np.ndarray:
    """Return which pairs of clusters look alike in too few of the pairs of their encounters, `(P,)` bool.

    Args:
        pairs: `first`, `second`, clusters.
        links: Of units.
        of_unit: Cluster by unit.
        size: `(K, 4)` of clusters, see `Size`.
    """
    alike = links[(links["kind"] == EVIDENCE) & (links["log_odds"] > 0)]
    ends = [alike[end].map(of_unit) for end in ("unit", "other")]
    count = pd.DataFrame({"low": np.minimum(*ends), "high": np.maximum(*ends)}).groupby(["low", "high"]).size()
    one, two = (pairs[end].astype(int).to_numpy() for end in ("first", "second"))
    key = pd.MultiIndex.from_arrays([np.minimum(one, two), np.maximum(one, two)])
    return count.reindex(key).fillna(0).to_numpy() < LEAST_ALIKE * comparable(size[one].T, size[two].T)


def _shown(nodes: Nodes) -> tuple[np.ndarray, np.ndarray]:
    """Return the names of nodes that have crops, sorted, and what these show."""
    names, node = np.unique(nodes.crops["node"].to_numpy(str), return_inverse=True)
    return names, shown_sides(node, side_codes(nodes.crops["side"]), len(names))


def decision_links(decisions: Decisions, nodes: Nodes, links: pd.DataFrame) -> pd.DataFrame:
    """Return what people decided, as rows of `LINK_COLUMNS`.

    Args:
        decisions: Folded for the units of `nodes`.
        nodes: As `nodes_of` returns them.
        links: What else is known: that a unit is none of the known animals counts against each that it is linked to.
    """
    said = decisions.links
    voices = PEOPLE + said["for"].astype(str) + " for, " + said["against"].astype(str) + " against"
    told = [_links(said["unit"], said["other"], said["log_odds"], kind=said["kind"], filters=voices)]
    of = [links[end].map(nodes.of_unit) for end in ("unit", "other")]
    for unit, log_odds in decisions.new.items():
        mine = [(of[place] == nodes.of_unit[unit]) & of[1 - place].isin(nodes.name) for place in (0, 1)]
        others = pd.concat([links.loc[mine[0], "other"], links.loc[mine[1], "unit"]])
        others = others[~others.map(nodes.of_unit).duplicated()]
        kind = CANNOT if np.isinf(log_odds) else DECISION
        own = pd.Series(unit, index=others.index)
        told.append(_links(own, others, np.full(len(others), -log_odds), kind=kind, filters=PEOPLE + "a new animal"))
    return pd.concat(told, ignore_index=True)


def answered_pairs(decisions: Decisions, nodes: Nodes) -> dict[tuple[str, str], float]:
    """Return what people said of pairs of a graph's nodes as log-odds, 0 where nobody could tell."""
    said = dict.fromkeys(decisions.seen, 0.0)
    said |= {(link.unit, link.other): link.log_odds for link in decisions.links.itertuples()}
    total: dict[tuple[str, str], float] = {}
    for (unit, other), log_odds in said.items():
        if unit in nodes.member and other in nodes.member:
            one, two = sorted((nodes.member[unit], nodes.member[other]))
            total[one, two] = total.get((one, two), 0.0) + log_odds
    return total


def far_links(units: Units, nodes: Nodes, links: pd.DataFrame, places: pd.DataFrame, speed: float) -> pd.DataFrame:
    """Return a `cannot` link for each two units that no animal can have run between, though evidence ties them.

    Args:
        units, nodes: Named units, and those of another scope.
        links: All others.
        places: `station, latitude, longitude`; stations without a place, and units without a time, bar nothing.
        speed: Metres a second, in a straight line, that an animal does not exceed.
    """
    table = units.table
    where = places.set_index("station").reindex(table["station"])[["latitude", "longitude"]].to_numpy(float)
    time = seconds_of(table["date"]).to_numpy()
    members = table["unit"].map(nodes.of_unit)
    names, node = np.unique(members.to_numpy(str), return_inverse=True)
    place = pd.Series(np.arange(len(names)), index=names)
    ends = [links[column].map(nodes.of_unit).map(place).to_numpy(int) for column in ("unit", "other")]
    held = links["log_odds"].to_numpy() == np.inf
    together = components(*(end[held] for end in ends), len(names))
    asked = (table["scope"] != NAMED).to_numpy()
    found: list[tuple[str, str, str]] = []
    for part in _parts_above(*ends, links["log_odds"].to_numpy(), len(names), least=2):
        rows = np.flatnonzero(np.isin(node, part) & ~np.isnan(time) & ~np.isnan(where).any(1))
        for row in rows[asked[rows]]:
            later = rows[(rows > row) | ~asked[rows]]
            later = later[together[node[later]] != together[node[row]]]
            apart_m, apart_s = metres(where[row], where[later]), np.abs(time[later] - time[row])
            for other in later[apart_m > speed * (apart_s + CLOCKS_S)]:
                km, minutes = metres(where[row], where[[other]])[0] / 1000, abs(time[other] - time[row]) / 60
                found.append((*table["unit"].iloc[[row, other]], f"{km:.1f} km apart within {minutes:.0f} minutes"))
    told = pd.DataFrame(found, columns=["unit", "other", "filters"], dtype=object)
    return _links(told["unit"], told["other"], np.full(len(told), -np.inf), kind=CANNOT, filters=told["filters"])


def metres(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return great-circle distances, `(N,)`, from a place `(2,)` to others `(N, 2)`, latitude and longitude."""
    a, b = np.radians(one), np.radians(others)
    half = np.sin((b - a) / 2) ** 2
    return 2 * EARTH_M * np.arcsin(np.sqrt(half[:, 0] + np.cos(a[0]) * np.cos(b[:, 0]) * half[:, 1]))


def graph_of(
    units: Units, nodes: Nodes, links: pd.DataFrame, absent: float | None = None, prior: float | None = None
) -> tuple[Graph, np.ndarray]:
    """Return the graph of all units that nobody named and of names, and the side of each of its nodes.

    Args:
        units, nodes: Named units, and those of another scope.
        links: Rows of `LINK_COLUMNS`; those of one pair are added up, but one that must or must not hold counts alone.
        absent: See `Graph`. A pair of which only people spoke is one without evidence for all else.
        prior: See `Graph`.

    Returns:
        A graph of the members of `nodes`, and `(N,)` sides, `both` of a name.

    Raises:
        Contradiction: A pair must be one animal, and must not.
    """
    table = units.table
    side = dict(zip(table["unit"], table["side"], strict=True))
    names = np.unique(np.array([*nodes.member.values()], dtype=str))
    place = pd.Series(np.arange(len(names)), index=names)
    ends = [place[links[column].map(nodes.member)].to_numpy(int) for column in ("unit", "other")]
    whole, flank = _flanks(nodes, names)
    weight = links["log_odds"].to_numpy(float)
    if absent is not None:
        weight = weight + absent * _only_people(links, *(whole[end] for end in ends), *(flank[end] for end in ends))
    pairs = pd.DataFrame({"first": np.minimum(*ends), "second": np.maximum(*ends), "weight": weight})
    pairs = pairs[pairs["first"] != pairs["second"]]
    certain = np.isinf(pairs["weight"])
    pairs = pairs[certain | ~certain.groupby([pairs["first"], pairs["second"]]).transform("any")]
    pairs = pairs.groupby(["first", "second"], as_index=False)["weight"].sum()
    for torn in pairs[pairs["weight"].isna()].itertuples():  # one that must hold and must not
        raise Contradiction(names[[torn.first, torn.second]], "these two must not be")
    named = np.array([name in nodes.name for name in names], bool)
    animal = np.where(named, np.cumsum(named) - 1, -1)
    sides = np.array([BOTH if own else side[name] for name, own in zip(names, named, strict=True)], dtype=object)
    first, second, weight = (pairs[column].to_numpy() for column in ("first", "second", "weight"))
    about = {"animal": animal, "prior": prior, "absent": absent, "flank": flank, "whole": whole}
    return Graph(names, first, second, weight.astype(float), **about), sides


def _flanks(nodes: Nodes, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `Graph.whole` and `Graph.flank` of members of `nodes`, `(N,)` each."""
    node = np.array([nodes.of_unit[name] for name in names], dtype=str)
    seen, shown = _shown(nodes)
    able = np.vstack([shown > 0, np.zeros((1, 3), bool)])
    place = pd.Series(np.arange(len(seen)), index=seen).reindex(node).fillna(len(seen)).to_numpy(int)
    neither, left, right = able[place].T
    flank = np.select([~(neither | left | right), neither | (left & right), left], [-1, 0, 1], 2)
    return np.unique(node, return_inverse=True)[1], flank


def _only_people(
    links: pd.DataFrame, one: np.ndarray, two: np.ndarray, flank: np.ndarray, other_flank: np.ndarray
) -> np.ndarray:
    """Return which links are the first of two wholes that could be compared, but of which photos tell nothing.

    Args:
        links: L rows of `LINK_COLUMNS`.
        one, two: `(L,)` wholes.
        flank, other_flank: `(L,)` what they show.
    """
    key = pd.Series(np.minimum(one, two) * (max(one.max(initial=0), two.max(initial=0)) + 1) + np.maximum(one, two))
    able = (flank >= 0) & (other_flank >= 0) & (flank + other_flank * (flank != other_flank) != 3)
    photos = links["kind"].isin([EVIDENCE, WHOLE]).to_numpy()
    wanted = (links["kind"] == DECISION).to_numpy() & able & ~key.isin(key[photos])
    wanted &= ~key.where(wanted).duplicated()
    return wanted.to_numpy()


def _parts_above(
    one: np.ndarray, two: np.ndarray, weight: np.ndarray, count: int, least: int = 3
) -> Iterator[np.ndarray]:
    """Give the members of each component of links above 0 that has `least` or more, up to `LARGEST`."""
    above = weight > 0
    label = components(one[above], two[above], count)
    order = np.argsort(label, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(label[order])) + 1):
        if least <= len(part) <= LARGEST:
            yield part


def components(one: np.ndarray, two: np.ndarray, count: int) -> np.ndarray:
    """Return the component of each of so many nodes, `(count,)`, that links `one` to `two` make."""
    tied = coo_array((np.ones(len(one), bool), (one, two)), shape=(count, count))
    return connected_components(tied, directed=False)[1]


def _links(unit: pd.Series, other: pd.Series, log_odds: np.ndarray, **told: object) -> pd.DataFrame:
    empty = {"pairs": 0, "query": "", "candidate": ""}
    table = pd.DataFrame({"unit": unit, "other": other, "log_odds": log_odds}).assign(**(empty | told))
    return table[LINK_COLUMNS].reset_index(drop=True)
