"""Page of what each stage took on this machine. It is no output of a stage: it is another each time."""

from __future__ import annotations

from pathlib import Path

from pelage.common.files import write_text
from pelage.common.times import COLUMNS, cost_table
from pelage.report.template import fill

PAGE = Path("data/times.html")


def write_times_page() -> None:
    """Write `PAGE` from what stages noted; the stage that calls it is not among them yet, or with its last run."""
    rows = cost_table().to_numpy().tolist()
    write_text(PAGE, fill("times.html", columns=COLUMNS, rows=rows))
