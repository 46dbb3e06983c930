"""The few numbers that a reviewer reads, by hand."""

from __future__ import annotations

import pytest

from pelage.report.headline import LEAKS, MOST, best_network, count, headline, unnoticed
from pelage.report.tables import Method

METHODS = [
    Method("wide", "network", "flank", "crop", ""),
    Method("deep", "network", "flank", "crop", ""),
    Method("faces", "network", "face", "crop", ""),
    Method("sift_lnbnn", "local", "flank", "crop", ""),
    Method("fused", "fused", "flank", "", ""),
]


def scores(test, validation):
    closed = {"top1": test, "top1_low": test - 0.1, "top1_high": test + 0.1, "flank_map": test / 2}
    return {"closed": closed, "open": {"auroc": None}, "validation": {"flank_map": validation, "map": 1 - validation}}


FOUND = {
    "wide": scores(0.8, 0.3),
    "deep": scores(0.6, 0.5),
    "faces": scores(0.9, 0.9),
    "sift_lnbnn": scores(0.7, 0.1),
    "fused": scores(0.75, 0.1) | {"closed": {"top1": 0.75, "top1_minus_best": 0.05, "top1_minus_best_low": -0.0104,
                                             "top1_minus_best_high": 0.12}},
}  # fmt: skip
DETECT = {"share_over_half": 0.94531, "crops_shared_by_truth": 28, "crops_shared_found": 0.25}


def test_by_hand():
    told = headline(DETECT, dict.fromkeys(LEAKS, 0) | {"groups_divided": 2, "photos_across_subsets": 1}, FOUND, METHODS)
    nothing = {"auroc": None, "auroc_interval": None}
    assert told == {
        "found": 0.945,
        "shared_crops": 21,
        "leaks": 3,
        "champion": "deep",  # by validation; on test `wide` is ahead, and `faces` is of another part
        "net": {"top1": 0.6, "top1_interval": "0.500 to 0.700", **nothing,
                    "flank_map": 0.3, "flank_map_interval": None},
        "sift": {"top1": 0.7, "top1_interval": "0.600 to 0.800", **nothing,
                       "flank_map": 0.35, "flank_map_interval": None},
        "fused": {"top1": 0.75, "top1_interval": None, **nothing, "flank_map": None, "flank_map_interval": None,
                  "lead": 0.05, "lead_interval": "-0.010 to 0.120"},
    }  # fmt: skip
    assert count(told) <= MOST


def test_as_many_numbers_where_nothing_is_known():
    told = headline({}, {}, {}, [])
    assert told["champion"] is None and told["leaks"] == 0 and told["net"]["top1"] is None
    assert count(told) == count(headline(DETECT, {}, FOUND, METHODS))


def test_the_best_network_is_the_first_of_equals_and_what_validation_has_decides():
    equal = {"a": {"validation": {"map": 0.5}}, "b": {"validation": {"map": 0.5}}, "c": {}}
    assert best_network(equal, ["a", "b", "c"]) == "a" and best_network(equal, ["c"]) is None
    equal["c"] = {"validation": {"flank_map": 0.1}}
    assert best_network(equal, ["a", "b", "c"]) == "c"


@pytest.mark.parametrize(("total", "share", "left"), [(28, 0.0, 28), (28, 1.0, 0), (0, None, 0), (None, None, None)])
def test_crops_that_show_two_animals_unnoticed(total, share, left):
    assert unnoticed({"crops_shared_by_truth": total, "crops_shared_found": share}) == left


def test_values_are_counted_as_dvc_shows_them():
    assert count({"a": 1, "b": {"c": None, "d": "x", "e": [1, 2]}, "f": {}}) == 3
