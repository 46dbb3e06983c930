"""The table of a pull request, on changes written by hand, and on two leaderboards in git."""

from __future__ import annotations

import subprocess

import pytest

from pelage.common.errors import PelageError
from pelage.common.tables import write_table
from pelage.report.pivot import compared, pivot
from pelage.report.tables import Method, leaderboard, markdown, read_board

DIFF = {
    "sift_lnbnn": {
        "closed.top1": {"old": 0.4, "new": 0.4, "diff": 0.0},
        "closed.map": {"old": 0.445, "new": 0.445, "diff": 0.0},
    },
    "net": {
        "closed.top1": {"old": 0.541, "new": 0.543, "diff": 0.002},
        "closed.map": {"old": 0.61, "new": 0.603, "diff": -0.007},
        "open.auroc": {"old": 0.8, "new": 0.75, "diff": -0.05},
        "closed.queries": {"old": 50, "new": 51, "diff": 1},
    },
    "fresh": {"closed.top1": {"old": None, "new": 0.2}},
    "dropped": {"closed.top1": {"old": 0.3, "new": None}},
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
    closed = table(pivot(DIFF | {"net": DIFF["net"] | seeded}), "closed")
    assert closed["net (3 seeds)"][closed["method"].index("top-1")] == "0.543 ± 0.051 (+0.002)"
    assert closed["net (3 seeds)"][closed["method"].index("mAP")] == "0.603 (-0.007)"


def test_a_protocol_lists_only_methods_that_have_numbers_in_it():
    text = pivot(DIFF)
    assert list(table(text, "open"))[2:] == ["net"]
    assert "disjoint" not in text


def test_the_order_of_files_does_not_matter():
    assert pivot(dict(reversed(DIFF.items()))) == pivot(DIFF)


def test_nothing_to_compare():
    assert pivot({}) == "No metrics of methods to compare."


def board(**top1):
    methods = [Method(name, "network", "flank", "crop", "") for name in top1]
    scores = {name: {"closed": {"queries": 4, "queries_with_match": 4, "top1": value}} for name, value in top1.items()}
    return leaderboard(scores, methods)


def test_a_leaderboard_is_read_as_it_was_written(tmp_path):
    made = board(a=0.5, b=None, c=0.125)
    write_table(tmp_path / "board.csv", made)
    read = read_board((tmp_path / "board.csv").read_text())
    assert markdown(read) == markdown(made)
    assert read["place"].tolist()[:2] == [1, 2] and read["top1"].tolist()[:2] == [0.5, 0.125]


def test_two_leaderboards_in_git(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in ("git init -q", "git config user.email a@b.c", "git config user.name a"):
        subprocess.run(command.split(), check=True)
    write_table(tmp_path / "plots/leaderboard.csv", board(a=0.5, b=0.25))
    subprocess.run(["git", "add", "-A"], check=True)
    subprocess.run(["git", "commit", "-qm", "first"], check=True)
    write_table(tmp_path / "plots/leaderboard.csv", board(a=0.75, c=0.125))
    closed = table(compared("HEAD"), "closed")
    assert [closed[name][0] for name in "abc"] == ["0.750 (+0.250)", "gone (0.250)", "0.125 (new)"]
    with pytest.raises(PelageError, match="git knows no revision 'nowhere'"):
        compared("nowhere")
