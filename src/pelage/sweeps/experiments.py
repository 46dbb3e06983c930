"""Queue a sweep, and read it.

    pelage presets bears          lay the sweep's preset over params.yaml, and commit that
    pelage sweeps queue bears     one `dvc exp run --queue` a trial that is not there yet
    dvc queue start               run them, one after the other
    pelage sweeps read bears      sweeps/bears: trials.csv, effects.md, effects.png
    dvc exp apply bears-007       take one over

Queued experiments share finished work with the project: DVC tells them where its cache of results is.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from pelage.common.errors import PelageError
from pelage.common.files import write_bytes, write_text
from pelage.common.tables import write_table
from pelage.presets import PARAMS, applied, preset_names, read_preset
from pelage.sweeps.effects import effects_figure, summary, trial_table
from pelage.sweeps.recipe import Trial, override, trial_names, trials


def sweep(step: str, name: str) -> None:
    """Queue the sweep of a preset (`step` queue), or read its results (read).

    Raises:
        PelageError: The preset has no section `sweep`; those that have one are named.
    """
    preset = read_preset(name)
    if "sweep" not in preset:
        sweeps = [other for other in preset_names() if "sweep" in read_preset(other)]
        raise PelageError(f"The preset {name} has no section sweep; these have: {', '.join(sweeps) or 'none'}.")
    wanted = trials(preset["sweep"], f"presets/{name}.yaml")
    if step == "queue":
        queue(name, preset, wanted)
    else:
        read(name, preset, wanted)


def queue(name: str, preset: dict[str, Any], wanted: Sequence[Trial]) -> None:
    """Queue the trials that DVC does not know yet.

    Raises:
        PelageError: The preset does not lie over `params.yaml`, or DVC refuses.
    """
    text = PARAMS.read_text(encoding="utf-8")
    if applied(text, preset) != text:
        raise PelageError(f"params.yaml is not that of this sweep: run `pelage presets {name}` and commit it.")
    names = trial_names(name, len(wanted))
    there = set(_dvc("exp", "list", "--name-only").split()) | _queued()
    todo = [(trial, values) for trial, values in zip(names, wanted, strict=True) if trial not in there]
    for trial, values in todo:
        settings = [part for key, value in values.items() for part in ("-S", override(key, value))]
        print(trial, *settings[1::2], flush=True)
        _dvc("exp", "run", "--queue", "--name", trial, *settings)
    print(f"{len(todo)} of {len(wanted)} trials queued, the others were there; `dvc queue start` runs them")


def read(name: str, preset: dict[str, Any], wanted: Sequence[Trial]) -> None:
    """Write what the trials of a sweep have shown so far to `sweeps/NAME`."""
    variant = next(iter(preset["variants"]))
    shown = json.loads(_dvc("exp", "show", "--json"))
    table = trial_table(shown, trial_names(name, len(wanted)), wanted, partial(_history, variant))
    factors = list(dict.fromkeys(key for values in wanted for key in values))
    folder = Path("sweeps") / name
    picture = effects_figure(table, factors)
    write_table(folder / "trials.csv", table)
    write_text(folder / "effects.md", summary(table, factors, preset["about"]))
    write_bytes(folder / "effects.png", picture)
    print(f"{folder}: {(table['state'] == 'done').sum()} of {len(table)} trials are done")


def _history(variant: str, commit: str) -> pd.DataFrame:
    """Return the history of a variant's training as an experiment's commit holds it; empty where it has none."""
    command = ["git", "show", f"{commit}:./plots/training/{variant}.csv"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    return pd.read_csv(StringIO(shown.stdout)) if shown.returncode == 0 else pd.DataFrame()


def _queued() -> set[str]:
    lines = [line.split() for line in _dvc("queue", "status").splitlines()]
    return {line[1] for line in lines if len(line) > 1}


def _dvc(*arguments: str) -> str:
    run = subprocess.run(["dvc", *arguments], capture_output=True, text=True, check=False)
    if run.returncode:
        raise PelageError(f"dvc {' '.join(arguments)} failed: {run.stderr.strip() or run.stdout.strip()}")
    return run.stdout
