"""Verdicts, by hand: all differences are told from the champion's side."""

from __future__ import annotations

import pandas as pd

from pelage.report.verdict_table import verdict_blocks, verdicts_markdown

NUMBERS = {"low": 0.1, "high": 0.3, "p": 0.001, "p_holm": 0.002, "part": "flank", "protocol": "closed"}
VERDICTS = pd.DataFrame(
    [
        {"metric": "top1", "method": "net", "other": "sift", "difference": 0.2, "verdict": "better"} | NUMBERS,
        {"metric": "top1", "method": "mlp", "other": "net", "difference": 0.2, "verdict": "better"} | NUMBERS,
        {"metric": "top1", "method": "mlp", "other": "sift", "difference": 0.2, "verdict": "better"} | NUMBERS,
        {"metric": "flank_map", "method": "net", "other": "sift", "difference": 0.0, "verdict": "open"}
        | NUMBERS
        | dict.fromkeys(["low", "high", "p_holm"]),
    ]
).astype(dict.fromkeys(["difference", "low", "high", "p", "p_holm"], float))


def test_the_champions_differences_are_told_from_its_side():
    text = verdicts_markdown({"flank": {"method": "net"}}, VERDICTS)
    assert "| closed | top-1 | sift | 0.200 [0.100, 0.300] | 0.002 | better |" in text
    assert "| closed | top-1 | mlp | -0.200 [-0.300, -0.100] | 0.002 | worse |" in text
    assert text.count("closed") == 3
    assert "no champion" in verdicts_markdown({"flank": {"method": None}}, VERDICTS)


def test_a_matrix_of_the_champion_against_each_other_method():
    (block,) = verdict_blocks({"flank": {"method": "net"}}, VERDICTS)
    assert block["columns"] == [("closed", "top-1"), ("closed", "flank mAP")]
    rows = dict(block["rows"])
    assert [cell and cell["word"] for cell in rows["sift"]] == ["better", "open"]
    assert rows["sift"][1] == {"word": "open", "sign": "○", "difference": "+0.000", "interval": "", "p": ""}
    assert rows["mlp"][0]["sign"] == "▼" and rows["mlp"][0]["interval"] == "-0.300 to -0.100"
    assert rows["mlp"][1] is None, "two that were not compared are not called equal"
    assert block["summary"] == ("closed, top-1: better than 1, worse than 1; closed, flank mAP: not told apart from 1.")


def test_no_champion_and_no_verdict():
    none, alone = verdict_blocks({"face": {"method": None}, "flank": {"method": "other"}}, VERDICTS)
    assert [
        block["part"] for block in verdict_blocks({"face": {"method": None}, "flank": {"method": "net"}}, VERDICTS)
    ] == [
        "flank",
        "face",
    ], "what was compared comes first"
    assert none["champion"] is None and none["rows"] == []
    assert alone["rows"] == [] and alone["summary"] == ""
