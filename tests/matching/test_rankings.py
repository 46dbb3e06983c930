import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelage.common.tables import read_parquet, write_parquet
from pelage.common.ties import name_codes, pair_keys
from pelage.matching.rankings import RANKING_COLUMNS, empty_rankings, join_rankings, rank_pairs, rankings_table


def test_hand_made_ranking():
    scores = np.array([[0.1, 0.9, 0.5], [0.7, 0.7, 0.7]])
    allowed = np.array([[True, True, True], [True, False, True]])
    table = rankings_table("closed", ["q2", "q1"], ["c", "a", "b"], scores, allowed, depth=2)
    assert list(table.columns) == RANKING_COLUMNS
    tied = sorted("bc", key=lambda name: pair_keys(*name_codes(["q1", name])[:, None])[0])
    assert table[["query", "candidate", "rank"]].to_numpy().tolist() == [
        ["q2", "a", 1],
        ["q2", "b", 2],
        ["q1", tied[0], 1],  # a is not allowed; b and c tie
        ["q1", tied[1], 2],
    ]
    np.testing.assert_allclose(table["score"], [0.9, 0.5, 0.7, 0.7], rtol=1e-6)
    assert set(table["protocol"]) == {"closed"}
    assert table["rank"].dtype == np.int32 and table["score"].dtype == np.float32


@given(st.data())
def test_agrees_with_a_plain_sort_in_any_order_of_the_gallery(data):
    size = data.draw(st.integers(1, 8))
    values = data.draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
    permitted = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    depth = data.draw(st.integers(1, 9))
    order = data.draw(st.permutations(range(size)))
    names = [f"g{i}" for i in range(size)]
    table = rankings_table(
        "open",
        ["q"],
        [names[i] for i in order],
        np.array([[values[i] for i in order]], np.float32),
        np.array([[permitted[i] for i in order]]),
        depth,
    )
    keys = pair_keys(name_codes(["q"]), name_codes(names))
    expected = sorted((-values[i], keys[i], names[i]) for i in range(size) if permitted[i])[:depth]
    expected = [(value, name) for value, _, name in expected]
    assert list(zip(-table["score"], table["candidate"], strict=True)) == expected
    assert table["rank"].tolist() == list(range(1, len(expected) + 1))


def test_nothing_to_rank_keeps_columns_and_types(tmp_path):
    nothing = rankings_table("open", [], ["a"], np.zeros((0, 1)), np.zeros((0, 1), bool), 5)
    forbidden = rankings_table("open", ["q"], ["a"], np.zeros((1, 1)), np.zeros((1, 1), bool), 5)
    full = rankings_table("open", ["q"], ["a"], np.zeros((1, 1)), np.ones((1, 1), bool), 5)
    kinds = []
    for table in (full, nothing, forbidden, join_rankings([nothing, forbidden]), empty_rankings()):
        assert len(table) == (table is full)
        assert [kind.name for kind in table.dtypes] == ["category"] * 3 + ["int32", "float32"]
        write_parquet(tmp_path / "r.parquet", table)
        kinds.append(read_parquet(tmp_path / "r.parquet").dtypes.tolist())
    assert kinds == [["str"] * 3 + ["int32", "float32"]] * 5
    assert len(join_rankings([nothing, full, full])) == 2


def test_wrong_shapes_and_nan_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 2\)"):
        rankings_table("open", ["q"], ["a", "b"], np.zeros((1, 1)), np.ones((1, 1), bool), 5)
    with pytest.raises(ValueError, match="NaN"):
        rankings_table("open", ["q"], ["a"], np.full((1, 1), np.nan), np.ones((1, 1), bool), 5)


def test_ties_know_nothing_of_identity():
    """All pairs tie, and names tell the individual: first answers are right as often as by chance, 10 of 200."""
    names = [f"{place // 10:02}_{place % 10}" for place in range(200)]
    table = rankings_table("open", names, names, np.ones((200, 200)), ~np.eye(200, dtype=bool), 200)
    first = table[table["rank"] == 1]
    right = first["query"].str[:2] == first["candidate"].str[:2]
    assert right.mean() == pytest.approx(9 / 199, abs=0.03)
    assert first["candidate"].value_counts().max() < 8, "no photo wins all ties"
    pairs = table.sample(frac=1, random_state=0)
    again = rank_pairs(pairs[["protocol", "query", "candidate", "score"]], 200)
    keys = ["query", "rank"]
    assert again.sort_values(keys)["candidate"].tolist() == table.sort_values(keys)["candidate"].tolist()
