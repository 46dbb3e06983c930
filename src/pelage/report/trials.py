"""Trials: the table of experiments that DVC keeps, as narrow as a screen.

`dvc exp show` gives a column to every number, every parameter and every dependency, of the demo some 730, and there is
no setting that leaves any out. A reader of trials wants to know which parameters differ between them and what that did
to the headline numbers. `--only-changed` leaves out what is the same in all rows; the rest of what is left out here is
shown by `dvc metrics diff`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pelage.common.files import write_text
from pelage.report.readme import renewed

SHOWN = ("found", "net.top1", "net.auroc", "net.flank_map", "sift.top1", "fused.top1", "fused.lead")
"""Numbers of `metrics/headline.json` that have a column."""


MARK = "trial: pelage trials --keep"
"""Where README.md shows the last trial that was kept."""


def show_trials(all_commits: bool = False) -> int:
    """Print the trials on this commit, or on all, and return the exit status of DVC."""
    return subprocess.run([*_table(), *["--all-commits"] * all_commits], check=False).returncode


def keep_trial(page: Path = Path("README.md")) -> None:
    """Show the difference and the table of the trial that has just run in README.md, as a terminal shows them."""
    shown = []
    for typed, command in {"dvc metrics diff": _dvc("metrics", "diff"), "pelage trials": _table()}.items():
        wide = os.environ | {"COLUMNS": "160", "PYTHONHASHSEED": "0"}
        told = subprocess.run(command, check=True, capture_output=True, text=True, env=wide).stdout
        lines = [line.rstrip() for line in told.strip("\n").splitlines()]
        shown += [f"$ {typed}", *lines, ""]
    text = "\n".join(["```text", *shown[:-1], "```"]) + "\n"
    write_text(page, renewed(page.read_text(encoding="utf-8"), text, MARK))


def _dvc(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dvc", *arguments]


def _table() -> list[str]:
    return _dvc("exp", "show", "--no-pager", "--only-changed", "--drop", left_out())


def left_out(folder: Path = Path("metrics")) -> str:
    """Return the columns that are not shown as a regular expression: files, the time, and numbers not in `SHOWN`."""
    files = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.json"))]
    names = sorted({name for numbers in files for name in keys(numbers)} - {*SHOWN})
    return "(" + "|".join([".*/.*", r"params\.yaml", "Created", *map(re.escape, names)]) + ")$"


def keys(numbers: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Give the keys of nested metrics as DVC writes them: `net.top1`."""
    for key, value in numbers.items():
        if isinstance(value, Mapping):
            yield from keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
