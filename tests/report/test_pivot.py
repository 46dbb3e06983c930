"""The table of a pull request, on differences written by hand as `dvc metrics diff --json --all` prints them."""

from __future__ import annotations

from pelage.report.pivot import pivot

DIFF = {
    "metrics/eval/sift_lnbnn.json": {
        "closed.top1": {"old": 0.4, "new": 0.4, "diff": 0.0},
        "closed.map": {"old": 0.445, "new": 0.445, "diff": 0.0},
    },
    "metrics/eval/net.json": {
        "closed.top1": {"old": 0.541, "new": 0.543, "diff": 0.002},
        "closed.map": {"old": 0.61, "new": 0.603, "diff": -0.007},
        "open.auroc": {"old": 0.8, "new": 0.75, "diff": -0.05},
        "closed.queries": {"old": 50, "new": 51, "diff": 1},
    },
    "metrics/eval/fresh.json": {"closed.top1": {"old": None, "new": 0.2}},
    "metrics/eval/dropped.json": {"closed.top1": {"old": 0.3, "new": None}},
    "metrics/clean.json": {"kept": {"old": 1, "new": 2, "diff": 1}},
}


def table(text: str, protocol: str) -> dict[str, list[str]]:
    section = text.split(f"**{protocol}**")[1].split("**")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.strip().splitlines()]
    return {row[0]: row[1:] for row in rows}


def test_methods_against_metrics_with_changes_in_brackets():
    closed = table(pivot(DIFF), "closed")
    metrics = closed["method"]
    assert list(closed)[2:] == ["net", "sift_lnbnn", "fresh", "dropped"]
    assert closed["net"][metrics.index("top-1")] == "0.543 (+0.002)"
    assert closed["net"][metrics.index("mAP")] == "0.603 (-0.007)"
    assert closed["sift_lnbnn"][metrics.index("mAP")] == "0.445"
    assert closed["fresh"][metrics.index("top-1")] == "0.200 (new)"
    assert closed["dropped"][metrics.index("top-1")] == "gone (0.300)"
    assert closed["fresh"][metrics.index("mAP")] == "–"


def test_seeds_and_spread_of_the_new_side():
    seeded = {"closed.seeds": {"old": 1, "new": 3, "diff": 2}, "closed.top1_sd": {"old": None, "new": 0.0512}}
    closed = table(pivot(DIFF | {"metrics/eval/net.json": DIFF["metrics/eval/net.json"] | seeded}), "closed")
    assert closed["net (3 seeds)"][closed["method"].index("top-1")] == "0.543 ± 0.051 (+0.002)"
    assert closed["net (3 seeds)"][closed["method"].index("mAP")] == "0.603 (-0.007)"


def test_a_protocol_lists_only_methods_that_have_numbers_in_it():
    text = pivot(DIFF)
    assert list(table(text, "open"))[2:] == ["net"]
    assert "disjoint" not in text
    assert "clean" not in text


def test_the_order_of_files_does_not_matter():
    assert pivot(dict(reversed(DIFF.items()))) == pivot(DIFF)


def test_nothing_to_compare():
    assert pivot({}) == "No metrics of methods to compare."
