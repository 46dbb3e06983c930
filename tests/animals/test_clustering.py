"""Clusters on paper, against all partitions, against CP-SAT; draws against the distribution they are drawn from."""

from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import pytest
from ortools.sat.python import cp_model
from sklearn.metrics import adjusted_rand_score

from pelage.animals import clustering, local_search
from pelage.animals.clustering import (
    TIES,
    Contradiction,
    Graph,
    Links,
    average_linkage,
    cluster,
    draw_partitions,
    hdbscan_labels,
    objective,
    share_of_new,
    threshold_components,
)
from pelage.animals.graph import by_first_member, contract


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


def test_a_missing_link_counts_where_flanks_can_be_compared():
    chain = [(0, 1, 2.0), (1, 2, 2.0)]
    assert objective(graph_of(chain, 3, absent=-3.0), [0, 0, 0]) == 1.0
    assert cluster(graph_of(chain, 3, absent=-3.0)).tolist() == [0, 0, 1]
    for flank, together in (([1, 0, 2], True), ([1, 0, 0], False), ([-1, 0, 0], True), ([1, 1, 1], False)):
        graph = graph_of(chain, 3, absent=-3.0, flank=np.array(flank))
        assert cluster(graph).tolist() == ([0, 0, 0] if together else [0, 0, 1])
        assert objective(graph, [0, 0, 0]) == (4.0 if together else 1.0)


@pytest.mark.parametrize("prior", [None, -2.0])
def test_missing_links_count_as_if_they_were_told(prior):
    rng = np.random.default_rng(6)
    few = random_graph(rng, 14, 0.4, prior)
    few = replace(few, absent=-0.7, animal=np.full(14, -1), weight=np.clip(few.weight, -5, 5))
    linked = set(zip(few.first.tolist(), few.second.tolist(), strict=True))
    missing = [(a, b, -0.7) for a, b in combinations(range(14), 2) if (a, b) not in linked]
    given = zip(few.first, few.second, few.weight, strict=True)
    told = graph_of([*given, *missing], 14, prior=prior)
    for labels in (cluster(few), cluster(told), rng.integers(0, 3, 14)):
        assert objective(few, labels) == pytest.approx(objective(told, labels))
    assert objective(few, cluster(few)) == pytest.approx(objective(told, cluster(told)), rel=0.03)


def test_a_contradiction_names_the_units_between():
    links = [(0, 1, np.inf), (1, 2, np.inf), (0, 2, -np.inf), (2, 3, 1.0)]
    with pytest.raises(Contradiction, match="u000 = u001 = u002") as caught:
        cluster(graph_of(links, 4))
    assert caught.value.units == ["u000", "u001", "u002"]
    with pytest.raises(Contradiction, match="different animals"):
        cluster(graph_of(links[:2], 3, animal=np.array([4, -1, 6])))


def random_graph(rng, count, density, prior=None):
    """Normal log-odds between some pairs, some of them certain; a few units are known to be one of three animals."""
    first, second = np.triu_indices(count, 1)
    kept = rng.random(len(first)) < density
    first, second = first[kept], second[kept]
    weight, luck = rng.normal(0, 2, len(first)).round(6), rng.random(len(first))
    weight = np.select([luck < 0.03, luck < 0.06], [-np.inf, np.inf], weight)
    animal = np.where(rng.random(count) < 0.2, rng.integers(0, 3, count), -1)
    return Graph(np.array([f"u{n:03d}" for n in range(count)]), first, second, weight, animal, prior)


def exact(graph):
    """Return the value of the best partition by CP-SAT, None where there is none."""
    count, model = len(graph.names), cp_model.CpModel()
    same = {pair: model.new_bool_var(str(pair)) for pair in combinations(range(count), 2)}
    for i, j, k in combinations(range(count), 3):
        for one, other, third in permutations((same[i, j], same[j, k], same[i, k])):
            model.add_bool_or([~one, ~other, third])
    for (i, j), variable in same.items():
        if min(graph.animal[i], graph.animal[j]) >= 0:
            model.add(variable == int(graph.animal[i] == graph.animal[j]))
    worth = []
    for i, j, weight in zip(graph.first.tolist(), graph.second.tolist(), graph.weight.tolist(), strict=True):
        if np.isinf(weight):
            model.add(same[i, j] == (weight > 0))
        else:
            worth.append(round(weight * 10**6) * same[i, j])
    model.maximize(sum(worth))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    return None if solver.solve(model) == cp_model.INFEASIBLE else solver.objective_value / 10**6


