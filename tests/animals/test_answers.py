"""Chances, names and weakest links of graphs made by hand."""

import numpy as np
import pandas as pd
import pytest

from pelage.animals.answers import chances, new_names, weakest_links
from pelage.animals.clustering import cluster, draw_partitions
from pelage.animals.graph import Graph
from pelage.animals.links import Nodes


def graph_of(links, count, animal=None):
    first, second, weight = (np.array(column) for column in zip(*links, strict=True)) if links else np.empty((3, 0))
    names = np.array([f"u{n:03d}" for n in range(count)])
    known = None if animal is None else np.array(animal)
    return Graph(names, first.astype(int), second.astype(int), weight.astype(float), known)


def chance_of(graph, draws=20):
    return chances(graph, draw_partitions(graph, draws, 1), cluster(graph))


def test_two_units_are_together_with_the_probability_of_their_link():
    graph = graph_of([(0, 1, np.log(3))], 2)
    assert chance_of(graph).tolist() == pytest.approx([0.75, 0.75])


def test_a_unit_alone_is_new_as_far_as_no_link_speaks_against_it():
    assert chance_of(graph_of([(0, 1, -np.log(3))], 2)).tolist() == pytest.approx([0.75, 0.75])
    assert chance_of(graph_of([], 2)).tolist() == [1.0, 1.0]


def test_names_share_a_unit_between_them():
    # 0 and 1 are names; the unit is the first with 6 : 3 : 1, the second, nobody
    graph = graph_of([(0, 2, np.log(6)), (1, 2, np.log(3))], 3, animal=[0, 1, -1])
    assert chance_of(graph).tolist() == pytest.approx([1.0, 1.0, 0.6])


def test_what_must_be_together_goes_together_and_what_must_not_has_no_chance():
    graph = graph_of([(0, 1, np.inf), (0, 2, np.log(4)), (1, 2, 0.0), (2, 3, -np.inf)], 4)
    told = chance_of(graph)
    assert told[0] == told[1] == pytest.approx(0.8)
    assert told[2] == pytest.approx(0.8) and told[3] == 1.0


def test_chances_are_those_of_all_partitions():
    links = [(0, 1, 1.0), (1, 2, 0.5), (0, 2, -1.5), (2, 3, 0.7)]
    graph = graph_of(links, 4)
    total = shares = 0.0
    for three in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (0, 1, 2)):  # the last unit is with the third or alone
        for last in (True, False):
            labels = (*three, three[2] if last else 3)
            weight = np.exp(sum(value for a, b, value in links if labels[a] == labels[b]))
            total, shares = total + weight, shares + weight * np.array([labels[0] == labels[1], last])
    assert chance_of(graph)[[0, 3]].tolist() == pytest.approx(shares / total, abs=0.05)


def test_new_animals_are_named_by_first_sighting_and_taken_names_are_left_out():
    decided = pd.DataFrame({
        "cluster": [7, 3, 7, 5], "date": ["2025-02-01", "2025-01-01", "2024-12-31", ""], "unit": ["a", "b", "c", "d"],
    })  # fmt: skip
    assert new_names(decided, set()) == {7: "new-001", 3: "new-002", 5: "new-003"}
    assert new_names(decided, {"new-001", "L1"}) == {7: "new-002", 3: "new-003", 5: "new-004"}


def test_the_weakest_link_lies_on_the_strongest_way_to_the_name():
    # the name 0 - 1 - 2 by strong links, 0 - 2 by a weak one; 3 hangs on 1 by a thread
    graph = graph_of([(0, 1, 5.0), (1, 2, 3.0), (0, 2, 1.0), (1, 3, 0.5)], 4, animal=[0, -1, -1, -1])
    units = dict.fromkeys(graph.names.tolist())
    nodes = Nodes({unit: unit for unit in units}, {unit: unit for unit in units}, {"u000": "L1"}, {}, set(), None)
    links = pd.DataFrame({
        "unit": graph.names[graph.first], "other": graph.names[graph.second], "query": ["a", "b", "c", "d"],
        "candidate": ["z", "a", "z", "a"],
    })  # fmt: skip
    assert weakest_links(graph, np.zeros(4, int), links, nodes).tolist() == ["", "a ~ z", "b ~ a", "d ~ a"]
