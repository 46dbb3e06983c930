"""Look-alikes: all pairs of near hashes, each once, and none across owners."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from pelage.catalogue.look_alikes import hash_values, near_pairs


def pairs(values, bits, owner=None) -> list[tuple[int, int]]:
    found = near_pairs(np.array(values, np.uint64), bits, None if owner is None else np.array(owner))
    return sorted(tuple(pair) for block in found for pair in block.tolist())


def test_pairs_differ_in_few_bits():
    values = [0x0, 0x3, 0x7, 0xFFFFFFFFFFFFFFFF]
    assert pairs(values, 2) == [(0, 1), (1, 2)]
    assert pairs(values, 0) == pairs([], 2) == pairs([5], 2) == []
    assert pairs([9, 9, 8], 1, [0, 1, 1]) == [(1, 2)]


@given(
    st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 63), st.integers(0, 63)), max_size=15),
    st.integers(0, 40),
    st.integers(1, 3),
)
def test_pairs_agree_with_counting_bits_one_by_one(made, bits, owners):
    values = [value ^ flip for value, one, other in made for flip in (0, 1 << one, (1 << one) | (1 << other))]
    owner = [place % owners for place in range(len(values))]
    expected = [
        (i, j)
        for i in range(len(values))
        for j in range(i + 1, len(values))
        if (values[i] ^ values[j]).bit_count() <= bits and owner[i] == owner[j]
    ]
    assert pairs(values, bits, owner) == expected


def test_equal_hashes_of_many_are_pairs():
    assert len(pairs([7] * 50, 2)) == 50 * 49 // 2


def test_hashes_are_read_as_they_are_written():
    told = pd.Series(["0000000000000003", "ffffffffffffffff", "9e3779b97f4a7c15"])
    assert hash_values(told).tolist() == [3, 2**64 - 1, 0x9E3779B97F4A7C15]
    assert len(hash_values(told.iloc[:0])) == 0