def test_small_graphs_are_solved_as_cp_sat_solves_them():
    rng = np.random.default_rng(0)
    gaps = []
    for number in range(60):
        graph = random_graph(rng, 6 + number % 7, rng.choice([0.3, 0.6, 1.0]))
        best = exact(graph)
        if best is None:
            with pytest.raises(Contradiction):
                cluster(graph)
            continue
        value = objective(graph, cluster(graph))
        assert value <= best + 1e-4
        gaps.append(best - value)
    assert len(gaps) > 50
    assert np.mean(np.array(gaps) < 1e-4) > 0.9  # on random weights, where nothing is plain
    assert np.mean(gaps) < 0.1


def test_clusters_too_large_for_alternatives_are_clustered_all_the_same(monkeypatch):
    """Less well, but by the same rules; and one that is small beside them is as before."""
    rng, worse = np.random.default_rng(2), 0
    for _ in range(40):
        graph = random_graph(rng, 12, 0.6)
        monkeypatch.setattr(local_search, "WIDE", 2000)
        try:
            best = objective(graph, cluster(graph))
        except Contradiction:
            continue
        monkeypatch.setattr(local_search, "WIDE", 3)
        value = objective(graph, cluster(graph))
        assert np.isfinite(value)
        worse += value < best - 1e-9
    assert worse > 3


def partitions(count):
    """Give all partitions of so many units, as labels in order of first members."""
    if count == 0:
        yield ()
        return
    for rest in partitions(count - 1):
        for label in range(max(rest, default=-1) + 2):
            yield (*rest, label)


@pytest.mark.parametrize(("prior", "ties"), [(None, TIES), (None, (1.0,)), (-1.0, TIES)])
def test_sweeps_follow_the_objective(prior, ties):
    graph = random_graph(np.random.default_rng(5), 5, 1.0, prior)
    chance = {one: np.exp(objective(graph, one)) for one in partitions(5)}
    nodes = contract(graph)
    links, labels, rng = Links.of(nodes), np.arange(len(nodes.links)), np.random.default_rng(1)
    seen = dict.fromkeys(chance, 0)
    for sweep in range(2000):
        labels = links.sweep(labels, ties[sweep % len(ties)], rng)
        seen[tuple(by_first_member(labels[nodes.of_unit]).tolist())] += 1
    share = {one: value / sum(chance.values()) for one, value in chance.items()}
    assert sum(value > 0.01 for value in share.values()) > 3
    assert sum(abs(share[one] - seen[one] / 2000) for one in share) / 2 < 0.06
    assert all(share[one] > 0 for one in seen if seen[one])


def test_a_draw_is_the_same_however_many_are_made():
    graph = random_graph(np.random.default_rng(1), 12, 0.5)
    assert (draw_partitions(graph, 4, 7)[:2] == draw_partitions(graph, 2, 7)).all()


def test_the_prior_counts_once_for_each_unit_that_joins():
    links = [(0, 1, 0.5), (0, 2, -1.0), (1, 2, -1.0)]
    two = graph_of(links[:1], 2, prior=-3.0)
    assert objective(two, [0, 0]) == pytest.approx(0.5)
    three = graph_of(links, 3, prior=-3.0)
    assert objective(three, [0, 0, 0]) == pytest.approx(3.5 + 2.0 + 2.0 - 2 * 3.0 + np.log(2))
    assert cluster(three).tolist() == [0, 0, 0]
    assert cluster(graph_of(links, 3)).tolist() == [0, 0, 1]


