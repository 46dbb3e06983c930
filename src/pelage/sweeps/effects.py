"""Effects: what each factor of a sweep did to the validation score, as a table and as box plots.

Only validation decides: the numbers of the test stand in the experiments themselves (`dvc exp show`), for the one that
was chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes

from pelage.common.errors import PelageError
from pelage.report.figures import KIND_COLOURS, SOFT, STYLE, canvas, to_png
from pelage.report.tables import markdown_row

SCORE = "val_flank_map"
SHOWN = ("val_top1", "val_flank_map")
LEVELS = 8
"""More levels than this of a number are drawn as points, not as boxes."""


def trial_table(shown: Sequence[Mapping[str, Any]], names: Sequence[str], wanted: Sequence[Mapping[str, Any]],
                history: Callable[[str], pd.DataFrame]) -> pd.DataFrame:  # fmt: skip
    """Lay the trials of a sweep side by side.

    Args:
        shown: Output of `dvc exp show --json`.
        names: Names of the sweep's experiments.
        wanted: Their values.
        history: Returns the history of the training (`seed`, `epoch`, scores) that an experiment's commit holds.

    Returns:
        A row a trial: `trial`, its factors, `state` (done | failed | waiting) and the scores of `SHOWN`, empty unless
        it is done.
    """
    experiments = {name: found for commit in shown for name, found in _experiments(commit)}
    rows = []
    for name, factors in zip(names, wanted, strict=True):
        state, commit = experiments.get(name, ("waiting", ""))
        scores = best_epochs(history(commit)) if state == "done" else {}
        if state == "done" and scores.get(SCORE) is None:
            state = "failed"
        rows.append({"trial": name, **factors, "state": state})
        rows[-1] |= {key: scores.get(key) if state == "done" else None for key in SHOWN}
    return pd.DataFrame(rows)


def best_epochs(history: pd.DataFrame) -> dict[str, float]:
    """Return the scores of each seed's best epoch, the first of equals, as means over seeds; none without a score."""
    scored = history.dropna(subset=[SCORE]) if SCORE in history else history.head(0)
    if scored.empty:
        return {}
    best = scored.loc[scored.groupby("seed")[SCORE].idxmax()]
    return {key: round(float(best[key].mean()), 4) for key in SHOWN}


def _experiments(commit: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield name, state and commit of the experiments on a commit."""
    states = {"success": "done", "failed": "failed"}
    for experiment in commit.get("experiments") or []:
        told = experiment.get("executor")  # none: it ran in the workspace
        state = states.get(told["state"], "waiting") if told else "done"
        yield experiment["name"], (state, experiment["revs"][0].get("rev", ""))


def effects(table: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """Return median and best score of each level of each factor.

    Args:
        table: See `trial_table`.
        factors: Columns of it.

    Returns:
        `factor`, `level`, `trials`, `median`, `best`; levels as they are written, numbers in their order. Numbers of
        more than `LEVELS` levels are cut at their quartiles.
    """
    done = table[table["state"] == "done"]
    rows = []
    for factor in factors:
        for level, scores in _levels(done, factor):
            rows.append((factor, level, len(scores), round(float(scores.median()), 4), round(float(scores.max()), 4)))
    return pd.DataFrame(rows, columns=["factor", "level", "trials", "median", "best"])


def _levels(done: pd.DataFrame, factor: str) -> list[tuple[str, pd.Series]]:
    values = done.dropna(subset=[factor]) if factor in done else done.iloc[:0]
    if _continuous(values.get(factor, pd.Series(dtype=float))):
        bins = pd.qcut(values[factor], 4)
        return [
            (f"{bin.left:.3g} to {bin.right:.3g}", group[SCORE]) for bin, group in values.groupby(bins, observed=True)
        ]
    return [(str(level), group[SCORE]) for level, group in values.groupby(factor, sort=True)]


def _continuous(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and values.nunique() > LEVELS


def summary(table: pd.DataFrame, factors: Sequence[str], about: str) -> str:
    """Return Markdown: what was swept, how far it is, the five best trials, and the effect of each factor."""
    done = table[table["state"] == "done"].sort_values([SCORE, "trial"], ascending=[False, True])
    counts = table["state"].value_counts()
    lines = [
        f"{' '.join(about.split())}\n",
        f"{len(table)} trials: " + ", ".join(f"{counts[state]} {state}" for state in sorted(counts.index)) + ".\n",
        markdown_row(["trial", *factors, *SHOWN]),
        markdown_row(["---"] * (1 + len(factors)) + ["---:"] * len(SHOWN)),
        *(markdown_row([row["trial"], *map(_shown, row[list(factors)]), *(f"{row[key]:.3f}" for key in SHOWN)])
          for _, row in done.head(5).iterrows()),
        f"\nMedian and best {SCORE} of each level:\n",
        markdown_row(["factor", "level", "trials", "median", "best"]),
        markdown_row(["---", "---", "---:", "---:", "---:"]),
    ]  # fmt: skip
    for _, row in effects(table, factors).iterrows():
        lines.append(
            markdown_row(
                [row["factor"], row["level"], str(row["trials"]), f"{row['median']:.3f}", f"{row['best']:.3f}"]
            )
        )
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    return "" if value is None or value != value else str(value)


@rc_context(STYLE)
def effects_figure(table: pd.DataFrame, factors: Sequence[str]) -> bytes:
    """Draw the score by the levels of each factor: boxes from the first to the third quartile, every trial a point.

    Raises:
        PelageError: No trial is done.
    """
    done = table[table["state"] == "done"]
    if done.empty:
        raise PelageError("No trial of the sweep is done: run `dvc queue start`, and see `dvc queue status`.")
    columns = min(3, len(factors))
    rows = -(-len(factors) // columns)
    figure, grid = canvas((4 * columns, 3.2 * rows), rows, columns, sharey=True)
    for axes, factor in zip(grid.flat, factors, strict=False):
        _draw_factor(axes, done, factor)
    for axes in grid.flat[len(factors) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel(SCORE)
    return to_png(figure)


def _draw_factor(axes: Axes, done: pd.DataFrame, factor: str) -> None:
    axes.set_title(factor)
    colour = KIND_COLOURS["network"]
    values = done.dropna(subset=[factor])
    if _continuous(values[factor]):
        axes.plot(values[factor], values[SCORE], "o", color=colour, alpha=0.7, markersize=5)
        if values[factor].min() > 0 and values[factor].max() > 20 * values[factor].min():
            axes.set_xscale("log")
        return
    levels = _levels(values, factor)
    axes.boxplot(
        [scores for _, scores in levels],
        tick_labels=[f"{level}\n({len(scores)})" for level, scores in levels],
        showfliers=False,
        medianprops={"color": KIND_COLOURS["local"], "linewidth": 2},
        boxprops={"color": SOFT},
        whiskerprops={"color": SOFT},
        capprops={"color": SOFT},
    )
    for place, (_, scores) in enumerate(levels, start=1):
        offsets = np.linspace(-0.12, 0.12, len(scores)) if len(scores) > 1 else np.zeros(1)
        axes.plot(place + offsets, scores, "o", color=colour, alpha=0.6, markersize=4)
    if max(len(level) for level, _ in levels) > 8:
        axes.tick_params("x", labelrotation=20)
