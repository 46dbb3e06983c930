"""Groups that may not be divided."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from pelage.split.groups import group_photos, near_duplicate_pairs

COLUMNS = ["encounter", "identity", "camera", "date", "sha256", "phash"]
FAR = ["0000000000000000", "00000000ffffffff", "ffffffff00000000", "ffffffffffffffff", "0f0f0f0f0f0f0f0f"]


def photos(*rows):
    return pd.DataFrame(rows, columns=COLUMNS)


def test_pairs_differ_in_few_bits():
    hashes = ["0000000000000000", "0000000000000003", "0000000000000007", "ffffffffffffffff", ""]
    assert near_duplicate_pairs(hashes, 2).tolist() == [[0, 1], [1, 2]]
    assert near_duplicate_pairs(hashes, 0).tolist() == []
    assert near_duplicate_pairs([], 2).shape == (0, 2)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=30), st.integers(0, 40))
def test_pairs_agree_with_counting_bits_one_by_one(values, bits):
    expected = [
        [i, j]
        for i in range(len(values))
        for j in range(i + 1, len(values))
        if (values[i] ^ values[j]).bit_count() <= bits
    ]
    assert near_duplicate_pairs([f"{value:016x}" for value in values], bits).tolist() == expected


def test_pairs_are_found_across_blocks():
    random = np.random.default_rng(0)
    hashes = [f"{value:016x}" for value in random.integers(0, 2**63, 2500)]
    hashes[2400] = hashes[3]
    assert near_duplicate_pairs(hashes, 0).tolist() == [[3, 2400]]


def test_each_reason_joins_and_nothing_else_does():
    table = photos(
        ("e1", "a", "c1", "2026-01-01T10:00:00", "s1", FAR[0]),
        ("e1", "b", "c2", "2026-01-01T10:00:10", "s2", FAR[1]),  # same encounter
        ("e2", "c", "c3", "2026-01-02T10:00:00", "s2", FAR[2]),  # same file
        ("e3", "a", "c1", "2026-01-01T23:00:00", "s4", FAR[3]),  # same animal, camera and day
        ("e4", "a", "c9", "2026-01-09T10:00:00", "s5", "0000000000000001"),  # same view of a
        ("e5", "d", "c9", "2026-01-10T10:00:00", "s6", "0000000000000001"),  # same view, another animal
        ("e6", "d", "c1", "2026-01-01T11:00:00", "s7", FAR[4]),  # same camera and day, another animal
        ("e7", "d", "", "", "", ""),
        ("e8", "d", "", "", "", ""),  # nothing known is no reason
    )
    assert group_photos(table, 2).tolist() == ["e1", "e1", "e1", "e1", "e1", "e5", "e6", "e7", "e8"]


def test_groups_do_not_depend_on_the_order_of_rows():
    random = np.random.default_rng(1)
    rows = [
        (f"e{random.integers(20)}", f"i{n % 5}", f"c{random.integers(6)}", f"2026-01-{1 + n % 9:02d}")
        for n in range(40)
    ]
    table = photos(*[(*row, f"s{n}", FAR[n % 5]) for n, row in enumerate(rows)])
    expected = group_photos(table, 2)
    shuffled = table.sample(frac=1, random_state=3)
    assert group_photos(shuffled, 2).sort_index().equals(expected)
