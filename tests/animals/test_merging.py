"""Merging: what clusters say as wholes, on graphs made by hand."""

import numpy as np
import pandas as pd
import pytest

from pelage.animals.clustering import cluster, objective
from pelage.animals.graph import Graph
from pelage.animals.merging import links_of_wholes, with_more


def graph_of(links, count, **more):
    first, second, weight = (np.array(column) for column in zip(*links, strict=True))
    names = np.array([f"u{n:03d}" for n in range(count)])
    return Graph(names, first.astype(int), second.astype(int), weight.astype(float), **more)


def star(count):
    """One unit that looks like the first of `count` others, and unlike the rest, which are one animal."""
    inner = [(a, b, 4.0) for b in range(count) for a in range(b)]
    return graph_of(inner + [(0, count, 3.0)] + [(a, count, -2.0) for a in range(1, count)], count + 1)


def told(*rows):
    return pd.DataFrame(rows, columns=["first", "second", "log_odds"])


def merge(graph, said):
    """Return the graph and its clusters once wholes say what is `said`, as long as there are so many clusters."""
    more = links_of_wholes(graph, lambda labels: said[: labels.max()])
    whole = with_more(graph, more)
    return whole, cluster(whole)


def test_clusters_that_are_one_animal_as_wholes_are_merged():
    graph = star(5)
    assert cluster(graph).tolist() == [0, 0, 0, 0, 0, 1]  # 3 - 4 * 2 speaks against it
    merged, labels = merge(graph, told((0, 1, 2.5)))
    assert labels.tolist() == [0] * 6
    outer = merged.second == 5
    assert merged.weight[outer] == pytest.approx(0.5, abs=1e-5)  # what is said of the whole, once, each pair the same
    assert merged.weight[~outer].tolist() == [4.0] * 10


def test_pairs_without_a_link_share_what_a_whole_says():
    # 0, 1, 2 are one animal, 3 and 4 too; only 0 and 3 stand on a shortlist, and that is not enough
    graph = graph_of([(0, 1, 4.0), (0, 2, 4.0), (1, 2, 4.0), (3, 4, 4.0), (0, 3, 1.0)], 5, absent=-3.0)
    assert cluster(graph).tolist() == [0, 0, 0, 1, 1]
    merged, labels = merge(graph, told((0, 1, 6.0)))
    assert labels.tolist() == [0] * 5
    between = (merged.first < 3) & (merged.second >= 3)
    assert between.sum() == 6 and merged.weight[between] == pytest.approx(1.0, abs=1e-5)
    assert objective(merged, labels) == pytest.approx(4 * 4.0 + 6.0, abs=1e-4)
    weakest = np.argmin(merged.weight)
    assert (merged.first[weakest], merged.second[weakest]) == (0, 3), "people are asked about what was compared"


def test_clusters_that_must_not_be_together_are_not_merged():
    graph = star(3)
    barred = Graph(graph.names, graph.first, graph.second, np.r_[graph.weight[:-1], -np.inf])
    assert merge(barred, told((0, 1, 9.0)))[1].tolist() == [0, 0, 0, 1]


def test_two_names_are_never_merged():
    graph = graph_of([(0, 2, 2.0)], 3, animal=np.array([0, 1, -1]))
    assert merge(graph, told((0, 1, 9.0)))[1].tolist() == [0, 1, 0]


def test_a_second_round_asks_what_was_merged():
    graph = graph_of([(0, 1, -1.0), (1, 2, -1.0), (0, 2, -1.0)], 3)
    rounds = {(0, 1, 2): told((0, 1, 2.0)), (0, 0, 1): told((0, 1, 3.0))}
    merged = with_more(graph, links_of_wholes(graph, lambda labels: rounds.get(tuple(labels.tolist()), told())))
    assert cluster(merged).tolist() == [0, 0, 0]
    assert merged.weight == pytest.approx([2.0, 1.5, 1.5], abs=1e-5)