def simulated(seed, count=60, animals=15, apart=1.2):
    """Return a graph of all pairs of units, with log-odds that are right one by one, and the animal of each."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, animals, count)
    first, second = np.triu_indices(count, 1)
    same = truth[first] == truth[second]
    score = rng.normal(np.where(same, apart, -apart))
    prior = float(np.log(1 / (animals - 1)))
    return graph_of(list(zip(first, second, 2 * apart * score + prior, strict=True)), count, prior=prior), truth, same


def test_pairs_that_are_together_in_a_share_of_the_draws_are_so_in_truth():
    share, same, plain, best = [], [], [], []
    for seed in range(3):
        graph, truth, right = simulated(seed)
        draws = draw_partitions(graph, 20, seed, 12)
        share.append((draws[:, graph.first] == draws[:, graph.second]).mean(0))
        without = draw_partitions(replace(graph, prior=None), 20, seed, 12)
        plain.append((without[:, graph.first] == without[:, graph.second]).mean(0))
        same.append(right)
        best.append([adjusted_rand_score(truth, cluster(replace(graph, prior=prior))) for prior in (graph.prior, None)])
    share, same, plain = (np.concatenate(values) for values in (share, same, plain))
    unsure, torn = ((values > 0.05) & (values < 0.95) for values in (share, plain))
    assert unsure.sum() > 60
    assert abs(same[unsure].mean() - share[unsure].mean()) < 0.12
    assert same[torn].mean() - plain[torn].mean() > 0.3  # once a pair, the prior tears animals apart
    assert np.mean((share - same) ** 2) < np.mean((plain - same) ** 2) / 2
    assert np.mean(best, 0)[0] > np.mean(best, 0)[1]


def test_nothing_and_one():
    assert cluster(graph_of([], 0)).tolist() == []
    assert cluster(graph_of([], 1)).tolist() == [0]
    assert draw_partitions(graph_of([], 2), 3, 1).tolist() == [[0, 1]] * 3


@pytest.mark.parametrize("baseline", [threshold_components, average_linkage, hdbscan_labels])
def test_baselines_find_what_is_plain(baseline):
    pairs = [(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)]
    plain = graph_of([(a, b, 4.0) for a, b in pairs] + [(2, 3, -4.0)], 7)
    assert baseline(plain).tolist() == [0, 0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize("baseline", [average_linkage, hdbscan_labels])
def test_baselines_never_look_at_more_units_together_than_there_is_room_for(baseline, monkeypatch):
    links = [(a, b, 4.0) for start in range(0, 40, 5) for a, b in combinations(range(start, start + 5), 2)]
    links += [(a, a + 5, -4.0) for a in range(35)]  # faint ones, which connect all
    graph, seen = graph_of(links, 40), []
    whole = baseline(graph)
    monkeypatch.setattr(clustering, "LARGEST", 12)
    assert baseline(graph).tolist() == whole.tolist() == np.repeat(np.arange(8), 5).tolist()
    clustering._by_part(graph, lambda distance: (seen.append(len(distance)), np.zeros(len(distance), int))[1])
    assert sum(seen) == 40 and max(seen) == 10


def test_what_is_connected_anew_holds_its_strongest_links_and_known_animals(monkeypatch):
    links = [(0, 1, 5.0), (1, 2, 1.0), (2, 3, 5.0), (3, 4, 0.0), (4, 5, -2.0), (5, 6, 3.0), (6, 7, 2.0)]
    animal = np.array([-1] * 4 + [3, -1, -1, -1, 3])
    graph = graph_of(links, 9, animal=animal)
    assert clustering._parts(graph).max() == 0
    monkeypatch.setattr(clustering, "LARGEST", 3)
    assert by_first_member(clustering._parts(graph)).tolist() == [0, 0, 1, 1, 2, 3, 3, 3, 2]


@pytest.mark.parametrize(("alone", "paired"), [(0, 10), (4, 10), (20, 3)])
def test_the_share_of_what_stands_alone_tells_how_seldom_a_unit_is_new(alone, paired):
    # `paired` animals of two units each, and `alone` single ones; nothing else is linked
    links = [(2 * pair, 2 * pair + 1, 5.0) for pair in range(paired)]
    count = 2 * paired + alone
    graph = graph_of(links, count, prior=-3.0, absent=-8.0)
    share = (alone + 0.5) / (count + 1)
    assert share_of_new(graph) == pytest.approx(-np.log(count * share / (1 - share)))


def test_names_take_part_in_how_likely_it_is_to_meet_one_again():
    # three units, each of a name of its own; seven names that nobody met
    links = [(name, 10 + name, 5.0) for name in range(3)]
    known = np.r_[np.arange(10), [-1] * 3]
    graph = graph_of(links, 13, prior=-3.0, absent=-8.0, animal=known)
    assert share_of_new(graph) == pytest.approx(-np.log(13 * 0.5 / 3.5))


def test_partitions_of_a_closed_population_hold_as_many_animals_as_there_are():
    found, true = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        animal = (rng.random((30, 10)) < rng.beta(2, 8, 30)[:, None]).nonzero()[0]
        first, second = np.triu_indices(len(animal), 1)
        same = animal[first] == animal[second]
        evidence = rng.normal(np.where(same, 8.0, -8.0), 4.0)
        prior = float(np.log(same.mean() / (1 - same.mean())))
        names = np.array([f"u{n:03d}" for n in range(len(animal))])
        graph = Graph(names, first, second, evidence + prior, prior=prior)
        graph = replace(graph, joining=share_of_new(graph))
        found.append(draw_partitions(graph, 4, seed).max(1).mean() + 1)
        true.append(len(np.unique(animal)))
    assert np.mean(found) == pytest.approx(np.mean(true), rel=0.03)
