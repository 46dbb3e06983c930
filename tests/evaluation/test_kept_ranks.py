"""Of a large gallery a few candidates are kept; metrics are those of the whole ranking all the same."""

from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pelage.common.errors import PelageError
from pelage.evaluation.judging import ask, judge
from pelage.matching.local.ranking import Scores, rank
from pelage.matching.rankings import kept, rankings_table
from pelage.split.protocols import ProtocolSet


def crops(rng: np.random.Generator, count: int, first: int, individuals: int) -> pd.DataFrame:
    """Draw photos of a few individuals: left, right or of a side that nobody told, two or so an encounter."""
    identity = rng.integers(individuals, size=count).astype(str)
    side = rng.choice(["left", "right", "unknown"], count, p=[0.4, 0.4, 0.2])
    names = [f"c{place:03}" for place in range(first, first + count)]
    visit = np.char.add(identity, rng.integers(count, size=count).astype(str))
    return pd.DataFrame(
        {"crop_id": names, "image_id": names, "identity": identity, "orientation": side, "encounter": visit}
    ).assign(part="flank", label=lambda rows: rows["identity"] + ":" + rows["orientation"], group=visit)


def drawn(seed: int, levels: int, queries: int = 12, gallery: int = 30) -> tuple[ProtocolSet, np.ndarray]:
    """Draw a protocol that asks photos among one another, too, and scores of so many levels."""
    rng = np.random.default_rng(seed)
    asked, others = crops(rng, queries, 0, 5), crops(rng, gallery - queries, queries, 5)
    rules = ProtocolSet(asked, pd.concat([asked, others], ignore_index=True), same_encounter=bool(seed % 2))
    return rules, rng.integers(levels, size=(queries, gallery)).astype(np.float32)


def assert_judged_alike(one, two):
    for kind, hits in one.hits.items():
        for left, right in zip(astuple(hits), astuple(two.hits[kind]), strict=True):
            np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(one.score, two.score)
    np.testing.assert_array_equal(one.right, two.right)


@given(st.integers(0, 10**6), st.sampled_from([1, 2, 5, 1000]), st.integers(1, 31))
@settings(deadline=None)
def test_ranks_of_right_answers_are_those_of_the_whole_ranking_with_ties_and_junk(seed, levels, depth):
    rules, scores = drawn(seed, levels)
    queries, gallery = rules.queries, rules.gallery
    told = "open", queries["crop_id"], gallery["crop_id"], scores, rules.may_answer(queries, gallery)
    whole, cut = rankings_table(*told, len(gallery)), rankings_table(*told, depth, rules.relevant(queries, gallery))
    best = cut[cut["score"].notna()]
    pd.testing.assert_frame_equal(best.reset_index(drop=True), whole[whole["rank"] <= depth].reset_index(drop=True))
    question = ask("open", rules)
    assert_judged_alike(judge(cut, question, "cut"), judge(whole, question, "whole"))


def test_local_matches_are_ranked_in_blocks_of_queries(monkeypatch):
    rules, scores = drawn(3, 40)
    place = {name: column for column, name in enumerate(rules.gallery["crop_id"])}
    seen = []

    def score(queries, gallery, permitted, _):
        seen.append(len(queries))
        some = scores[np.ix_([place[name] for name in queries], [place[name] for name in gallery])]
        return Scores(np.where(permitted, some, 0), some.astype(int), {(0, 0): np.ones((1, 5))})

    sets = {"closed": ProtocolSet(rules.queries[6:], rules.gallery), "open": ProtocolSet(rules.queries, rules.gallery)}
    names = {name: name for name in place}
    whole = rank(names, sets, len(place), False, score)
    monkeypatch.setattr("pelage.matching.local.ranking.CELLS", 5 * len(place))
    seen.clear()
    blocks = rank(names, sets, 4, False, score)
    assert seen == [5, 5, 2], "the queries of two protocols are scored once"
    assert blocks[1] == whole[1]
    for name, chosen in sets.items():
        question = ask(name, chosen)
        assert_judged_alike(judge(blocks[0], question, "blocks"), judge(whole[0], question, "whole"))
        own = blocks[0][(blocks[0]["protocol"] == name) & blocks[0]["score"].notna()]
        assert own.groupby("query")["rank"].max().max() == 4
        assert list(dict.fromkeys(own["query"])) == chosen.queries["crop_id"].tolist()


def test_who_is_asked_as_if_nobody_had_a_name_keeps_the_best_alone():
    rules, scores = drawn(5, 1000)
    unnamed = ProtocolSet(rules.queries, rules.gallery, named=False)
    may, relevant = (way(rules.queries, rules.gallery) for way in (unnamed.may_answer, unnamed.relevant))
    table = rankings_table("survey", rules.queries["crop_id"], rules.gallery["crop_id"], scores, may, 3, relevant)
    assert len(table) == 3 * len(rules.queries) and table["score"].notna().all()


def test_galleries_up_to_a_size_are_kept_whole():
    assert [kept(gallery, 200, 3000) for gallery in (0, 10, 3000, 3001)] == [1, 10, 3000, 200]


def test_an_unscored_row_with_a_rank_that_cannot_be_is_refused():
    rules, scores = drawn(7, 1000)
    queries, gallery = rules.queries, rules.gallery
    may, relevant = (way(queries, gallery) for way in (rules.may_answer, rules.relevant))
    table = rankings_table("open", queries["crop_id"], gallery["crop_id"], scores, may, 2, relevant)
    question, row = ask("open", rules), np.flatnonzero(table["score"].isna())[0]
    for wrong in (table["rank"].iloc[row - 1], len(gallery) + 1):
        broken = table.copy()
        broken.loc[row, "rank"] = wrong
        with pytest.raises(PelageError, match="has rank"):
            judge(broken, question, "file")
