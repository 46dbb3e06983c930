"""What a stage took: seconds, memory, what was done a second, and what the memo saved; told and noted as it ends.

It is no output of the stage, for it is another each time: it is noted in `.pelage/times.jsonl`, a line a run.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pelage.common.files import cache_root
from pelage.common.memo import LOOKED_UP
from pelage.common.progress import DONE

if TYPE_CHECKING:
    import pandas as pd


def _used() -> float:
    """Return the seconds of all cores that this process and its children have had so far."""
    return sum(os.times()[:4])


STARTED, USED = time.perf_counter(), _used()

COLUMNS = ["stage", "seconds", "cores", "GiB", "done", "a second", "recalled"]


@dataclass(frozen=True)
class Cost:
    """What one run of a stage took.

    Attributes:
        stage: Its name.
        seconds: By the clock, Python's start left out.
        cpu_seconds: Of all cores together, children of the process included.
        gib: Most memory of the process, or of one of its children, in GiB; 0 where the system does not tell.
        done: By what was done (`detect`, `keypoints`, ...), of how many photos, crops or blocks.
        recalled: Results that the memo had.
        looked_up: Results that it was asked for.
    """

    stage: str
    seconds: float
    cpu_seconds: float
    gib: float = 0.0
    done: dict[str, int] = field(default_factory=dict)
    recalled: int = 0
    looked_up: int = 0

    @property
    def most(self) -> tuple[str, int]:
        """Return what was done most often, and how often; nothing, 0 times, where nothing was counted."""
        return max(self.done.items(), key=lambda one: one[1], default=("", 0))

    def row(self) -> dict[str, str]:
        """Return the cost as a row of `COLUMNS`, as text."""
        what, count = self.most
        return {
            "stage": self.stage,
            "seconds": f"{self.seconds:.1f}",
            "cores": f"{self.cpu_seconds / self.seconds:.1f}" if self.seconds else "",
            "GiB": f"{self.gib:.2f}" if self.gib else "",
            "done": f"{count:,} {what}" if count else "",
            "a second": f"{count / self.seconds:.3g}" if count and self.seconds else "",
            "recalled": f"{self.recalled:,} of {self.looked_up:,}" if self.looked_up else "",
        }

    def sentence(self) -> str:
        """Return the cost as a line for a log."""
        row, said = self.row(), {"seconds": "{} s", "cores": "{} cores", "GiB": "{} GiB", "done": "{}"}
        said |= {"a second": "{} a second", "recalled": "{} recalled"}
        return f"{self.stage}: " + ", ".join(words.format(row[name]) for name, words in said.items() if row[name])


def cost_of(stage: str) -> Cost:
    """Return what the process has taken so far for `stage`."""
    done = {what: count for what, count in DONE.items() if count}
    seconds, used = round(time.perf_counter() - STARTED, 1), round(_used() - USED, 1)
    return Cost(stage, seconds, used, round(peak_gib(), 3), done, LOOKED_UP[True], sum(LOOKED_UP.values()))


def peak_gib() -> float:
    """Return the most memory of this process or of one of its children so far, in GiB; 0 on Windows."""
    try:
        import resource
    except ImportError:
        return 0.0
    unit = 2**30 if sys.platform == "darwin" else 2**20
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit
    status = Path("/proc/self/status")
    if not status.exists():
        return max(children, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
    # on Linux getrusage counts what the process was forked from, too
    told = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
    return max(children, int(told["VmHWM"].split()[0]) / unit)


def note(cost: Cost) -> None:
    """Append what a stage took to `times_file`."""
    path = times_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(asdict(cost)) + "\n")


def times_file() -> Path:
    """Return where times are noted: a line of JSON a stage that ran, a `Cost`."""
    return cache_root() / "times.jsonl"


def last_costs() -> list[Cost]:
    """Return what each stage took the last time it ran here, the longest first."""
    path = times_file()
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    last = {noted["stage"]: Cost(**noted) for noted in map(json.loads, lines)}
    return sorted(last.values(), key=lambda cost: (-cost.seconds, cost.stage))


def cost_table() -> pd.DataFrame:
    """Return `last_costs` as a table of text, `COLUMNS`, and a last row with the seconds of all together."""
    import pandas as pd  # slow to import, and every stage imports this module

    costs = last_costs()
    rows = [cost.row() for cost in costs]
    together = {"stage": "all together", "seconds": f"{sum(cost.seconds for cost in costs):.1f}"}
    return pd.DataFrame([*rows, together], columns=COLUMNS).fillna("")
