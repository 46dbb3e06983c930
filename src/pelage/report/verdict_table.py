"""Verdicts in readable form: the champion that validation chose against each other method, protocol by protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pelage.report.tables import METRIC_NAMES, markdown_row, number

TURNED = {"better": "worse", "worse": "better"}
SIGNS = {"better": "▲", "worse": "▼", "open": "○"}


def of_method(verdicts: pd.DataFrame, part: str, name: str) -> pd.DataFrame:
    """Return the verdicts of one part in which a method takes part, all turned so that it is `method`.

    Args:
        verdicts: Rows of `data/verdicts.csv`, with numbers.
        part: The part.
        name: The method.
    """
    own = verdicts[(verdicts["part"] == part) & ((verdicts["method"] == name) | (verdicts["other"] == name))]
    turned = own["other"] == name
    other = own["other"].where(~turned, own["method"])
    word = own["verdict"].where(~turned, own["verdict"].replace(TURNED))
    ends = own[["difference", "low", "high"]].where(~turned, -own[["difference", "high", "low"]].to_numpy() + 0.0)
    return own.assign(method=name, other=other, verdict=word, **dict(ends.items()))


def verdict_blocks(champions: Mapping[str, Mapping[str, Any]], verdicts: pd.DataFrame) -> list[dict[str, Any]]:
    """Prepare the verdicts of each part for the page.

    Args:
        champions: `champions` of `data/champion.json`.
        verdicts: Rows of `data/verdicts.csv`, with numbers.

    Returns:
        A block a part, those that were compared first: the `champion` (None where validation chose none), `summary`,
        `columns` (protocol, metric), and `rows`: the other method, and for each column a cell: `word`, `sign`,
        `difference`, `interval`, `p`; None where the two were not compared.
    """
    blocks = []
    for part, chosen in champions.items():
        name = chosen["method"]
        own = of_method(verdicts, part, name).to_dict("records") if name else []
        columns = list(dict.fromkeys((row["protocol"], row["metric"]) for row in own))
        cells = {(row["other"], row["protocol"], row["metric"]): _cell(row) for row in own}
        others = list(dict.fromkeys(row["other"] for row in own))
        blocks.append({
            "part": part,
            "champion": name,
            "summary": summary(cells, columns) if own else "",
            "columns": [(protocol, METRIC_NAMES.get(metric, metric)) for protocol, metric in columns],
            "rows": [(other, [cells.get((other, *column)) for column in columns]) for other in others],
        })  # fmt: skip
    return sorted(blocks, key=lambda block: not block["rows"])


def summary(cells: Mapping[tuple[str, str, str], Mapping[str, str]], columns: list[tuple[str, str]]) -> str:
    """Say for each protocol and metric how many methods the champion is better than, worse than, or not told apart."""
    told = []
    for protocol, metric in columns:
        words = [cell["word"] for key, cell in cells.items() if key[1:] == (protocol, metric)]
        counts = {word: words.count(word) for word in ("better", "worse", "open")}
        said = [f"better than {counts['better']}"] if counts["better"] else []
        said += [f"worse than {counts['worse']}"] if counts["worse"] else []
        said += [f"not told apart from {counts['open']}"] if counts["open"] else []
        told.append(f"{protocol}, {METRIC_NAMES.get(metric, metric)}: {', '.join(said)}")
    return "; ".join(told) + "."


def _cell(row: Mapping[str, Any]) -> dict[str, str]:
    interval = "" if number(row["low"]) == "–" else f"{row['low']:+.3f} to {row['high']:+.3f}"
    return {
        "word": row["verdict"],
        "sign": SIGNS.get(row["verdict"], ""),
        "difference": "–" if number(row["difference"]) == "–" else f"{row['difference']:+.3f}",
        "interval": interval,
        "p": "p < 0.001" if row["p_holm"] < 0.0005 else f"p {number(row['p_holm'])}" if interval else "",
    }


def verdicts_markdown(champions: Mapping[str, Mapping[str, Any]], verdicts: pd.DataFrame) -> str:
    """Write, for each part, its champion and a table of what the champion's differences to all others are worth.

    Args:
        champions: `champions` of `data/champion.json`.
        verdicts: Rows of `data/verdicts.csv`, with numbers.
    """
    sections = []
    for part, chosen in champions.items():
        name = chosen["method"]
        if name is None:
            sections.append(f"### {part.capitalize()}: no champion\n\nNo validation photo chose one.")
            continue
        lines = [markdown_row(["protocol", "metric", "against", "difference", "p, corrected", "verdict"])]
        lines.append(markdown_row([":--"] * 3 + ["--:"] * 2 + [":--"]))
        for row in of_method(verdicts, part, name).to_dict("records"):
            difference, low, high = (number(row[key]) for key in ("difference", "low", "high"))
            told = difference + ("" if low == "–" else f" [{low}, {high}]")
            cells = [row["protocol"], METRIC_NAMES[row["metric"]], row["other"], told, number(row["p_holm"])]
            lines.append(markdown_row([*cells, row["verdict"]]))
        sections.append(
            f"### {part.capitalize()}: is the champion better?\n\nIt is {name}, the best on validation photos. "
            "Differences are paired, query by query; the individual is the unit, and what is called better or worse is "
            "so for all pairs of methods together (Holm).\n\n" + "\n".join(lines)
        )
    return "\n\n".join(sections) + "\n"
