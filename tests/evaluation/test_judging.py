"""From tables to hits; rankings that break the rules are refused."""

from dataclasses import astuple

import numpy as np
import pytest

from pelage.common.errors import PelageError
from pelage.evaluation.judging import ask, judge
from pelage.split.protocols import protocol_sets


@pytest.fixture
def closed(split):
    return ask("closed", protocol_sets(split, "flank")["closed"])


def test_what_the_gallery_could_answer(split, closed):
    assert (
        (closed.totals["identity"] == 6).all()
        and closed.same_side.all()
        and closed.encounter_free.all()
        and closed.known.all()
    )
    disjoint = ask("disjoint", protocol_sets(split, "flank")["disjoint"])
    assert (disjoint.totals["identity"] == 4).all() and disjoint.encounter_free.all()
    opened = ask("open", protocol_sets(split, "flank")["open"])
    assert (opened.totals["identity"][opened.known] == 6).all() and (
        opened.totals["identity"][~opened.known] == 0
    ).all()
    assert set(opened.rules.queries.loc[~opened.known, "identity"]) == {"x", "y"}


def test_other_flanks_are_no_answer_but_unsure_ones_may_be(split):
    split.loc[(split["identity"] == "a") & (split["subset"] == "train"), ["label", "orientation"]] = "a:left", "left"
    split.loc[(split["identity"] == "b") & (split["subset"] == "train"), ["label", "orientation"]] = (
        "b:unknown",
        "unknown",
    )
    question = ask("closed", protocol_sets(split, "flank")["closed"])
    sides = question.rules.queries[["identity", "orientation"]].assign(possible=question.same_side)
    assert sides.loc[~sides["possible"], ["identity", "orientation"]].to_numpy().tolist() == [["a", "right"]] * 2


def test_published_encounters(split):
    split["published"] = True
    split.loc[split["crop_id"].isin(["a30#0", "a41#0"]), "encounter"] = "a0"
    question = ask("closed", protocol_sets(split, "flank")["closed"])
    assert question.rules.queries.loc[~question.encounter_free, "crop_id"].tolist() == ["a41#0"]
    assert (question.totals["identity"] == 6).all()


def test_hits(split, closed, rankings):
    table = rankings(split, np.inf)
    judged = judge(table, closed, "file")
    assert judged.right.all() and (judged.score >= 1).all()
    individuals, flanks = judged.hits["identity"], judged.hits["flank"]
    assert individuals.rank.tolist() == list(range(1, 7)) * 20
    assert individuals.query.tolist() == np.repeat(np.arange(20), 6).tolist()
    assert flanks.rank.tolist() == [1, 2, 3] * 20 and (flanks.total == 3).all(), "three photos show the other flank"
    same = judge(table.sample(frac=1, random_state=0).astype({"query": "category"}), closed, "file")
    for name in ("score", "right"):
        assert np.array_equal(getattr(judged, name), getattr(same, name)), name
    for kind, hits in judged.hits.items():
        assert all(
            np.array_equal(left, right) for left, right in zip(astuple(hits), astuple(same.hits[kind]), strict=True)
        )


def test_a_query_without_rows_is_missed(split, closed, rankings):
    table = rankings(split, np.inf)
    judged = judge(table[table["query"] != "a40#0"], closed, "file")
    assert not judged.right[0] and judged.score[0] == -np.inf and judged.right[1:].all()
    nothing = judge(table.iloc[:0], closed, "file")
    assert not nothing.right.any() and len(nothing.hits["identity"].rank) == 0


def test_rankings_that_break_the_rules(split, closed, rankings):
    table = rankings(split, 0.5)
    rows = table.index[(table["protocol"] == "closed") & (table["query"] == "b41#0")]

    def refused(column, value, message, row=rows[1]):
        wrong = table.copy()
        wrong.loc[row, column] = value
        with pytest.raises(PelageError, match=message):
            judge(wrong, closed, "data/rankings/some.parquet")

    refused(
        "candidate", "a40#0", r"some.parquet: the candidate 'a40#0' at rank 2 .* 'b41#0' is not in the protocol closed"
    )
    refused("query", "a00#0", "is not in the protocol closed")
    refused("candidate", table.loc[rows[0], "candidate"], r"is listed twice in closed \(1 such rows\)")
    refused("rank", 1, "has rank")
    rules = protocol_sets(split, "flank")["closed"]
    rules.queries.loc[0, "group"] = "a0"
    with pytest.raises(PelageError, match="own photo, group or individual, which closed bars"):
        judge(table, ask("closed", rules), "file")


def test_who_never_crosses_flanks_is_perfect_by_flank_and_cannot_be_by_individual(split, closed, rankings):
    """An oracle that knows all and lists no other flank: what it cannot see is no fault of its."""
    side, table = split.set_index("crop_id")["orientation"], rankings(split, np.inf)
    table = table[table["query"].map(side) == table["candidate"].map(side)]
    table["rank"] = table.groupby(["protocol", "query"]).cumcount() + 1
    judged = judge(table, closed, "file")
    told = {kind: hits.metrics() for kind, hits in judged.hits.items()}
    for metric in ("top1", "map", "map_at_r"):
        assert (told["flank"][metric] == 1).all()
    assert told["identity"]["top1"].mean() == 1 and told["identity"]["map"].mean() == 0.5


def test_sides_that_nobody_told_are_junk_unless_nothing_was_told(split):
    unsure = (split["identity"] == "a") & split["crop_id"].str.endswith("1#0")
    split.loc[unsure, ["label", "orientation"]] = "a:unknown", "unknown"
    split.loc[split["identity"] == "b", ["label", "orientation"]] = "b:unknown", "unknown"
    question = ask("closed", protocol_sets(split, "flank")["closed"])
    queries = question.rules.queries
    totals = dict(zip(queries["crop_id"], question.totals["flank"], strict=True))
    assert (totals["a40#0"], totals["a41#0"], totals["b40#0"], totals["c40#0"]) == (3, 0, 6, 3)
