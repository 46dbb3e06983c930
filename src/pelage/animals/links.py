"""Links: all that is known of two units being one animal, a row each, and the graph that it makes.

Units that must be together are asked about as one, with all their photos, and so is a named animal: an animal known from
forty encounters answers once, and is not outvoted by the thirty in which it stood otherwise. Such a group is a node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pelage.animals.agreement import BOTH
from pelage.animals.clustering import Graph
from pelage.animals.evidence import Evidence, count_comparable, learn, possible_pairs, shown_sides, side_codes
from pelage.animals.units import NAMED, Units
from pelage.catalogue.clocks import seconds_of

MUST, CANNOT, EVIDENCE, DECISION = "must", "cannot", "evidence", "decision"
LINK_COLUMNS = ["unit", "other", "log_odds", "pairs", "query", "candidate", "kind", "filters"]
COMPARED = "own encounter and opposite flanks left out"
UNLISTED = "on no shortlist together"
NAME = "="
"""Begins the node of a name; no unit begins so, for units begin with a place."""

EARTH_M = 6371008.8
CLOCKS_S = 600.0
"""Seconds by which the clocks of two stations may differ."""

LARGEST = 3000
"""Units in a component up to which pairs on no shortlist, and places that are too far apart, are looked for in it."""


@dataclass(frozen=True)
class Nodes:
    """What is asked about as one.

    Attributes:
        of_unit: Node by unit: `NAME` and the name, or the first of the units that must be together.
        identity: True animal by node.
        asked: Nodes that nobody named.
        crops: `crop_id, node, side, unit` of all crops that may be compared.
    """

    of_unit: dict[str, str]
    identity: dict[str, str]
    asked: set[str]
    crops: pd.DataFrame


def nodes_of(units: Units, names: bool = True) -> Nodes:
    """Group units.

    Args:
        units: Named ones, and those of another scope.
        names: Whether all units of a name are one node; else each of its encounters is one.
    """
    table = units.table
    place = pd.Series(np.arange(len(table)), index=table["unit"])
    named = (table["scope"] == NAMED).to_numpy()
    must = units.links[units.links["kind"] == MUST]
    one, two = (place[must[column]].to_numpy(int) for column in ("unit", "other"))
    asked = ~named[one] & ~named[two]
    group = components(one[asked], two[asked], len(table))
    whose = NAME + table["identity"]
    node = table["unit"].groupby(group).transform("min").where(~named, whose if names else table["encounter"] + whose)
    of_unit = dict(zip(table["unit"], node, strict=True))
    side = table.set_index("unit")["side"]
    crops = units.crops.assign(node=units.crops["unit"].map(of_unit), side=units.crops["unit"].map(side))
    identity = dict(zip(node, table["identity"], strict=True))
    return Nodes(of_unit, identity, set(node[~named]), crops[["crop_id", "node", "side", "unit"]])


def known_links(units: Units) -> pd.DataFrame:
    """Return what is known without a match, as rows of `LINK_COLUMNS`."""
    known = units.links
    certain = known["kind"].map({MUST: np.inf, CANNOT: -np.inf}).astype(float)
    why = known["kind"].map({MUST: "one encounter of one animal", CANNOT: "two animals of one photo"})
    return _links(known["unit"], known["other"], certain, kind=known["kind"], filters=why)


def practised(nodes: Nodes, pairs: pd.DataFrame) -> Evidence:
    """Learn from units whose names are known but were not told; see `learn`."""
    same = pairs["first"].map(nodes.identity) == pairs["second"].map(nodes.identity)
    listed, names, shown = len(pairs), *_shown(nodes)
    asked = np.isin(names, sorted(nodes.asked))
    possible = count_comparable(shown[asked]) + count_comparable(shown[asked], shown[~asked])
    return learn(pairs, nodes.identity, nodes.asked, possible - listed)


def evidence_links(nodes: Nodes, pairs: pd.DataFrame, evidence: Evidence) -> pd.DataFrame:
    """Return what photos say, a row of `LINK_COLUMNS` a pair of nodes, told of the units whose crops look most alike.

    Pairs of a unit and a name, and of two units, have each a share of their own (`Evidence.shift`). With them come
    pairs that evidence ties in a chain though they stand on no shortlist together.

    Args:
        nodes: As `nodes_of` returns them.
        pairs: As `side_pairs` returns them for `nodes`.
        evidence: What was learnt in practice.
    """
    unit = nodes.crops.set_index("crop_id")["unit"]
    asks = pairs["query"].map(unit).map(nodes.of_unit).isin(nodes.asked)
    query, candidate = pairs["query"].where(asks, pairs["candidate"]), pairs["candidate"].where(asks, pairs["query"])
    odds = evidence.log_odds(pairs)
    names, shown = _shown(nodes)
    asked = np.isin(names, sorted(nodes.asked))
    own = (pairs["first"].isin(nodes.asked) & pairs["second"].isin(nodes.asked)).to_numpy()
    shifts = {}
    for among, possible in (
        (True, count_comparable(shown[asked])), (False, count_comparable(shown[asked], shown[~asked]))
    ):
        listed = odds[own == among]
        shifts[among] = evidence.shift(listed, possible - len(listed))
        odds[own == among] += shifts[among]
    told = {"pairs": pairs["pairs"], "query": query, "candidate": candidate, "kind": EVIDENCE, "filters": COMPARED}
    links = _links(query.map(unit), candidate.map(unit), np.minimum(odds, evidence.most), **told)
    absent = {among: evidence.least + by for among, by in shifts.items()}
    return pd.concat([links, _unlisted(nodes, links, absent)], ignore_index=True)


def _shown(nodes: Nodes) -> tuple[np.ndarray, np.ndarray]:
    """Return the names of nodes that have crops, sorted, and what these show."""
    names, node = np.unique(nodes.crops["node"].to_numpy(str), return_inverse=True)
    return names, shown_sides(node, side_codes(nodes.crops["side"]), len(names))


def _unlisted(nodes: Nodes, links: pd.DataFrame, absent: Mapping[bool, float]) -> pd.DataFrame:
    """Return a link for each pair of nodes that a chain of links ties, but that stand on no shortlist together.

    Args:
        nodes: As `nodes_of` returns them.
        links: What photos say.
        absent: Log-odds of such a pair, by whether nobody named either.
    """
    unit_of = {node: unit for unit, node in reversed(nodes.of_unit.items())}
    names, shown = _shown(nodes)
    place = pd.Series(np.arange(len(names)), index=names)
    one, two = (place[links[column].map(nodes.of_unit)].to_numpy(int) for column in ("unit", "other"))
    listed = np.unique(np.minimum(one, two) * len(names) + np.maximum(one, two))
    asked = np.isin(names, sorted(nodes.asked))
    found = [np.zeros((2, 0), int)]
    for part in _parts_above(one, two, links["log_odds"].to_numpy(), len(names)):
        a, b = (part[side] for side in np.triu_indices(len(part), 1))
        wanted = (asked[a] | asked[b]) & (possible_pairs(shown, a, b) > 0) & ~np.isin(a * len(names) + b, listed)
        found.append(np.stack([a[wanted], b[wanted]]))
    a, b = np.concatenate(found, axis=1)
    a, b = np.where(asked[a], a, b), np.where(asked[a], b, a)
    ends = (pd.Series(names[side], dtype=object).map(unit_of) for side in (a, b))
    return _links(*ends, np.where(asked[a] & asked[b], absent[True], absent[False]), kind=EVIDENCE, filters=UNLISTED)


def far_links(
    units: Units, nodes: Nodes, links: pd.DataFrame, places: pd.DataFrame, speed: float
) -> pd.DataFrame:
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


def graph_of(units: Units, nodes: Nodes, links: pd.DataFrame) -> tuple[Graph, np.ndarray]:
    """Return the graph of all units that nobody named and of names, and the side of each of its nodes.

    Args:
        units, nodes: Named units, and those of another scope.
        links: Rows of `LINK_COLUMNS`; those of one pair are added up, but one that must or must not hold counts alone.

    Returns:
        A graph whose `names` are units, and `NAME` + name where there is a name; `(N,)` sides, `both` of a name.
    """
    table = units.table
    side = dict(zip(table["unit"], table["side"], strict=True))
    members = {unit: node if node.startswith(NAME) else unit for unit, node in nodes.of_unit.items()}
    names = np.unique(np.array([*members.values()], dtype=str))
    place = pd.Series(np.arange(len(names)), index=names)
    ends = [place[links[column].map(members)].to_numpy(int) for column in ("unit", "other")]
    pairs = pd.DataFrame({"first": np.minimum(*ends), "second": np.maximum(*ends), "weight": links["log_odds"]})
    pairs = pairs[pairs["first"] != pairs["second"]]
    certain = np.isinf(pairs["weight"])
    pairs = pairs[certain | ~certain.groupby([pairs["first"], pairs["second"]]).transform("any")]
    pairs = pairs.groupby(["first", "second"], as_index=False)["weight"].sum()
    named = np.char.startswith(names, NAME)
    animal = np.where(named, np.cumsum(named) - 1, -1)
    sides = np.array([BOTH if own else side[name] for name, own in zip(names, named, strict=True)], dtype=object)
    graph = Graph(
        names, pairs["first"].to_numpy(int), pairs["second"].to_numpy(int), pairs["weight"].to_numpy(float), animal
    )
    return graph, sides


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
