import numpy as np
import pandas as pd
import pytest

from pelage.common.errors import PelageError
from pelage.matching.rankings import PAIR, empty_rankings
from pelage.matching.search import cosine
from pelage.matching.search.vector_index import EXACT, GRAPH, kind_for
from pelage.split.protocols import ProtocolSet, asked_sets, protocol_sets


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
    return pd.DataFrame(rows, columns=columns).assign(group=lambda table: table["encounter"])


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
    rankings = cosine.search(table, sets, cosine.SearchRules(3))
    assert list(dict.fromkeys(rankings["protocol"])) == ["validation", "pseudo_novel", "closed", "open", "disjoint"]
    for (protocol, query), rows in rankings.groupby(["protocol", "query"]):
        others = [g for g in sets[protocol].gallery["crop_id"] if encounter[g] != encounter[query]]
        if protocol == "pseudo_novel":
            others = [g for g in others if g[0] != query[0]]
        everyone = sorted((-float(points[query] @ points[g]), g) for g in others)
        expected, behind = everyone[:3], [(rank, g) for rank, (_, g) in enumerate(everyone, 1) if g[0] == query[0]]
        best, rest = rows[:3], rows[3:]
        assert (
            best["candidate"].tolist() == [g for _, g in expected] and best["rank"].tolist() == [1, 2, 3][: len(others)]
        )
        np.testing.assert_allclose(best["score"], [-score for score, _ in expected], atol=1e-6)
        assert list(zip(rest["rank"], rest["candidate"], strict=True)) == [one for one in behind if one[0] > 3]
        assert rest["score"].isna().all(), "where they stand is told, and no more"
    assert (rankings["rank"] > 3).any()
    assert rankings.groupby("protocol")["query"].nunique().to_dict() == {
        "validation": 2, "pseudo_novel": 2, "closed": 2, "open": 10, "disjoint": 8,
    }  # fmt: skip


def test_equal_points_tie_and_are_not_ordered_by_id():
    split = split_table()
    table = embeddings_of(split["crop_id"])
    table["embedding"] = [table["embedding"][0]] * len(table)
    rankings = cosine.search(table, protocol_sets(split, "flank"), cosine.SearchRules(10))
    assert set(rankings["score"]) == {1.0}
    rising = [rows["candidate"].is_monotonic_increasing for _, rows in rankings.groupby(["protocol", "query"])]
    assert sum(rising) < 0.3 * len(rising)


def test_crops_without_an_embedding_take_no_part():
    split = split_table()
    ids = [crop for crop in split["crop_id"] if crop not in ("b2-0#0", "a1-1#0")]
    rankings = cosine.search(embeddings_of(ids), protocol_sets(split, "flank"), cosine.SearchRules(10))
    assert not rankings["query"].eq("b2-0#0").any() and not rankings["candidate"].eq("a1-1#0").any()


def test_photos_without_a_name_speak_for_themselves():
    """What asks has no name in the gallery, so its photos are not added up; those of train are."""
    split = split_table()
    points = np.eye(len(split)) + 1
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    embeddings = pd.DataFrame({"crop_id": split["crop_id"], "embedding": list(points)})
    rules = cosine.SearchRules(10, aggregate="nsum")
    found = cosine.search(embeddings, asked_sets(split, "flank"), rules)
    rehearsal = found[found["protocol"] == "rehearsal"]
    train = rehearsal["candidate"].isin(split.loc[split["subset"] == "train", "crop_id"])
    assert rehearsal.loc[train, "score"].max() > 1 >= rehearsal.loc[~train, "score"].max()


def test_no_embeddings_give_an_empty_table():
    nothing = cosine.search(embeddings_of([]), protocol_sets(split_table(), "flank"), cosine.SearchRules(10))
    pd.testing.assert_frame_equal(nothing, empty_rankings())


