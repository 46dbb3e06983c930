"""A small split and rankings made from a matrix of scores."""

import numpy as np
import pandas as pd
import pytest

from pelage.split.protocols import SPLIT_COLUMNS, protocol_sets


def make_split():
    """Five known individuals, two that are novel to test and one that is novel to val; two photos an encounter."""
    rows = []
    plan = {name: ["train", "train", "train", "val", "test", "test"] for name in "abcde"}
    plan |= {"v": ["val"] * 3, "x": ["test"] * 3, "y": ["test"] * 3}
    for name, subsets in plan.items():
        for visit, subset in enumerate(subsets):
            for photo in range(2):
                side = ["left", "right"][photo]
                rows.append({
                    "crop_id": f"{name}{visit}{photo}#0", "image_id": f"{name}{visit}{photo}", "part": "flank",
                    "identity": name, "label": f"{name}:{side}", "encounter": f"{name}{visit}",
                    "group": f"{name}{visit}", "orientation": side, "subset": subset, "known": name in "abcde",
                    "gallery": subset == "train", "published": False,
                })  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=SPLIT_COLUMNS, fill_value="")


def make_rankings(split, strength, seed=0):
    """Rank by noise plus `strength` for photos of the same individual; without noise when it is infinite."""
    random, tables = np.random.default_rng(seed), []
    for name, rules in sorted(protocol_sets(split, "flank").items(), key=lambda item: item[0] == "pseudo_novel"):
        queries, gallery = rules.queries, rules.gallery
        same = queries["identity"].to_numpy()[:, None] == gallery["identity"].to_numpy()
        noise = random.random(same.shape)
        scores = np.where(same, 1.0, 0.0) + 1e-3 * noise if np.isinf(strength) else noise + strength * same
        may = rules.may_answer(queries, gallery)
        for row, query in enumerate(queries["crop_id"]):
            order = [column for column in np.argsort(-scores[row]) if may[row, column]]
            tables.append(
                pd.DataFrame({
                    "protocol": name, "query": query, "candidate": gallery["crop_id"].to_numpy()[order],
                    "rank": np.arange(1, len(order) + 1, dtype=np.int32),
                    "score": scores[row, order].astype(np.float32),
                })
            )  # fmt: skip
    return pd.concat(tables, ignore_index=True)


@pytest.fixture
def split():
    """Return a small split table."""
    return make_split()


@pytest.fixture
def rankings():
    """Return the function that makes rankings."""
    return make_rankings
