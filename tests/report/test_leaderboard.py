"""The leaderboard: order, missing numbers, and the sentences that say what it shows."""

from __future__ import annotations

import pandas as pd
import pytest

from pelage.common.errors import PelageError
from pelage.report.tables import (
    KINDS,
    Method,
    asked,
    blocks,
    leader,
    leaderboard,
    list_methods,
    markdown,
    number,
    read_metrics,
    shown_metrics,
    verdict,
)

NET = Method("net", "network", "flank", "crop_edge", "tiny, cosface")
OTHER = Method("other_net", "network", "flank", "crop", "tiny, triplet")
SIFT = Method("sift_lnbnn", "local", "flank", "crop", "RootSIFT")
RANDOM = Method("random", "control", "flank", "", "chance")
FACE = Method("face_net", "network", "face", "crop", "tiny, cosface")
PAIRS = Method("pairs", "study", "flank", "crop", "trees")
METHODS = [NET, OTHER, SIFT, RANDOM, FACE]


def scores(top1: float | None, spread: float = 0.02, less_sift: tuple | None = None, **more) -> dict:
    """Metrics of one protocol, with an interval of `spread` to both sides."""
    asked_for = 0 if top1 is None else 50
    found = {"queries": asked_for, "queries_with_match": asked_for, "query_identities": 9}
    found |= {"gallery": 1200, "gallery_identities": 12, "top1": top1, "top5": top1, "map": top1, "auroc": top1}
    for metric in ("top1", "auroc"):
        found |= dict.fromkeys([f"{metric}_low", f"{metric}_high"])
        if top1 is not None:
            found |= {f"{metric}_low": top1 - spread, f"{metric}_high": top1 + spread}
    keys = ["top1_minus_sift", "top1_minus_sift_low", "top1_minus_sift_high"]
    return found | dict(zip(keys, less_sift or (None, None, None), strict=True)) | more


def nothing() -> dict:
    return {key: 0 if isinstance(value, int) else None for key, value in scores(None).items()} | {"gallery": 0}


def board(**closed: dict) -> pd.DataFrame:
    """A leaderboard whose closed protocol is given by method and whose others are empty."""
    metrics = {m.name: {p: nothing() for p in ("closed", "open", "disjoint")} for m in METHODS}
    for name, found in closed.items():
        metrics[name]["closed"] = found
    return leaderboard(metrics, METHODS)


def closed_of(table: pd.DataFrame, part: str = "flank") -> pd.DataFrame:
    return table[(table["part"] == part) & (table["protocol"] == "closed")]


def words(**closed: dict) -> str:
    return verdict(closed_of(board(**closed)))


def test_best_first_missing_last_and_ties_by_map_then_by_the_order_of_params():
    table = board(
        net=scores(0.5, map=0.2), other_net=scores(0.5, map=0.3), sift_lnbnn=scores(0.5, map=0.2), random=scores(0.1)
    )
    rows = closed_of(table)
    assert rows["method"].tolist() == ["other_net", "net", "sift_lnbnn", "random"]
    assert rows["place"].tolist() == [1, 2, 3, 4]
    rows = closed_of(board(random=scores(0.1), net=scores(0.4)))
    assert rows["method"].tolist() == ["net", "random", "other_net", "sift_lnbnn"]
    assert rows["place"].isna().tolist() == [False, False, True, True]


def test_parts_are_never_ranked_together():
    table = board(net=scores(0.3), face_net=scores(0.9))
    assert [(part, protocol) for part, protocol, _ in blocks(table)] == [
        (part, protocol) for part in ("flank", "face") for protocol in ("closed", "open", "disjoint")
    ]
    assert set(closed_of(table)["method"]) == {"net", "other_net", "sift_lnbnn", "random"}
    assert closed_of(table, "face")["place"].tolist() == [1]


