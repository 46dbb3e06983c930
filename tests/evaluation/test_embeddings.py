"""Metrics of embeddings in blocks: by hand, against a full ranking, and against a library that everyone trusts."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN

from pelage.common.errors import PelageError
from pelage.common.ties import pair_keys
from pelage.evaluation import embeddings
from pelage.evaluation.embeddings import query_metrics
from pelage.evaluation.masks import Masks, codes
from pelage.evaluation.retrieval import METRICS

COLUMNS = list(METRICS)


def masks(identities, groups):
    """Pairs of arrays `(queries, gallery)`: who is shown, and what bars."""
    return Masks(codes(*identities), (codes(*groups),))


def at(*degrees):
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def unit(rng, count, dim):
    points = rng.normal(size=(count, dim)).astype(np.float32)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def test_by_hand():
    # a sees its own at ranks 1, 2 and 4, the nearest of them (of its encounter 7) is no answer; so at ranks 1 and 3
    table = query_metrics(
        at(0, 90, 45),
        at(1, 10, 20, 30),
        masks(
            (np.array(["a", "b", "c"]), np.array(["a", "a", "b", "a"])),
            (np.array([7, 8, 9]), np.array([7, 5, 6, 5])),
        ),
    )
    assert table.index.tolist() == [0, 1] and table.columns.tolist() == COLUMNS  # nobody shows c
    assert table.loc[0].tolist() == pytest.approx([1, 1, 1, 1, (1 + 2 / 3) / 2, 1 / 2, (1 + 1 / 2) / 2])
    assert table.loc[1].tolist() == pytest.approx([0, 1, 1, 1, 1 / 2, 0, 0])


def ranked_in_full(points, gallery, identities, groups):
    """Hits of each query in the order of a full ranking, barred candidates left out."""
    hits = []
    for number, (point, identity, group) in enumerate(zip(points, identities[0], groups[0], strict=True)):
        keys = pair_keys(np.array([number]), np.arange(len(gallery)))
        order = np.lexsort((keys, -(point @ gallery.T)))
        hits.append((identity == identities[1][order])[group != groups[1][order]])
    return hits


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 12), st.integers(1, 40), st.booleans())
def test_agrees_with_a_full_ranking_in_any_block_with_or_without_ties(seed, asking, answering, cells, ties):
    rng = np.random.default_rng(seed)
    points, gallery = (rng.normal(size=(n, 3)) for n in (asking, answering))
    if ties:
        points, gallery = points.round(), gallery.round()
    identities, groups = ([rng.integers(0, top, n) for n in (asking, answering)] for top in (3, 4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embeddings, "CELLS", cells)
        table = query_metrics(points, gallery, masks(identities, groups))
    hits = ranked_in_full(points, gallery, identities, groups)
    assert table.index.tolist() == [number for number, right in enumerate(hits) if right.any()]
    for number, row in table.iterrows():
        right = hits[number]
        precision, total = np.cumsum(right) / np.arange(1, len(right) + 1), right.sum()
        assert [row[f"top{k}"] for k in (1, 3, 5, 10)] == [right[:k].any() for k in (1, 3, 5, 10)]
        assert row["map"] == pytest.approx(precision[right].mean())
        assert row["map_at_r"] == pytest.approx((precision * right)[:total].sum() / total)
        assert row["dynamic_top5_ap"] == pytest.approx(precision[: min(5, total)].mean())


@pytest.mark.parametrize("itself", [False, True])
def test_agrees_with_accuracy_calculator(itself, monkeypatch):
    rng = np.random.default_rng(0)
    labels = np.concatenate([rng.integers(0, 30, 498), [100, 101]])  # two queries that nobody answers
    points = unit(rng, 40, 8)[labels % 40] + 0.3 * rng.normal(size=(500, 8)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    asked, answering = (slice(None), slice(None)) if itself else (slice(300, None), slice(0, 300))
    numbers = np.arange(500)
    monkeypatch.setattr(embeddings, "CELLS", 64 * 500)
    pairs = [(values[asked], values[answering]) for values in (labels, numbers)]
    found = query_metrics(points[asked], points[answering], masks(*pairs)).mean()
    expected = AccuracyCalculator(
        include=("mean_average_precision_at_r", "mean_average_precision", "precision_at_1"),
        knn_func=CustomKNN(LpDistance(normalize_embeddings=False)),
        device=torch.device("cpu"),
    ).get_accuracy(points[asked], labels[asked], points[answering], labels[answering], ref_includes_query=itself)
    assert 0.2 < found["map_at_r"] < 0.8
    names = {"map_at_r": "mean_average_precision_at_r", "map": "mean_average_precision", "top1": "precision_at_1"}
    for name, theirs in names.items():
        assert found[name] == pytest.approx(expected[theirs], abs=1e-6), name


def test_of_collapsed_embeddings_a_name_tells_nothing():
    points, numbers = np.ones((400, 2), np.float32), np.arange(400)
    names = numbers // 4  # the photos of an individual lie side by side, as names of files do
    table = query_metrics(points, points, masks((names, names), (numbers, numbers)))
    assert table["top10"].mean() == pytest.approx(1 - (396 / 399) ** 10, abs=0.04)


def test_the_other_flank_is_junk():
    right, label = codes(["a:l", "b:l"], ["a:r", "b:l", "a:l"]), codes(["a", "b"], ["a", "b", "a"])
    flanks = query_metrics(at(0, 0), at(1, 2, 3), Masks(right, (), label))
    assert flanks["map"].tolist() == [1 / 2, 1 / 2]  # the first has b before it, the second only a's two flanks
    unknown = Masks((np.array([-1]), np.array([-1, 0])), ())
    assert query_metrics(at(0), at(1, 2), unknown).empty, "what nobody told is like nothing"


def test_nobody_asks_or_answers():
    none, some, names = np.empty((0, 2)), np.ones((2, 2)), np.array(["a", "b"])
    for queries, gallery in ((none, some), (some, none), (none, none)):
        pairs = (names[: len(queries)], names[: len(gallery)])
        table = query_metrics(queries, gallery, masks(pairs, pairs))
        assert len(table) == 0 and table.columns.tolist() == COLUMNS


def test_a_broken_embedding_is_named():
    points = np.ones((3, 2))
    points[2, 1] = np.nan
    numbers = np.arange(3)
    with pytest.raises(PelageError, match=r"1 embeddings of the gallery have numbers .* row 2 \(from 0\)"):
        query_metrics(np.ones((3, 2)), points, masks((numbers, numbers), (numbers, numbers)))


def test_memory_follows_the_block_not_the_table(monkeypatch):
    monkeypatch.setattr(embeddings, "CELLS", 2**18)
    rng = np.random.default_rng(0)
    points, names, numbers = unit(rng, 2000, 4), rng.integers(0, 200, 2000), np.arange(2000)
    tracemalloc.start()
    query_metrics(points, points, masks((names, names), (numbers, numbers)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20 < 4 * 2000**2  # four bytes a cosine, and as much for sorting
