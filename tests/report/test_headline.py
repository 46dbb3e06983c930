"""The few numbers that a reviewer reads, by hand."""

from __future__ import annotations

from pelage.report.headline import LEAKS, MOST, count, headline, lead, preferred
from pelage.report.tables import Method

METHODS = [
    Method("wide", "network", "flank", "crop", ""),
    Method("deep", "network", "flank", "crop", ""),
    Method("faces", "network", "face", "crop", ""),
    Method("sift_lnbnn", "local", "flank", "crop", ""),
    Method("fused", "fused", "flank", "", ""),
    Method("fused_sightings", "sightings", "flank", "", ""),
]


def scores(test, validation):
    closed = {"top1": test, "top1_low": test - 0.1, "top1_high": test + 0.1, "flank_map": test / 2}
    return {"closed": closed, "open": {"auroc": None}, "validation": {"flank_map": validation, "map": 1 - validation}}


FOUND = {
    "wide": scores(0.8, 0.3),
    "deep": scores(0.6, 0.5),
    "faces": scores(0.9, 0.9),
    "sift_lnbnn": scores(0.7, 0.1),
    "fused": scores(0.75, 0.6) | {"closed": {"top1": 0.75}},
    "fused_sightings": scores(0.0, 0.9) | {"closed": {"top1": 0.85}},
}
PARTS = ["sift_lnbnn", "wide"]
DECIDED = {"metric": "top1", "method": "wide", "other": "fused"}
VERDICTS = [
    {"protocol": "closed", **DECIDED, "difference": -0.05, "low": -0.12, "high": 0.0104},
    {"protocol": "disjoint", **DECIDED, "difference": 9, "low": 9, "high": 9},
]
DETECT = {"share_over_half": 0.94531, "shared_in_use": 21}


def test_by_hand():
    told = headline(
        DETECT, dict.fromkeys(LEAKS, 0) | {"groups_divided": 2, "photos_across_subsets": 1}, FOUND, METHODS, PARTS
    )
    nothing = {"auroc": None, "auroc_interval": None}
    assert told == {
        "found": 0.945,
        "shared_crops": 21,
        "leaks": 3,
        "champion": "fused",  # by validation, as `deep` among networks; on test `wide` is ahead, `faces` shows faces,
        # and `fused_sightings` is asked several photos at once
        "net": {"method": "deep", "top1": 0.6, "top1_interval": "0.500 to 0.700", **nothing,
                    "flank_map": 0.3, "flank_map_interval": None},
        "sift": {"top1": 0.7, "top1_interval": "0.600 to 0.800", **nothing,
                       "flank_map": 0.35, "flank_map_interval": None},
        "fused": {"top1": 0.75, "top1_interval": None, **nothing, "flank_map": None, "flank_map_interval": None,
                  "lead": -0.05, "lead_interval": None},
    }  # fmt: skip
    assert count(told) <= MOST


def test_as_many_numbers_where_nothing_is_known():
    told = headline({}, {}, {}, [], [])
    assert told["champion"] is None and told["leaks"] == 0 and told["net"]["top1"] is None
    assert count(told) == count(headline(DETECT, {}, FOUND, METHODS, PARTS))


def test_the_lead_is_that_of_a_verdict_whichever_side_fused_is_on():
    assert lead(FOUND, PARTS, VERDICTS) == {"lead": 0.05, "lead_interval": "-0.010 to 0.120"}
    turned = {"method": "fused", "other": "wide", "difference": 0.05, "low": -0.0104, "high": 0.12}
    assert lead(FOUND, PARTS, [VERDICTS[0] | turned]) == lead(FOUND, PARTS, VERDICTS)
    few = VERDICTS[0] | {"low": float("nan"), "high": float("nan")}
    assert lead(FOUND, PARTS, [few]) == {"lead": 0.05, "lead_interval": None}, "too few individuals for an interval"
    assert lead(FOUND, [], VERDICTS) == {"lead": None, "lead_interval": None}


def test_the_preferred_method_is_the_first_of_equals_and_what_validation_has_decides():
    equal = {"a": {"validation": {"map": 0.5}}, "b": {"validation": {"map": 0.5}}, "c": {}}
    assert preferred(equal, ["a", "b", "c"]) == "a" and preferred(equal, ["c"]) is None
    equal["c"] = {"validation": {"flank_map": 0.1}}
    assert preferred(equal, ["a", "b", "c"]) == "c"


def test_values_are_counted_as_dvc_shows_them():
    assert count({"a": 1, "b": {"c": None, "d": "x", "e": [1, 2]}, "f": {}}) == 3
