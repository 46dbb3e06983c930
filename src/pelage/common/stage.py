"""How a stage script runs: an error that the user can mend is one paragraph, and the previous outputs stay.

DVC removes a stage's outputs before it runs the command. When the command then fails on bad input, the cached ones
are brought back with `dvc checkout` (DVC gives up its lock while a command runs), the others with `git restore`.
What a stage took is told and noted as it ends, see `times`. A stage of DVC then ends at once: to take apart what Python
and torch have imported takes up to one and a half seconds, and nobody waits for it.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

from pelage.common.errors import PelageError
from pelage.common.params import read_yaml
from pelage.common.times import cost_of, note


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage's `main`; on a `PelageError` print it as one paragraph, restore outputs, and exit with status 1."""
    try:
        main()
        if name := os.environ.get("DVC_STAGE"):
            _tell_cost(name)
            _end()
    except PelageError as error:
        paragraph = " ".join(str(error).split())
        wrapped = textwrap.fill(f"ERROR: {paragraph}", 110, break_long_words=False, break_on_hyphens=False)
        print(wrapped, file=sys.stderr)
        _restore_outputs()
        sys.exit(1)


def _tell_cost(name: str) -> None:
    """Print and note what a stage of DVC took; a script that somebody tries by hand says only what it has to say."""
    cost = cost_of(name)
    print(cost.sentence())
    note(cost)


def _end() -> None:
    """End this process with status 0, when its threads have ended and what waits for its end has been called."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


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
