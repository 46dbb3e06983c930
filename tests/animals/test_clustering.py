"""Clusters on paper, against all partitions, against CP-SAT; draws against the distribution they are drawn from."""

import numpy as np
import pytest

from pelage.animals.clustering import (
    Contradiction,
    Graph,
    average_linkage,
    cluster,
    draw_partitions,
    hdbscan_labels,
    objective,
    threshold_components,
)


def graph_of(links, count, **more):
    first, second, weight = (np.array(column) for column in zip(*links, strict=True)) if links else np.empty((3, 0))
    names = np.array([f"u{n:03d}" for n in range(count)])
    return Graph(names, first.astype(int), second.astype(int), weight.astype(float), **more)


def test_a_chain_holds_only_as_far_as_it_pays():
    chain = graph_of([(0, 1, 2.0), (1, 2, 1.0), (0, 2, -3.0)], 4)
    assert cluster(chain).tolist() == [0, 0, 1, 2]
    assert objective(chain, [0, 0, 1, 2]) == 2.0
    assert objective(chain, [0, 0, 0, 2]) == 0.0
    assert threshold_components(chain).tolist() == [0, 0, 0, 1]


def test_must_and_cannot_hold_against_any_weight():
    held = graph_of([(0, 1, np.inf), (0, 2, -9.0), (1, 2, 8.0), (2, 3, 50.0), (1, 3, -np.inf)], 4)
    labels = cluster(held)
    assert labels.tolist() == [0, 0, 1, 1]
    assert objective(held, [0, 1, 1, 2]) == objective(held, [0, 0, 0, 0]) == -np.inf


def test_known_animals_stay_apart_and_take_in_others():
    known = graph_of([(0, 2, 3.0), (1, 2, 2.0), (2, 3, 1.0)], 4, animal=np.array([5, 7, -1, 5]))
    assert cluster(known).tolist() == [0, 1, 0, 0]
    assert objective(known, [0, 0, 1, 0]) == objective(known, [0, 1, 2, 3]) == -np.inf


def test_a_contradiction_names_the_units_between():
    links = [(0, 1, np.inf), (1, 2, np.inf), (0, 2, -np.inf), (2, 3, 1.0)]
    with pytest.raises(Contradiction, match="u000 = u001 = u002") as caught:
        cluster(graph_of(links, 4))
    assert caught.value.units == ["u000", "u001", "u002"]
    with pytest.raises(Contradiction, match="different animals"):
        cluster(graph_of(links[:2], 3, animal=np.array([4, -1, 6])))


def test_nothing_and_one():
    assert cluster(graph_of([], 0)).tolist() == []
    assert cluster(graph_of([], 1)).tolist() == [0]
    assert draw_partitions(graph_of([], 2), 3, 1).tolist() == [[0, 1]] * 3


@pytest.mark.parametrize("baseline", [threshold_components, average_linkage, hdbscan_labels])
def test_baselines_find_what_is_plain(baseline):
    pairs = [(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)]
    plain = graph_of([(a, b, 4.0) for a, b in pairs] + [(2, 3, -4.0)], 7)
    assert baseline(plain).tolist() == [0, 0, 0, 1, 1, 1, 2]
