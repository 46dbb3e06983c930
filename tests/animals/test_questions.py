"""Questions: what an answer would change, by hand; that asking ends; and that answers make clusters truer."""

import numpy as np
import pytest
from scipy.special import logit
from sklearn.metrics import adjusted_rand_score

from pelage.animals.clustering import Graph, cluster, objective
from pelage.animals.questions import Inquiry, Rest, next_questions
from pelage.animals.simulated_review import GraphID, review


def graph_of(links, count, animal=None):
    first, second, weight = (np.array(column) for column in zip(*links, strict=True))
    names = np.array([f"u{n:02d}" for n in range(count)])
    return Graph(names, first, second, weight.astype(float), animal)


def test_what_is_nearest_to_changing_is_asked_first():
    graph = graph_of([(0, 1, 1.0), (2, 3, -0.5), (4, 5, -20.0), (6, 7, 20.0)], 8)
    found = next_questions(graph, {})
    assert found[["unit", "other", "delta", "together"]].values.tolist() == [
        ["u02", "u03", -0.5, False],
        ["u00", "u01", -1.0, True],
    ]
    assert found["place"].tolist() == [1, 2] and found["probability"].iloc[1] == pytest.approx(1 / (1 + np.exp(-1)))


def test_delta_is_what_the_best_other_clustering_is_worth_less():
    graph = graph_of([(0, 1, 3.0), (1, 2, 2.0), (0, 2, -1.0), (2, 3, 1.5), (1, 3, -4.0)], 4)
    assert cluster(graph).tolist() == [0, 0, 1, 1]  # 3 + 1.5
    asked = {(one.unit, one.other): one.delta for one in Inquiry(graph).questions()}
    assert asked[1, 2] == pytest.approx(-0.5)  # 0, 1 and 2 together: 3 + 2 - 1
    assert asked[0, 1] == pytest.approx(-3.0)  # its own cluster is divided, others stay


def test_known_animals_are_not_compared_and_certain_links_not_asked():
    known = graph_of(
        [(0, 1, 2.0), (1, 2, 1.0), (0, 2, 0.5), (3, 4, np.inf), (4, 5, -np.inf)], 6, np.array([1, -1, 2] + [-1] * 3)
    )
    asked = {(one.unit, one.other) for one in Inquiry(known).questions()}
    assert asked == {(0, 1), (1, 2)}


def test_what_answers_imply_is_not_asked():
    links = [(0, 1, 0.5), (1, 2, 0.5), (0, 2, 0.5), (2, 3, -0.5), (0, 3, -0.4)]
    pairs = next_questions(graph_of(links, 4), {("u00", "u01"): 3.9, ("u01", "u02"): 3.9, ("u00", "u03"): -3.9})
    assert pairs.empty
    pairs = next_questions(graph_of(links, 4), {("u00", "u01"): 0.0})
    assert ("u00", "u01") not in set(zip(pairs["unit"], pairs["other"], strict=True)) and len(pairs)


def test_an_answer_changes_the_clusters_at_once():
    inquiry = Inquiry(graph_of([(0, 1, 1.0), (1, 2, -1.0)], 3))
    assert inquiry.labels.tolist() == [0, 0, 1]
    assert inquiry.answer(0, 1, False)
    assert inquiry.answer(1, 2, True)
    assert inquiry.labels.tolist() == [0, 1, 1]
    assert not inquiry.answer(0, 2, None)
    assert inquiry.first() is None


def test_answers_one_by_one_come_to_what_all_at_once_come_to():
    rng = np.random.default_rng(2)
    first, second = np.triu_indices(14, 1)
    graph = Graph(np.array([f"u{n:02d}" for n in range(14)]), first, second, rng.normal(-1, 2, len(first)).round(3))
    inquiry = Inquiry(graph)
    for _ in range(8):
        asked = inquiry.first()
        inquiry.answer(asked.unit, asked.other, bool(rng.random() < 0.5))
        links = zip(inquiry.nodes.links, range(14), strict=True)
        now = [(a, b, weight) for row, a in links for b, weight in row.items() if a < b]
        again = graph_of(now, 14)
        assert objective(again, inquiry.labels) >= 0.95 * objective(again, cluster(again))
        fresh = {(one.unit, one.other) for one in inquiry.questions()}
        assert (asked.unit, asked.other) not in fresh