def test_open_is_ordered_by_auroc():
    metrics = {m.name: {"open": scores(0.5)} for m in METHODS}
    metrics["net"]["open"] |= {"auroc": 0.7, "top1": 0.9}
    metrics["sift_lnbnn"]["open"] |= {"auroc": 0.8, "top1": 0.1}
    table = leaderboard(metrics, METHODS)
    assert table[table["protocol"] == "open"]["method"].tolist()[:2] == ["sift_lnbnn", "net"]


def test_sift_ahead_by_more_than_chance_is_said_in_words():
    told = words(
        net=scores(0.4, less_sift=(-0.2, -0.3, -0.1)), sift_lnbnn=scores(0.6), random=scores(0.1), other_net=scores(0.2)
    )
    assert told.startswith(
        "sift_lnbnn beats every network: top-1 0.600 [0.580, 0.620] against 0.400 [0.380, 0.420] for the best of them, "
        "net (query by query, network less sift_lnbnn: -0.200 [-0.300, -0.100])."
    )
    assert "net stands clear of the controls (the best of them, random: top-1 0.100 [0.080, 0.120])." in told


def test_a_lead_within_chance_beats_nobody():
    told = words(net=scores(0.55, less_sift=(-0.05, -0.12, 0.02)), sift_lnbnn=scores(0.6))
    assert "sift_lnbnn is ahead of every network" in told
    assert "these queries do not tell the two apart" in told
    assert "beats" not in told


def test_a_network_ahead_and_a_tie():
    assert words(net=scores(0.7, less_sift=(0.1, 0.05, 0.15)), sift_lnbnn=scores(0.6)).startswith(
        "net beats sift_lnbnn"
    )
    told = words(net=scores(0.7, less_sift=(0.1, -0.05, 0.25)), sift_lnbnn=scores(0.6))
    assert told.startswith("net is ahead of sift_lnbnn: top-1 0.700 [0.680, 0.720] against 0.600 [0.580, 0.620], but")
    assert "both have top-1 0.600" in words(net=scores(0.6), sift_lnbnn=scores(0.6))


def test_the_study_is_told_of_where_it_leads():
    def told(top1):
        metrics = {"net": {"closed": scores(0.4)}, "pairs": {"closed": scores(top1)}}
        return verdict(closed_of(leaderboard(metrics, [NET, PAIRS])))

    assert "First of all is pairs of the replication study with 0.700 [0.680, 0.720]." in told(0.7)
    assert "pairs" not in told(0.3)


def test_the_fusion_is_told_of():
    fused = Method("fused", "fused", "flank", "", "")
    metrics = {"net": {"closed": scores(0.4)}, "fused": {"closed": scores(0.7)}}
    assert "fused reaches 0.700 [0.680, 0.720]." in verdict(closed_of(leaderboard(metrics, [NET, fused])))


def test_a_lead_within_the_spread_of_seeds_beats_nobody():
    gap = {"net": scores(0.7, less_sift=(0.1, 0.05, 0.15), seeds=3, top1_sd=0.051), "sift_lnbnn": scores(0.6)}
    told = words(**gap)
    assert told.startswith(
        "net is ahead of sift_lnbnn: top-1 0.700 ± 0.051 [0.680, 0.720] against 0.600 [0.580, 0.620], but by no more "
        "than 2 standard deviations between seeds (query by query"
    )
    gap["net"]["top1_sd"] = 0.049
    assert words(**gap).startswith("net beats sift_lnbnn: top-1 0.700 ± 0.049 [0.680, 0.720] against")
    gap["net"] |= {"top1_minus_sift_low": -0.01, "top1_sd": 0.051}
    assert "but these queries do not tell the two apart" in words(**gap)
    wide = scores(0.2, seeds=2, top1_sd=0.06)
    assert "net has not been shown to beat the control random" in words(net=wide, random=scores(0.1))
    assert "stands clear" in words(net=wide | {"top1_sd": 0.04}, random=scores(0.1))


