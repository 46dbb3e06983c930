"""How a stage script runs: an error that the user can mend is one paragraph, and the previous outputs stay.

DVC removes a stage's outputs before it runs the command. When the command then fails on bad input, the cached ones
are brought back with `dvc checkout` (DVC gives up its lock while a command runs), the others with `git restore`.
How long a stage took is no output, for it is another time each time: it is noted in `.pelage/times.jsonl`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

from pelage.common.errors import PelageError
from pelage.common.files import cache_root
from pelage.common.params import read_yaml

STARTED = time.perf_counter()


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage's `main`; on a `PelageError` print it as one paragraph, restore outputs, and exit with status 1."""
    try:
        main()
        _note_time()
    except PelageError as error:
        paragraph = " ".join(str(error).split())
        wrapped = textwrap.fill(f"ERROR: {paragraph}", 110, break_long_words=False, break_on_hyphens=False)
        print(wrapped, file=sys.stderr)
        _restore_outputs()
        sys.exit(1)


def _note_time() -> None:
    """Append this stage's seconds, by the clock and of all cores together, since the process began to be counted."""
    name = os.environ.get("DVC_STAGE")
    if name is None:
        return
    noted = {"stage": name, "seconds": round(time.perf_counter() - STARTED, 1)}
    noted["cpu_seconds"] = round(sum(os.times()[:4]), 1)
    path = times_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(noted) + "\n")


def times_file() -> Path:
    """Return where times are noted: a line of JSON a stage that ran, with `stage`, `seconds` and `cpu_seconds`."""
    return cache_root() / "times.jsonl"


def last_times() -> dict[str, float]:
    """Return the seconds of each stage's last run here."""
    path = times_file()
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {noted["stage"]: noted["seconds"] for noted in map(json.loads, lines)}


def _restore_outputs() -> None:
    """Bring back what DVC removed before it ran this stage: cached outputs by DVC, metrics and plots by git."""
    name = os.environ.get("DVC_STAGE")
    if name is None or not Path("dvc.lock").exists():
        return
    _quiet(sys.executable, "-m", "dvc", "checkout", "--quiet", name)
    outputs = read_yaml(Path("dvc.lock")).get("stages", {}).get(name, {}).get("outs", [])
    missing = [output["path"] for output in outputs if not os.path.lexists(output["path"])]
    for path in missing:
        _quiet("git", "restore", "--", path)


def _quiet(*command: str) -> None:
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