def test_crall_rule_rests_after_long_without_a_change():
    rest, count = Rest(), 0
    while not rest.reached:
        rest.note(False)
        count += 1
    assert count == 50  # ln(-ln(1 - .135) / 20) / ln(1 - 2/21)
    rest.note(True)
    assert not rest.reached


def test_graph_id_mends_contradictions_and_stops_when_all_is_held_twice():
    held = graph_of([(0, 1, 9.0), (1, 2, 9.0), (0, 2, 0.0), (2, 3, -9.0), (0, 3, -9.0), (1, 3, 0.0)], 4)
    asking = GraphID(held)
    assert (asking.first().unit, asking.first().other) == (0, 2)  # a bridge holds the animal, so once more
    asking.answer(0, 2, True)
    assert asking.first() is None and asking.labels.tolist() == [0, 0, 0, 1]
    torn = graph_of([(0, 1, 9.0), (1, 2, 3.5), (0, 2, -9.0)], 3)
    asking = GraphID(torn)
    assert asking.labels.tolist() == [0, 0, 0] and (asking.first().unit, asking.first().other) == (1, 2)
    asking.answer(1, 2, False)
    assert asking.labels.tolist() == [0, 0, 1]


def test_what_nothing_mends_is_looked_at_once_until_an_answer_changes_it():
    links = [(0, 1, np.inf), (0, 2, 9.0), (1, 2, -np.inf)]  # 2 is of an animal that it cannot be of
    links += [(a, b, weight) for a in range(3, 30, 3) for b, weight in ((a + 1, 0.5), (a + 2, 0.3))]
    asking, looks = GraphID(graph_of([*links, (3, 30, 0.1)], 31)), []
    asking.torn = {0}
    asking._mend = lambda animal: looks.append(animal)
    for _ in range(5):
        asked = asking.first()
        asking.answer(asked.unit, asked.other, False)
    assert looks == [0]
    asking._connect(asking.members[0])
    asking.torn = {0}
    asking.first()
    assert looks == [0, 0]


@pytest.fixture(scope="module")
def survey():
    rng = np.random.default_rng(8)
    truth = rng.integers(0, 14, 70)
    first, second = np.triu_indices(70, 1)
    same = truth[first] == truth[second]
    weight = 2.6 * rng.normal(np.where(same, 1.3, -1.3)) + np.log(1 / 13)
    return Graph(np.array([f"u{n:02d}" for n in range(70)]), first, second, weight), truth


@pytest.mark.parametrize(("order", "most"), [("change", 90), ("probability", 150), ("graph_id", 150)])
def test_a_reviewer_makes_it_truer_and_comes_to_an_end(survey, order, most):
    graph, truth = survey
    done = review(graph, truth, 0.98, 1, order, checkpoints=(10,))
    assert done.ended in ("settled", "idle") and 10 < done.answers < most
    assert done.wrong < done.answers / 10
    before, after = (adjusted_rand_score(truth, labels) for labels in (cluster(graph), done.labels))
    assert after > before and set(done.after) == {10}
    again = review(graph, truth, 0.98, 1, order, checkpoints=(10,))
    assert again.answers == done.answers and (again.labels == done.labels).all()


def test_nothing_to_ask_is_an_end(survey):
    graph, truth = survey
    sure = Graph(
        graph.names, graph.first, graph.second, np.where(truth[graph.first] == truth[graph.second], 50.0, -50.0)
    )
    for order in ("change", "probability", "graph_id"):
        done = review(sure, truth, 0.9, 1, order)
        assert (done.answers, done.ended) == (0, "settled")
    assert review(graph, truth, 0.98, 1, most=3).ended == "limit"


def test_voices_weigh_what_their_accuracy_says():
    assert Inquiry(graph_of([(0, 1, 1.0)], 2), accuracy=0.9).voice == pytest.approx(logit(0.9))
