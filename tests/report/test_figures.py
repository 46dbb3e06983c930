"""Figures: labels that do not overlap, the same bytes twice, and every kind of missing data."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pelage.report.figures import (
    BARS,
    _evenly,
    cmc_figure,
    counts_figure,
    leaderboard_figure,
    line_styles,
    spread,
    training_figure,
    umap_figure,
)
from pelage.report.tables import Method, leaderboard

NETWORKS = [Method(f"net_{i}", "network", "flank", "crop", "") for i in range(3)]
METHODS = [
    *NETWORKS,
    Method("face_net", "network", "face", "crop", ""),
    Method("sift_lnbnn", "local", "flank", "crop", ""),
    Method("mlp", "study", "flank", "nobg", ""),
    Method("fused", "fused", "flank", "", ""),
    Method("random_mlp", "control", "flank", "nobg", ""),
    Method("random", "control", "flank", "", ""),
    Method("majority", "control", "flank", "", ""),
]
RANKS = np.arange(1, 21)


def board(methods=METHODS, empty=()):
    metrics = {}
    for place, method in enumerate(methods):
        score = {"queries": 10, "queries_with_match": 10, "gallery": 9, "map": 0.3}
        score |= {"top1": 0.1 + 0.12 * place, "top1_low": 0.1 * place, "top1_high": 0.2 + 0.12 * place, "auroc": None}
        metrics[method.name] = {"closed": score, "open": score | {"auroc": 0.6}, "disjoint": {"queries": 0}}
        if method.name in empty:
            metrics[method.name] = {"closed": {"queries": 0, "gallery": 0, "top1": None}}
    return leaderboard(metrics, methods)


def curves(**missing):
    line = pd.Series(1 - np.exp(-RANKS / 5))
    tables = {
        m.name: pd.DataFrame({"rank": RANKS, "closed": line, "open": line, "disjoint": line / 2}) for m in METHODS
    }
    for name, columns in missing.items():
        tables[name][columns] = np.nan
    return tables


def history(epochs: int, scored: bool = True, seed: int = 1) -> pd.DataFrame:
    score = np.linspace(0.1, 0.5, epochs) if scored else np.full(epochs, np.nan)
    table = pd.DataFrame({"epoch": np.arange(1, epochs + 1), "loss": np.linspace(9, 1, epochs), "val_flank_map": score})
    return table.assign(seed=seed)


HISTORIES = {"net_0": history(5), "net_1": history(3, scored=False), "net_2": history(0), "face_net": history(1)}


def size(png: bytes) -> tuple[int, int]:
    assert len(png) < 400_000
    return Image.open(BytesIO(png)).size


def colourful(png: bytes) -> int:
    """Number of pixels of the upper half that are neither grey nor white."""
    pixels = np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int)
    return int((np.ptp(pixels[: len(pixels) // 2], axis=2) > 60).sum())


@given(st.lists(st.floats(0, 1), max_size=12))
def test_spread_keeps_order_and_distance_and_moves_nothing_without_need(positions):
    moved = spread(positions, 0.05)
    order = np.argsort(positions, kind="stable")
    assert (np.diff(moved[order]) > 0.05 - 1e-9).all()
    if len(positions) < 2 or np.diff(np.sort(positions)).min() >= 0.05:
        assert np.allclose(moved, positions)
    assert np.isclose(moved.sum(), sum(positions))


def test_spread_by_hand():
    assert np.allclose(spread([0.5, 0.5, 0.9], 0.1), [0.45, 0.55, 0.9])
    assert np.allclose(spread([0.95, 1.0, 1.0], 0.1, 0, 1), [0.8, 0.9, 1.0])
    assert np.allclose(spread([0.0, 0.02], 0.1, 0, 1), [0.0, 0.1])


@pytest.mark.parametrize(
    "draw",
    [
        lambda: leaderboard_figure(board()),
        lambda: cmc_figure(curves(), METHODS),
        lambda: training_figure(HISTORIES, METHODS),
    ],
)
def test_same_bytes_twice(draw):
    first = draw()
    assert first == draw()
    assert b"Software" not in first
    assert b"matplotlib" not in first


def test_equal_protocols_share_a_panel():
    shared = size(cmc_figure(curves(), METHODS))
    apart = curves()
    apart["net_0"]["open"] /= 3
    assert size(cmc_figure(apart, METHODS))[1] > 1.3 * shared[1]


def test_missing_numbers_are_drawn_as_words():
    size(leaderboard_figure(board(empty=("face_net", "random"))))
    size(leaderboard_figure(board(METHODS[:1])))
    size(leaderboard_figure(board(METHODS[:1], empty=("net_0",))))
    size(cmc_figure(curves(**{method.name: ["closed", "open", "disjoint"] for method in METHODS}), METHODS))
    size(cmc_figure(curves(face_net=["closed", "open", "disjoint"]), METHODS))
    size(training_figure({"net_0": history(0)}, METHODS))


def test_a_score_of_every_second_epoch_is_still_a_line():
    sparse = history(9)
    sparse.loc[::2, "val_flank_map"] = np.nan
    every = sparse.assign(val_flank_map=sparse["val_flank_map"].bfill().ffill())
    dots = sparse.assign(val_flank_map=sparse["val_flank_map"].where(sparse.index == sparse["val_flank_map"].idxmax()))
    coloured = [colourful(training_figure({"net_0": table}, METHODS)) for table in (dots, sparse, every)]
    assert coloured[0] < 0.9 * coloured[1]
    assert coloured[1] == pytest.approx(coloured[2], rel=0.3)


def test_each_seed_is_a_line_of_its_own():
    seeds = pd.concat([history(9), history(5, seed=2), history(7, scored=False, seed=3)], ignore_index=True)
    mixed = seeds.sort_values("epoch", kind="stable")  # as one line it would be another one
    assert training_figure({"net_0": mixed}, METHODS) == training_figure({"net_0": seeds}, METHODS)


def test_lines_differ():
    styles = line_styles([Method(f"n{i}", "network", "flank", "crop", "") for i in range(14)] + METHODS[-4:])
    seen = {(style["color"], style.get("linestyle", "-")) for style in styles.values()}
    assert len(seen) == len(styles)


def test_counts(survey):
    assert counts_figure(survey["split"]) == counts_figure(survey["split"].sample(frac=1, random_state=3))
    many = pd.DataFrame({"identity": np.arange(200).astype(str), "image_id": np.arange(200).astype(str)})
    size(counts_figure(many.assign(subset="train", encounter=np.arange(200) // 7)))
    size(counts_figure(many.iloc[:0].assign(subset="", encounter="")))


def test_an_outline_shows_what_bars_show():
    coloured = []
    for count in (BARS, BARS + 1):
        rows = np.repeat(np.arange(count), 1 + np.arange(count) * 9 // count)
        photos = pd.DataFrame({"identity": rows.astype(str), "image_id": np.arange(len(rows)).astype(str)})
        subset = np.array(["train", "val", "test"])[np.arange(len(rows)) % 3]
        coloured.append(colourful(counts_figure(photos.assign(subset=subset, encounter="1"))))
    assert 0.75 < coloured[0] / coloured[1] < 1.05, "bars have gaps"


def arranged(split, epochs):
    flanks = split.loc[split["subset"].isin(["train", "val"]), "crop_id"]
    rng = np.random.default_rng(0)
    tables = [pd.DataFrame({"epoch": epoch, "crop_id": flanks, "x": rng.random(len(flanks))}) for epoch in epochs]
    return pd.concat(tables).assign(y=lambda table: table["x"] ** 2) if tables else pd.DataFrame({"epoch": []})


def test_a_strip_of_arrangements(survey):
    split = survey["split"]
    tables = {"net_0": arranged(split, range(4, 41, 4)), "net_1": arranged(split, [4]), "net_2": arranged(split, [])}
    strip = umap_figure(tables, split)
    assert strip == umap_figure(tables, split)
    assert size(strip)[0] > 3 * size(umap_figure({"net_0": arranged(split, [4])}, split))[0] / 2
    assert umap_figure({"net_2": arranged(split, [])}, split) is None


def test_the_strip_has_the_first_and_the_last():
    assert _evenly(list(range(4, 41, 4)), 6) == [4, 12, 20, 24, 32, 40] and _evenly([3, 9], 6) == [3, 9]
