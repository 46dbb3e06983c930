"""Figures of the count: who was seen when, how many by then, estimates with intervals, and stations with centres."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from pelage.report.drawing import INK, SOFT, STYLE, canvas, nothing, spread, to_png

if TYPE_CHECKING:  # who reads estimates needs no estimator
    from pelage.animals.counting import Counted
    from pelage.animals.effort import Effort

COLOURS = {"linked": INK, "left": "#0072b2", "right": "#d55e00"}
MOST_ROWS = 150
"""Animals that a raster shows; of more those seen most often."""
SHOWN = {
    "jackknife": "jackknife",
    "chao": "Chao",
    "chao_modified": "Chao, modified",
    "chapman": "Chapman",
    "m0": "M0",
    "mt": "Mt",
    "scr_region": "SCR, region",
    "scr2_region": "SCR without singletons, region",
    "scr": "SCR",
    "scr2": "SCR without singletons",
}
DENSITIES = ("scr", "scr2")
WHISKERS = {True: "-", False: ":"}


def all_figures(
    captures: pd.DataFrame, curves: pd.DataFrame, sighted: pd.Series, effort: Effort, counted: Counted
) -> dict[str, bytes]:
    """Return the figures of a count as PNG bytes, by name.

    Args:
        captures: Rows of data/captures.csv.
        curves: Rows of plots/discovery.csv.
        sighted: Station of each sighting.
        effort: When and where the survey looked.
        counted: All estimates.
    """
    sights = sighted.value_counts().reindex(effort.stations, fill_value=0).to_numpy()
    mask = counted.mask.points if counted.mask else None
    return {
        "captures": captures_figure(captures, effort.usage),
        "discovery": discovery_figure(curves),
        "estimates": estimates_figure(counted.estimates, counted.region),
        "stations": stations_figure(effort.places, effort.operating_days, sights, counted.centres, mask),
    }


@rc_context(STYLE)
def captures_figure(captures: pd.DataFrame, usage: np.ndarray) -> bytes:
    """Draw a row an animal, a column an occasion: a mark where it was seen, larger for more stations.

    Args:
        captures: Rows of data/captures.csv.
        usage: `(S, K)` bool; the number of running stations is drawn below.
    """
    seen = captures.groupby(["individual", "occasion"])["station"].nunique().reset_index()
    often = seen["individual"].value_counts()
    first = seen.groupby("individual")["occasion"].min()
    kept = sorted(often.index, key=lambda name: (-often[name], name))[:MOST_ROWS]
    order = sorted(kept, key=lambda name: (first[name], name))
    height = max(0.14 * len(order), 1.0)
    figure, grid = canvas((11, height + 2.2), 2, 1, height_ratios=[height + 0.4, 1.0], sharex=True)
    axes, below = grid[:, 0]
    place = {name: row for row, name in enumerate(order)}
    shown = seen[seen["individual"].isin(place)]
    rows = shown["individual"].map(place)
    axes.scatter(shown["occasion"], rows, s=10 + 14 * shown["station"], marker="s", color=COLOURS["left"], linewidths=0)
    for name, row in place.items():
        own = shown.loc[shown["individual"] == name, "occasion"]
        axes.plot([own.min(), own.max()], [row, row], color=SOFT, linewidth=0.6, zorder=0)
    axes.set_yticks(range(len(order)), order, fontsize=7)
    axes.set(ylim=(len(order) - 0.4, -0.6))
    left = f", of {len(often)} the {len(order)} seen most often" if len(often) > len(order) else ""
    axes.set_title(f"Who was seen on which occasion, by first sighting{left}")
    below.step(np.arange(1, len(usage) + 1), usage.sum(axis=1), where="mid", color=INK)
    below.set(xlabel="occasion", ylabel="stations", ylim=(0, max(usage.shape[1], 1) + 0.5))
    if not order:
        nothing(axes, "nobody was seen")
    return to_png(figure)


@rc_context(STYLE)
def discovery_figure(curves: pd.DataFrame) -> bytes:
    """Draw how many animals had been seen by each occasion (`population, occasion, on, new, animals`)."""
    figure, grid = canvas((8, 3.6), 1, 1)
    axes = grid[0, 0]
    last = curves.groupby("population", sort=False)["animals"].last()
    heights = spread(last.tolist(), 0.07 * max(last.max(), 1), low=0) if len(last) else []
    for (name, own), height in zip(curves.groupby("population", sort=False), heights, strict=True):
        axes.plot(own["occasion"], own["animals"], color=COLOURS[name], linewidth=2)
        axes.annotate(
            f"{name}  {own['animals'].iloc[-1]}",
            (own["occasion"].iloc[-1], height),
            xytext=(5, -4),
            textcoords="offset points",
            color=COLOURS[name],
            annotation_clip=False,
        )
    axes.set(xlabel="occasion", ylabel="animals seen by then", ylim=(0, max(axes.get_ylim()[1], 1)))
    axes.set_title("Discovery: flat at the end where few are left to be seen")
    if curves.empty:
        nothing(axes, "no occasion")
    return to_png(figure)


@rc_context(STYLE)
def estimates_figure(estimates: pd.DataFrame, region: str) -> bytes:
    """Draw numbers and densities with their intervals; dotted ones take each decision for right."""
    told = estimates[estimates["n"].notna() & estimates["estimator"].isin(SHOWN)]
    panels = [("animals", [n for n in SHOWN if n not in DENSITIES]), ("animals per 100 km2", list(DENSITIES))]
    counts = [max(told.loc[told["estimator"].isin(names), "estimator"].nunique(), 1) for _, names in panels]
    figure, grid = canvas((10, 0.75 * sum(counts) + 1.6), 2, 1, height_ratios=counts)
    for axes, (words, names) in zip(grid[:, 0], panels, strict=True):
        there = [name for name in names if (told["estimator"] == name).any()]
        for row, name in enumerate(there):
            for _, one in told[told["estimator"] == name].iterrows():
                rank = list(COLOURS).index(one["population"])
                y = row + 0.24 * (rank - 1) + (0.07 if one["carries_error"] else -0.05)
                _whisker(axes, one, y)
        axes.set_yticks(range(len(there)), [SHOWN[name] for name in there])
        axes.set(ylim=(max(len(there), 1) - 0.5, -0.5), xlabel=words)
        axes.grid(False, axis="y")
        if there:
            most = told.loc[told["estimator"].isin(there), ["n", "high"]]
            axes.set_xlim(0, min(most["high"].max() * 1.08, 4 * most["n"].max()))
        else:
            nothing(axes, "no estimate")
    grid[0, 0].set_title("Estimates with 95 % intervals; dotted: identification taken for right")
    if region:
        grid[1, 0].set_title(f"Density; region: {region}")
    for rank, (name, colour) in enumerate(COLOURS.items()):
        grid[0, 0].text(
            1.0, 1.04, name + " " * 14 * (2 - rank), color=colour, ha="right", transform=grid[0, 0].transAxes
        )
    return to_png(figure)


def _whisker(axes: Axes, one: pd.Series, y: float) -> None:
    style = {"color": COLOURS[one["population"]], "clip_on": True}
    axes.plot([one["low"], one["high"]], [y, y], linestyle=WHISKERS[one["carries_error"]], linewidth=1.6, **style)
    axes.plot(one["n"], y, "o" if one["carries_error"] else "|", markersize=6, **style)


@rc_context(STYLE)
def stations_figure(
    places: np.ndarray, days: np.ndarray, sights: np.ndarray, centres: pd.DataFrame, mask: np.ndarray | None
) -> bytes:
    """Draw a map in km around the stations' middle, without coordinates: who reads it cannot find the place.

    Args:
        places: `(K, 2)` metres, NaN where unknown.
        days: `(K,)` days that each station ran.
        sights: `(K,)` sightings.
        centres: `x, y, spread_m` of animals.
        mask: `(X, 2)` metres, cells of habitat.
    """
    figure, grid = canvas((7.5, 6.6), 1, 1)
    axes = grid[0, 0]
    known = ~np.isnan(places[:, 0]) if len(places) else np.zeros(0, bool)
    if not known.any():
        axes.set(xticks=[], yticks=[])
        nothing(axes, "no station has coordinates")
        return to_png(figure)
    middle = places[known].mean(axis=0)

    def km(points: np.ndarray) -> np.ndarray:
        return (np.asarray(points, float) - middle).T / 1000

    if mask is not None:
        axes.scatter(*km(mask), s=4, color="#f0f4ec", marker="s", linewidths=0, zorder=0)
    for x, y, around in centres[["x", "y", "spread_m"]].to_numpy(float):
        spot = km([[x, y]])[:, 0]
        axes.add_patch(Circle(spot, around / 1000, color="#d55e00", alpha=0.10, linewidth=0))
        axes.plot(*spot, "o", color="#d55e00", markersize=3.5)
    size = 20 + 160 * sights[known] / max(sights[known].max(initial=0), 1)
    ran = days[known] / max(days[known].max(initial=0), 1e-9)
    axes.scatter(*km(places[known]), s=size, c=ran, cmap="Greys", vmin=-0.4, vmax=1.2, marker="^", edgecolors=INK)
    axes.set(xlabel="km east of the middle", ylabel="km north", aspect="equal")
    axes.set_title("Stations (larger: more sightings; paler: fewer days), expected centres")
    return to_png(figure)
