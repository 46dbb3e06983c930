import numpy as np
import pandas as pd

from pelage.matching import cosine
from pelage.matching.rankings import empty_rankings
from pelage.split.protocols import protocol_sets


def split_table():
    """Three individuals; c is novel. Two photos of an encounter, one encounter each in train, val and test."""
    rows = []
    for identity, subset, encounter in [
        ("a", "train", "a1"), ("b", "train", "b1"), ("a", "val", "a2"), ("b", "test", "b2"),
        ("c", "test", "c1"), ("c", "test", "c2"), ("d", "test", "d1"), ("d", "test", "d2"),
    ]:  # fmt: skip
        for number in range(2):
            image = f"{encounter}-{number}"
            rows.append(
                (f"{image}#0", image, "flank", identity, encounter, subset, identity in "ab", subset == "train")
            )
    columns = ["crop_id", "image_id", "part", "identity", "encounter", "subset", "known", "gallery"]
    return pd.DataFrame(rows, columns=columns)


def embeddings_of(ids, seed=0):
    points = np.random.default_rng(seed).normal(size=(len(ids), 8)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return pd.DataFrame({"crop_id": list(ids), "embedding": list(points)})


def test_agrees_with_a_plain_loop_for_all_protocols(monkeypatch):
    monkeypatch.setattr(cosine, "BLOCK", 3)
    split = split_table()
    table = embeddings_of(split["crop_id"])
    points = dict(zip(table["crop_id"], table["embedding"], strict=True))
    encounter = dict(zip(split["crop_id"], split["encounter"], strict=True))
    sets = protocol_sets(split, "flank")
    rankings = cosine.search(table, sets, depth=3)
    assert list(dict.fromkeys(rankings["protocol"])) == ["validation", "closed", "open", "disjoint"]
    for (protocol, query), rows in rankings.groupby(["protocol", "query"]):
        others = [g for g in sets[protocol].gallery["crop_id"] if encounter[g] != encounter[query]]
        expected = sorted((-float(points[query] @ points[g]), g) for g in others)[:3]
        assert rows["candidate"].tolist() == [g for _, g in expected]
        np.testing.assert_allclose(rows["score"], [-score for score, _ in expected], atol=1e-6)
    assert rankings.groupby("protocol")["query"].nunique().to_dict() == {
        "validation": 2, "closed": 2, "open": 10, "disjoint": 8,
    }  # fmt: skip


def test_equal_points_tie_and_are_ordered_by_id():
    split = split_table()
    table = embeddings_of(split["crop_id"])
    table["embedding"] = [table["embedding"][0]] * len(table)
    rankings = cosine.search(table, protocol_sets(split, "flank"), depth=10)
    assert set(rankings["score"]) == {1.0}
    for _, rows in rankings.groupby(["protocol", "query"]):
        assert rows["candidate"].is_monotonic_increasing


def test_crops_without_an_embedding_take_no_part():
    split = split_table()
    ids = [crop for crop in split["crop_id"] if crop not in ("b2-0#0", "a1-1#0")]
    rankings = cosine.search(embeddings_of(ids), protocol_sets(split, "flank"), depth=10)
    assert not rankings["query"].eq("b2-0#0").any() and not rankings["candidate"].eq("a1-1#0").any()


def test_no_embeddings_give_an_empty_table():
    nothing = cosine.search(embeddings_of([]), protocol_sets(split_table(), "flank"), depth=10)
    pd.testing.assert_frame_equal(nothing, empty_rankings())
