"""The draw: groups stay whole, known individuals keep a train group, shares are kept."""

from collections import defaultdict

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from pelage.split import draw
from pelage.split.draw import draw_subsets, draw_val

SHARES = {"novel": 0.2, "val_novel": 0.12, "val": 0.15, "test": 0.25}


def visits(rows):
    return pd.DataFrame(rows, columns=["identity", "label", "group"], dtype=str)


def survey(individuals, groups):
    return visits([
        (f"L{i:02d}", f"L{i:02d}:{side}", f"L{i:02d}-{g}")
        for i in range(individuals) for g in range(groups) for side in ("left", "right")
    ])  # fmt: skip


def subsets_of(table, subset):
    found = defaultdict(set)
    for row in table.itertuples():
        found[row.identity].add(subset[row.group])
    return found


def test_shares_of_individuals_and_groups():
    table = survey(25, 8)
    subset = draw_subsets(table, 1, **SHARES)
    found = subsets_of(table, subset)
    assert sum(held == {"test"} for held in found.values()) == 5
    assert sum(held == {"val"} for held in found.values()) == 3
    known = [held for held in found.values() if "train" in held]
    assert len(known) == 17
    assert all(held == {"train", "val", "test"} for held in known)
    assert sum(value == "test" for value in subset.values()) == 5 * 8 + 17 * 2
    assert sum(value == "val" for value in subset.values()) == 3 * 8 + round(17 * 8 * 0.15)


def test_two_individuals_stay_known_and_single_groups_train():
    table = visits([*survey(3, 4).itertuples(index=False), ("once", "once:left", "once-0")])
    found = subsets_of(table, draw_subsets(table, 1, novel=0.9, val_novel=0.9, val=0.3, test=0.3))
    assert found["once"] == {"train"}
    assert sum("train" in held for name, held in found.items() if name != "once") == 2
    assert sum(held == {"test"} for held in found.values()) == 1


def test_groups_go_first_whose_labels_stay_in_train():
    rows = [("a", "a:left", f"a{n}") for n in range(3)] + [("a", "a:right", "a3")]
    rows += [(name, "", f"{name}{n}") for name in "bc" for n in range(4)]
    for seed in range(20):
        subset = draw_subsets(visits(rows), seed, novel=0, val_novel=0, val=0.25, test=0.25)
        assert subset["a3"] == "train"


def test_each_known_individual_with_three_groups_is_in_val_whatever_the_share():
    rows = survey(10, 3)
    rows = visits([*rows.itertuples(index=False), *[(f"M{i}", "", f"M{i}-{g}") for i in range(6) for g in range(2)]])
    subset = draw_subsets(rows, 1, novel=0, val_novel=0, val=0.05, test=0.2)
    found = subsets_of(rows, subset)
    assert all({"train", "val"} <= found[f"L{i:02d}"] for i in range(10))
    assert not any("val" in found[f"M{i}"] for i in range(6)), "of two groups one stays and the other is for the share"
    assert not any("val" in held for held in subsets_of(rows, draw_subsets(rows, 1, 0, 0, val=0, test=0.2)).values())


def test_a_shared_group_goes_with_the_novel_animal():
    rows = [(name, f"{name}:left", f"{name}{n}") for name in "abcdef" for n in range(4)]
    rows += [("a", "a:left", "b0"), ("c", "c:left", "d0"), ("e", "e:left", "f0")]
    for seed in range(20):
        table = visits(rows)
        subset = draw_subsets(table, seed, novel=0.35, val_novel=0.35, val=0.2, test=0.2)
        found = subsets_of(table, subset)
        assert len([name for name, held in found.items() if held == {"test"}]) == 2
        for name, held in found.items():
            assert "train" in held or len(held) == 1, name


def test_a_companion_keeps_a_train_group():
    rows = [("a", "", "x0"), ("a", "", "x1"), ("b", "", "x0"), ("b", "", "x1")]  # always together
    rows += [(name, "", f"{name}{n}") for name in "cd" for n in range(2)]
    for seed in range(20):
        found = subsets_of(visits(rows), draw_subsets(visits(rows), seed, novel=0.5, val_novel=0, val=0, test=0.5))
        assert "train" in found["a"] and "train" in found["b"]


def test_one_more_individual_leaves_the_others_where_they_were():
    before = draw_subsets(survey(20, 5), 3, novel=0, val_novel=0.0, val=0.2, test=0.2)
    after = draw_subsets(survey(21, 5), 3, novel=0, val_novel=0.0, val=0.2, test=0.2)
    assert before == {group: subset for group, subset in after.items() if group in before}


def test_seeds_differ():
    table = survey(20, 5)
    assert draw_subsets(table, 1, **SHARES) == draw_subsets(table, 1, **SHARES)
    assert draw_subsets(table, 1, **SHARES) != draw_subsets(table, 2, **SHARES)


def test_val_of_a_published_train_side():
    table = survey(10, 4)
    subset = draw_val(table, 1, 0.25)
    assert set(subset.values()) == {"train", "val"}
    assert sum(value == "val" for value in subset.values()) == 10
    assert all("train" in held for held in subsets_of(table, subset).values())


random_visits = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["", "left", "right"]), st.integers(0, 15)),
    min_size=1,
    max_size=60,
)
share = st.floats(0, 1)


@settings(max_examples=150, deadline=None)
@given(random_visits, st.integers(0, 5), share, share, share, share)
def test_any_table_keeps_its_promises(rows, seed, novel, val_novel, val, test):
    table = visits([(name, side and f"{name}:{side}", f"g{group}") for name, side, group in rows])
    subset = draw_subsets(table, seed, novel, val_novel, val, test)
    assert set(subset) == set(table["group"])
    found = subsets_of(table, subset)
    assert any("train" in held for held in found.values())
    for name, held in found.items():
        groups = table.loc[table["identity"] == name, "group"].nunique()
        assert "train" in held or (len(held) == 1 and groups > 1)
    shuffled = table.sample(frac=1, random_state=seed)
    assert draw_subsets(shuffled, seed, novel, val_novel, val, test) == subset


def move_first_plainly(self, groups, subset, count):
    """Look at all groups before each move."""
    for moved in range(count):
        free = [group for group in groups if self._may_leave(group)]
        if not free:
            return moved
        self._move(min(free, key=self._labels_lost), subset)
    return count


@settings(max_examples=150, deadline=None)
@given(random_visits, st.integers(0, 5), share, share)
def test_the_queue_moves_what_looking_at_all_groups_does(rows, seed, val, test):
    table = visits([(name, side and f"{name}:{side}:{group % 3}", f"g{group}") for name, side, group in rows])
    fast = draw_subsets(table, seed, 0.2, 0.1, val, test)
    queue = draw._Draft._move_first
    try:
        draw._Draft._move_first = move_first_plainly
        assert draw_subsets(table, seed, 0.2, 0.1, val, test) == fast
    finally:
        draw._Draft._move_first = queue
