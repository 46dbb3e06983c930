"""Headline: the few numbers that a reviewer reads before all others, as `metrics/headline.json`.

What they are called where they come from stands in `SCORES`, `CHOSEN_BY`, `LEAD` and `LEAKS`, and nowhere else in here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pelage.matching.rankings import BASELINE, FUSED, NO_RIVALS
from pelage.report.tables import Method

Scores = Mapping[str, Mapping[str, Any]]
"""What `evaluate` says of one method: protocol -> metric -> number, text or None."""

MOST = 25
"""Numbers that a reviewer still reads."""

SCORES = {"top1": ("closed", "top1"), "auroc": ("open", "auroc"), "flank_map": ("closed", "flank_map")}
"""Name here: protocol and metric; its interval is METRIC_low to METRIC_high."""

CHOSEN_BY = (("validation", "flank_map"), ("validation", "map"))
"""What the champion is chosen by: the first that there is."""

LEAD = ("closed", "top1")
"""By what fused is compared with the best of its parts, on the same queries."""

LEAKS = (
    "photos_across_subsets",
    "encounters_across_subsets",
    "exact_duplicates_across_subsets",
    "near_duplicates_across_subsets",
    "groups_across_subsets",
    "groups_divided",
    "novel_individuals_in_train",
    "novel_individuals_in_val_and_test",
)


def headline(
    detect: Mapping[str, Any],
    leakage: Mapping[str, Any],
    scores: Mapping[str, Scores],
    methods: Sequence[Method],
    fused: Sequence[str],
    verdicts: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return the headline numbers; what cannot be told is None.

    Args:
        detect: Metrics of the stage detect.
        leakage: Metrics of the stage check_leakage.
        scores: Method -> what evaluate says of it.
        methods: The methods that are shown.
        fused: The methods that are fused.
        verdicts: Two methods each, compared query by query: `protocol`, `metric`, `method`, `other`, `difference` of
            the one less the other, and its interval `low`, `high`.

    Returns:
        `found`: share of the animals that are found (IoU over 0.5); `shared_crops`: crops that show two animals and are
        used all the same; `leaks`: what stands on two sides of the split, 0 if it can be trusted; `champion`: the
        method that validation prefers; `net` (the network that it prefers, `net.method`), `sift` (the baseline) and
        `fused`: `SCORES` to 3 decimals, with their intervals as text; `fused.lead`: how far the fusion is ahead of the
        part that validation prefers.
    """
    part = next((method.part for method in methods if method.name in (FUSED, BASELINE)), None)
    able = [method for method in methods if method.name not in NO_RIVALS and part in (None, method.part)]
    shown = {method.name: scores[method.name] for method in able}
    net = preferred(shown, [method.name for method in able if method.kind == "network"])
    rows = {"net": net, "sift": BASELINE, "fused": FUSED}
    told: dict[str, Any] = {
        "found": _rounded(detect.get("share_over_half")),
        "shared_crops": detect.get("shared_in_use"),
        "leaks": sum(leakage.get(key) or 0 for key in LEAKS),
        "champion": preferred(shown, list(shown)),
    }
    for row, method in rows.items():
        found = shown.get(method, {})
        told[row] = {key: value for name, place in SCORES.items() for key, value in _pair(found, name, place).items()}
    told["net"] = {"method": net} | told["net"]
    told["fused"] |= lead(shown, [name for name in fused if name in shown], verdicts)
    return told


def lead(scores: Mapping[str, Scores], parts: Sequence[str], verdicts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return `lead` and `lead_interval` of the fusion over the part of it that validation prefers.

    Without a verdict on the two, it is the difference of their metrics, without an interval.
    """
    best, (protocol, metric) = preferred(scores, parts), LEAD
    for row in verdicts:
        if (row["protocol"], row["metric"]) == LEAD and {row["method"], row["other"]} == {FUSED, best}:
            sign = 1 if row["method"] == FUSED else -1
            ends = sorted((sign * row["low"], sign * row["high"]))
            seen = {metric: sign * row["difference"], f"{metric}_low": ends[0], f"{metric}_high": ends[1]}
            return _pair({protocol: seen}, "lead", LEAD)
    values = [_at(scores.get(name, {}), LEAD) for name in (FUSED, best)]
    return _pair({protocol: {metric: None if None in values else values[0] - values[1]}}, "lead", LEAD)


def preferred(scores: Mapping[str, Scores], names: Sequence[str]) -> str | None:
    """Return the method with the best validation score, the first of equals; None where none has one."""
    for place in CHOSEN_BY:
        able = [name for name in names if _at(scores[name], place) is not None]
        if able:
            return max(able, key=lambda name: _at(scores[name], place))
    return None


def count(numbers: Any) -> int:
    """Count the values of nested metrics as DVC shows them: a row each, lists left out."""
    if isinstance(numbers, Mapping):
        return sum(map(count, numbers.values()))
    return 0 if isinstance(numbers, list) else 1


def _pair(scores: Scores, name: str, place: tuple[str, str]) -> dict[str, Any]:
    """Return a number and its interval as text, under `name` and `name_interval`."""
    protocol, metric = place
    low, high = (_at(scores, (protocol, f"{metric}_{end}")) for end in ("low", "high"))
    interval = None if low is None or high is None or low != low else f"{low:.3f} to {high:.3f}"
    return {name: _rounded(_at(scores, place)), f"{name}_interval": interval}


def _at(scores: Scores, place: tuple[str, str]) -> Any:
    return (scores.get(place[0]) or {}).get(place[1])


def _rounded(value: float | None) -> float | None:
    return None if value is None or value != value else round(float(value), 3) + 0.0  # no -0.0