def test_seeds_and_their_spread_stand_in_the_table():
    spread = {"seeds": 3, "top1_sd": 0.05, "map_sd": 0.0123}
    text = markdown(board(net=scores(0.7, **spread), other_net=scores(0.5, seeds=1, top1_sd=None, map_sd=None)))
    assert "| 1 | **net (3 seeds)** | crop_edge | 0.700 ± 0.050 [0.680, 0.720] | 0.700 | 0.700 ± 0.012 |" in text
    assert "| 2 | other_net | crop | 0.500 [0.480, 0.520] | 0.500 | 0.500 |" in text


def test_without_paired_differences_intervals_must_be_apart():
    assert "sift_lnbnn beats every network" in words(net=scores(0.4), sift_lnbnn=scores(0.6))
    assert "do not tell the two apart" in words(net=scores(0.4, 0.2), sift_lnbnn=scores(0.6, 0.2))


def test_a_network_that_does_not_beat_a_control_is_told_so():
    assert "net has not been shown to beat the control random" in words(net=scores(0.12), random=scores(0.1))
    assert "stands clear" in words(net=scores(0.2), random=scores(0.1))
    assert (
        words(random=scores(0.1))
        == "Only controls could be scored; the best is random with top-1 0.100 [0.080, 0.120]."
    )


def test_missing_methods_photos_and_queries_are_said():
    assert "sift_lnbnn was not compared here. No control was run here." in words(net=scores(0.5))
    assert "no network could be compared here" in words(sift_lnbnn=scores(0.5))
    table = board(net=scores(0.5))
    face = closed_of(table, "face")
    assert face["note"].tolist() == ["no photos"]
    assert verdict(face) == "No method could be scored: the data set has no such photos."
    disjoint = table[(table["protocol"] == "disjoint") & (table["method"] == "net")]
    assert disjoint["note"].tolist() == ["no queries"]
    assert verdict(disjoint) == "No method could be scored: no photo asks here."
    unanswered = board(net=nothing() | {"queries": 4, "gallery": 3})
    row = closed_of(unanswered).set_index("method").loc["net"]
    assert row["note"] == "no answer"


def test_the_leader_is_no_control_and_closed_comes_first():
    assert leader(board(net=scores(0.3), random=scores(0.9)))["method"] == "net"
    metrics = {m.name: {"closed": nothing(), "disjoint": scores(0.5)} for m in METHODS}
    first = leader(leaderboard(metrics, METHODS))
    assert (first["protocol"], first["method"]) == ("disjoint", "net")
    assert leader(board())["method"] == "net"
    seen_together = Method("fused_sightings", "sightings", "flank", "", "")
    found = {"net": {"closed": scores(0.3)}, "fused_sightings": {"closed": scores(0.9)}}
    assert leader(leaderboard(found, [NET, seen_together]))["method"] == "net"


def test_markdown_has_a_table_a_block_and_escapes_bars():
    text = markdown(board(net=scores(0.4), sift_lnbnn=scores(0.6), random=scores(None)))
    assert text.count("\n| :--") == 6
    assert "| 1 | **sift_lnbnn** | crop | 0.600 [0.580, 0.620] | 0.600 | 0.600 |" in text
    assert "| – | random | – | no queries |" in text or "| – | random | – | no photos |" in text
    odd = Method("a|b", "network", "flank", "crop", "")
    assert "a\\|b" in markdown(leaderboard({"a|b": {"closed": scores(0.5)}}, [odd]))


def test_counts_and_ceilings_are_told():
    found = scores(0.5, queries=60, queries_with_match=50, ceiling_same_flank=0.869)
    assert asked(closed_of(board(net=found))) == (
        "60 queries of 9 individuals against 1,200 gallery crops of 12 individuals; ranks are scored over the 50 "
        "queries whose individual the gallery can show; for 86.9 % of these a gallery photo shows the same side."
    )


