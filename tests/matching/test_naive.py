"""The controls: chance, and the most photographed first."""

import numpy as np
import pandas as pd
import pytest

from pelage.matching.naive import naive_rankings
from pelage.split.protocols import SPLIT_COLUMNS


@pytest.fixture
def split():
    """Individual a has 6 gallery photos, b 3, c and d 1; each is asked for once, twelve times over."""
    rows = [(name, "train", n) for name, count in zip("abcd", (6, 3, 1, 1), strict=True) for n in range(count)]
    rows += [(name, "test", 10 + n) for name in "abcd" for n in range(12)]
    table = pd.DataFrame(rows, columns=["identity", "subset", "n"])
    table["image_id"] = table["encounter"] = table["group"] = table["identity"] + table["n"].astype(str)
    table["crop_id"] = table["image_id"] + "#0"
    table["gallery"], table["known"] = table["subset"] == "train", True
    return table.assign(part="flank", published=False).reindex(columns=SPLIT_COLUMNS, fill_value="")


def test_majority_lists_the_most_photographed_first(split):
    table = naive_rankings(split, "flank", 100, 1)["majority"]
    for _, rows in table[table["protocol"] == "closed"].groupby("query"):
        assert rows["candidate"].str[0].str.cat()[:9] == "aaaaaabbb"
    assert table["score"].max() < 7 and table.loc[table["rank"] == 1, "score"].nunique() == 1
    last = {naive_rankings(split, "flank", 100, seed)["majority"]["candidate"].iloc[10] for seed in range(10)}
    assert {name[0] for name in last} == {"c", "d"}  # ties follow the seed


def test_random_is_chance(split):
    tables = [naive_rankings(split, "flank", 100, seed)["random"] for seed in range(20)]
    table = pd.concat(tables)
    first = table[(table["rank"] == 1) & (table["protocol"] == "closed")]
    assert np.mean(first["candidate"].str[0] == "a") == pytest.approx(6 / 11, abs=0.06)


def test_same_seed_same_ranking_and_shared_queries_alike(split):
    one, again = (naive_rankings(rows, "flank", 5, 3) for rows in (split, split.sample(frac=1, random_state=0)))
    for method in ("random", "majority"):
        pd.testing.assert_frame_equal(one[method], again[method])
        assert one[method].loc[one[method]["score"].notna(), "rank"].max() == 5
        closed, opened = (
            one[method][one[method]["protocol"] == name].drop(columns="protocol").dropna()
            for name in ("closed", "open")
        )
        assert np.array_equal(closed.to_numpy(object), opened.to_numpy(object))
    other = naive_rankings(split, "flank", 5, 4)["random"]
    assert not other["candidate"].equals(one["random"]["candidate"])


def test_without_photos(split):
    assert all(table.empty for table in naive_rankings(split, "face", 5, 1).values())
