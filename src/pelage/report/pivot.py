"""The table of a pull request: methods against metrics, with what changed in brackets.

`dvc metrics diff` prints a row a number; a reviewer wants a row a method: `pelage pivot origin/main`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pelage.common.errors import PelageError
from pelage.report.tables import HEADLINE, METRIC_NAMES, SHOWN, WORDS, markdown_row, read_board, with_seeds, with_spread

BOARD = "plots/leaderboard.csv"
"""All numbers of all methods, as they are in git."""


def compared(revision: str) -> str:
    """Return the table of this checkout against a revision.

    Raises:
        PelageError: git knows no such revision.
    """
    now = read_board(Path(BOARD).read_text(encoding="utf-8"))
    if subprocess.run(
        ["git", "rev-parse", "--quiet", "--verify", f"{revision}^{{commit}}"], capture_output=True
    ).returncode:
        raise PelageError(f"git knows no revision {revision!r}.")
    shown = subprocess.run(["git", "show", f"{revision}:./{BOARD}"], capture_output=True, check=False)
    before = read_board(shown.stdout.decode()) if shown.returncode == 0 else now.head(0)
    return pivot(changes(before, now))


def changes(before: pd.DataFrame, now: pd.DataFrame) -> dict[str, dict[str, dict[str, Any]]]:
    """Return method -> `protocol.metric` -> `{old, new}` of two leaderboards; a side that is missing is None."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for side, board in (("old", before), ("new", now)):
        for row in board.to_dict("records"):
            cells = found.setdefault(row["method"], {})
            for metric in row.keys() - {"place", *WORDS}:
                cell = cells.setdefault(f"{row['protocol']}.{metric}", {"old": None, "new": None})
                cell[side] = None if pd.isna(row[metric]) else row[metric]
    return found


def pivot(methods: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Turn changes of methods into Markdown.

    Args:
        methods: See `changes`.

    Returns:
        A table a protocol, best method first by its headline metric. A cell is `0.603 (+0.002)`, `0.603 (new)` or
        `gone (0.603)`; a method without any number in a protocol has no row there. A method of several seeds says how
        many, and `0.603 ± 0.012` is the standard deviation between them.
    """
    sections = [_section(methods, protocol, metrics) for protocol, metrics in SHOWN.items()]
    return "\n\n".join(filter(None, sections)) or "No metrics of methods to compare."


def _section(methods: Mapping[str, Mapping[str, Mapping[str, Any]]], protocol: str, metrics: Sequence[str]) -> str:
    rows = {
        name: [values.get(f"{protocol}.{metric}", {}) for metric in metrics] for name, values in sorted(methods.items())
    }
    rows = {name: cells for name, cells in rows.items() if any(map(_told, cells))}
    if not rows:
        return ""
    headline = metrics.index(HEADLINE[protocol])
    best_first = sorted(rows, key=lambda name: -(rows[name][headline].get("new") or -1.0))
    lines = [
        f"**{protocol}**\n",
        markdown_row(["method", *(METRIC_NAMES[metric] for metric in metrics)]),
        markdown_row(["---", *["---:"] * len(metrics)]),
    ]
    for name in best_first:
        now = {key.removeprefix(f"{protocol}."): value.get("new") for key, value in methods[name].items()}
        cells = [_cell(cell, with_spread(now, metric)) for cell, metric in zip(rows[name], metrics, strict=True)]
        lines.append(markdown_row([with_seeds({"method": name, **now}), *cells]))
    return "\n".join(lines)


def _told(cell: Mapping[str, Any]) -> bool:
    return cell.get("old") is not None or cell.get("new") is not None


def _cell(cell: Mapping[str, Any], now: str) -> str:
    old, new = cell.get("old"), cell.get("new")
    if new is None:
        return "–" if old is None else f"gone ({old:.3f})"
    if old is None:
        return f"{now} (new)"
    return now if new == old else f"{now} ({new - old:+.3f})"