def test_a_threshold_that_cannot_be_had_is_told():
    few = {"least_false_match_rate": 0.1, "threshold_individuals": 9, "threshold": None}
    told = "cannot be had with 9 individuals in validation, which can vouch for 10.0 % and no less."
    assert asked(closed_of(board(net=scores(0.9, **few)))).endswith(told)
    assert "cannot" not in asked(closed_of(board(net=scores(0.9, **few | {"threshold": 0.5}))))


def test_queries_of_other_encounters_get_a_column_where_they_differ():
    assert "top1_encounter_free" not in shown_metrics(closed_of(board(net=scores(0.5, top1_encounter_free=0.5))))
    assert shown_metrics(closed_of(board(net=scores(0.5, top1_encounter_free=0.4))))[:2] == [
        "top1",
        "top1_encounter_free",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (pd.NA, "–"),
        (1.0, "1.000"),
        (0.12345, "0.123"),
        (12345, "12,345"),
        (True, "yes"),
    ],
)
def test_numbers_for_people(value, text):
    assert number(value) == text


def test_methods_come_from_params_alone():
    params = {
        "variants": {"a": {"part": "face", "view": "nobg", "loss": {"name": "triplet"}}},
        "loss": {"name": "cosface", "margin": 0.1},
        "model": {"backbone": "tiny"},
        "matchers": {
            "sift_lnbnn": {"part": "flank", "kind": "sift_lnbnn"},
            "b": {"part": "face", "kind": "hotspotter", "preset": "fast"},
        },
        "parts": ["flank", "face"],
        "rematchers": {
            "disk": {"part": "flank", "features": "disk", "network": "disk", "local": "sift_lnbnn", "global": "a"},
        },
        "fusion": {"methods": ["sift_lnbnn", "disk"]},
        "mlp": {"part": "flank", "view": "nobg"},
        "pairs": {"part": "flank"},
        "naive": {"part": "flank"},
    }
    methods = list_methods(params)
    kinds = {kind: [method.name for method in methods if method.kind == kind] for kind in KINDS}
    assert kinds == {
        "network": ["a"],
        "local": ["sift_lnbnn", "b", "disk"],
        "study": ["mlp", "orb_sift_brisk_lightgbm"],
        "fused": ["fused"],
        "sightings": ["fused_sightings"],
        "control": ["random_mlp", "random", "majority"],
    }
    by_name = {method.name: method for method in methods}
    assert by_name["a"] == Method("a", "network", "face", "nobg", "tiny, triplet")
    assert by_name["b"].part == "face" and by_name["b"].detail.startswith("Hessian-affine")
    detail = "DISK, LightGlue; shortlists of sift_lnbnn and a"
    assert by_name["disk"] == Method("disk", "local", "flank", "crop", detail)
    assert by_name["fused"].part == "flank"
    params["loss"]["plus"] = {"name": "triplet"}
    assert list_methods(params)[0].detail == "tiny, triplet + triplet"
    params["parts"] = ["face"]
    assert [method.name for method in list_methods(params)] == ["a", "b"], "methods of other parts are left out"


def test_missing_metrics_are_named(tmp_path):
    with pytest.raises(PelageError, match=r"net\.json is missing"):
        read_metrics(tmp_path / "net.json")


def test_the_best_network_is_chosen_on_validation_not_on_the_test():
    lucky = {"closed": scores(0.95), "validation": {"flank_map": 0.6}}
    chosen = {"closed": scores(0.9), "validation": {"flank_map": 0.8}}
    told = {"net": lucky, "other_net": chosen, "sift_lnbnn": {"closed": scores(0.5)}}
    told |= {"random": {"closed": scores(0.1)}, "face_net": {}}
    rows = leaderboard(told, METHODS)
    rows = rows[(rows["part"] == "flank") & (rows["protocol"] == "closed")]
    assert rows["method"].iloc[0] == "net" and verdict(rows).startswith("other_net beats sift_lnbnn")
