"""Links and graphs of surveys drawn at random: pairs on no shortlist count as if each were written down."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from survey import draw, seen_of

from pelage.animals.clustering import cluster, draw_partitions, objective
from pelage.animals.graph import comparable
from pelage.animals.naming import name_animals, practise
from pelage.animals.units import GALLERY, NAMED, PRACTICE, SURVEY, units_of

SETTINGS = {"places": None, "draws": 0, "probability": 0.9, "speed_m_per_s": None, "seed": 1}


def written_down(graph):
    """Return the same graph with a link for each pair that has none and can be compared."""
    speakers = graph.speakers()
    one, two = speakers[graph.first], speakers[graph.second]
    linked = set(zip(np.minimum(one, two).tolist(), np.maximum(one, two).tolist(), strict=True))
    names, sizes = graph.known(), graph.sizes()
    more = [
        (a, b)
        for a, b in combinations(np.unique(speakers).tolist(), 2)
        if (a, b) not in linked and comparable(sizes[a], sizes[b]) and min(names[a], names[b]) < 0
    ]
    first, second = (np.r_[getattr(graph, end), column] for end, column in zip(("first", "second"), zip(*more)))  # noqa: B905
    weight = np.r_[graph.weight, np.full(len(more), graph.absent)]
    return replace(graph, first=first.astype(int), second=second.astype(int), weight=weight, absent=None), len(more)


@pytest.fixture(scope="module", params=[3, 8])
def graph(request):
    tables, split, pairs, _ = draw(request.param, known=8, new=5, practised=8, missed=0.2, alike=1.5)
    seen = seen_of(tables, split)
    of = dict(iter(pairs.groupby("protocol")))
    evidence = practise(units_of(seen, GALLERY, PRACTICE), of[PRACTICE])
    few = of[SURVEY].sort_values("score").groupby("query").tail(12)
    return name_animals(units_of(seen, NAMED, SURVEY), few, evidence, **SETTINGS).graph


@pytest.mark.parametrize("prior", [None, -3.0])
def test_pairs_without_a_link_count_as_if_they_were_written_down(graph, prior):
    graph = replace(graph, prior=prior)
    told, more = written_down(graph)
    assert more > len(graph.first) / 4 and graph.absent < -1 and len(np.unique(graph.whole)) < len(graph.names)
    best = cluster(graph)
    assert objective(told, cluster(told)) == pytest.approx(objective(graph, best), abs=1e-6)
    assert cluster(told).tolist() == best.tolist()
    drawn = draw_partitions(graph, 8, 1)
    assert len(np.unique(drawn, axis=0)) > 1
    for labels in drawn:
        assert objective(told, labels) == pytest.approx(objective(graph, labels))


def test_partitions_are_drawn_as_if_pairs_without_a_link_were_written_down(graph):
    told, _ = written_down(graph)
    one, two = np.triu_indices(len(graph.names), 1)
    share = [(drawn[:, one] == drawn[:, two]).mean(0) for drawn in (draw_partitions(g, 24, 1) for g in (graph, told))]
    assert np.abs(share[0] - share[1]).mean() < 0.02
    assert np.abs(share[0] - share[1]).max() < 0.5