def many(count: int, seed: int = 0):
    """Individuals of five photos each, one photo an encounter; every tenth individual asks with two of them."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=(count // 5, 16))
    points = np.repeat(centre, 5, axis=0) + 0.5 * rng.normal(size=(count // 5 * 5, 16))
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    ids = [f"{place:05d}#0" for place in range(len(points))]
    rows = pd.DataFrame({"crop_id": ids, "image_id": ids, "encounter": ids, "group": ids})
    rows["orientation"] = np.where(np.arange(len(points)) % 2, "left", "right")
    rows["identity"] = [str(place // 5) for place in range(len(points))]
    asks = np.arange(len(points)) % 50 < 2
    sets = {"disjoint": ProtocolSet(rows[asks].reset_index(drop=True), rows)}
    return pd.DataFrame({"crop_id": ids, "embedding": list(points)}), sets


def hits(rankings) -> float:
    names = rankings[rankings["rank"] <= 4]
    return float((names["query"].str[:5].astype(int) // 5 == names["candidate"].str[:5].astype(int) // 5).mean())


def test_opposite_flanks_are_left_out_if_wanted():
    table, sets = many(100)
    rankings = cosine.search(table, sets, cosine.SearchRules(1000, same_side=True))
    side = sets["disjoint"].gallery.set_index("crop_id")["orientation"]
    assert (rankings["query"].map(side) == rankings["candidate"].map(side)).all()
    assert len(rankings) == len(sets["disjoint"].queries) * 49


@pytest.mark.parametrize("index", ["hnsw", "ivf_pq"])
def test_an_index_finds_what_comparing_all_does_and_never_the_own_encounter(index):
    table, sets = many(3000)
    exact = cosine.search(table, sets, cosine.SearchRules(10, index="flat")).dropna().astype(dict.fromkeys(PAIR, str))
    found = cosine.search(table, sets, cosine.SearchRules(10, index=index))
    again = cosine.search(table, sets, cosine.SearchRules(10, index=index))
    pd.testing.assert_frame_equal(found, again)
    assert not (found["query"].astype(str) == found["candidate"].astype(str)).any()
    both = exact.merge(
        found.astype(dict.fromkeys(PAIR, str)), on=["protocol", "query", "candidate"], suffixes=("", "_found")
    )
    assert len(both) >= 0.9 * len(exact)
    np.testing.assert_allclose(both["score"], both["score_found"], atol=2e-6)


def test_expansion_and_reranking_help_where_photos_of_an_animal_are_many():
    table, sets = many(1000, seed=3)
    plain = hits(cosine.search(table, sets, cosine.SearchRules(1000)))
    assert hits(cosine.search(table, sets, cosine.SearchRules(1000, expansion=3))) > plain
    rules = cosine.SearchRules(1000, rerank=6, rerank_depth=40, rerank_mean=3)
    rankings = cosine.search(table, sets, rules)
    assert hits(rankings) > plain
    assert rankings.groupby("query").size().eq(999).all(), "what was not re-ranked keeps a place"
    assert not (rankings["query"].astype(str) == rankings["candidate"].astype(str)).any()


def test_reranking_leaves_out_own_encounters_and_survives_small_protocols():
    split = split_table()
    rankings = cosine.search(
        embeddings_of(split["crop_id"]), protocol_sets(split, "flank"), cosine.SearchRules(10, rerank=2, rerank_depth=7)
    )
    encounter = split.set_index("crop_id")["encounter"]
    assert len(rankings) and not (rankings["query"].map(encounter) == rankings["candidate"].map(encounter)).any()
    plain = cosine.search(embeddings_of(split["crop_id"]), protocol_sets(split, "flank"), cosine.SearchRules(10))
    assert len(rankings) == len(plain)


def test_an_approximate_index_does_not_rerank():
    table, sets = many(100)
    with pytest.raises(PelageError, match=r"need search\.index flat"):
        cosine.search(table, sets, cosine.SearchRules(10, index="hnsw", expansion=2))


def test_the_index_goes_by_size():
    sizes = [(10, "flat"), (EXACT, "flat"), (EXACT + 1, "hnsw"), (GRAPH, "hnsw"), (GRAPH + 1, "ivf_pq")]
    assert [kind_for(count) for count, _ in sizes] == [kind for _, kind in sizes]
    assert kind_for(10, "hnsw") == "hnsw"
