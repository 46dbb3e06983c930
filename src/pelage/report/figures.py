"""Figures of the report, drawn with matplotlib's Agg renderer into PNG bytes that never differ between two runs.

Colours are Okabe and Ito's (2008), which colour-blind readers tell apart; lines carry their names at their ends, and
intervals are whiskers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pelage.common.tables import UNKNOWN
from pelage.report.drawing import INK, SOFT, STYLE, canvas, nothing, spread, to_png
from pelage.report.tables import HEADLINE, METRIC_NAMES, Method, blocks, number

KIND_COLOURS = {
    "network": "#0072b2", "local": "#d55e00", "study": "#6a3d9a", "fused": INK, "sightings": INK, "control": "#7f7f7f",
}  # fmt: skip
LINE_COLOURS = ["#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#8c510a"]
SUBSET_COLOURS = {"train": "#0072b2", "val": "#e69f00", "test": "#009e73"}
HISTORY = {"seed": int, "epoch": int, "loss": float, "val_flank_map": float}
BARS = 400
"""Most individuals that have a bar each."""
STRIP = 6
"""Most pictures of a network in the strip."""
CURVES = {"rank": int, "closed": float, "open": float, "disjoint": float}


def line_styles(methods: Sequence[Method]) -> dict[str, dict]:
    """Give each method a line: networks in colours (dashed from the second round on), other kinds in one each."""
    styles: dict[str, dict] = {}
    networks = [method.name for method in methods if method.kind == "network"]
    for index, name in enumerate(networks):
        colour, dash = LINE_COLOURS[index % len(LINE_COLOURS)], ["-", "--", ":"][index // len(LINE_COLOURS) % 3]
        styles[name] = {"color": colour, "linestyle": dash, "linewidth": 1.8}
    for kind, dashes, width in (
        ("local", ["-", "--", ":", "-."], 2.6),
        ("study", ["--", ":", "-."], 1.6),
        ("fused", ["-"], 2.6),
        ("sightings", ["--"], 1.6),
        ("control", ["--", ":", "-."], 1.6),
    ):
        names = [method.name for method in methods if method.kind == kind]
        for name, dash in zip(names, cycle(dashes)):
            styles[name] = {"color": KIND_COLOURS[kind], "linestyle": dash, "linewidth": width}
    return styles


def _label_ends(axes: Axes, ends: Sequence[tuple[str, float, float, str]], gap: float) -> None:
    """Write `(text, x, y, colour)` at the right edge, moved apart to `gap` and joined to their lines by a hair."""
    placed = spread([y for _, _, y, _ in ends], gap, *axes.get_ylim())
    for (text, x, y, colour), height in zip(ends, placed, strict=True):
        axes.annotate(
            text,
            (x, y),
            (1.025, height),
            textcoords=axes.get_yaxis_transform(),
            color=colour,
            fontsize=9,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.7, "alpha": 0.6, "relpos": (0, 0.5)},
        )


@rc_context(STYLE)
def leaderboard_figure(table: pd.DataFrame) -> bytes:
    """Draw each method's headline metric with its interval, one row of panels a part, one column a protocol."""
    parts = list(dict.fromkeys(table["part"]))
    counts = [table.loc[table["part"] == part, "method"].nunique() for part in parts]
    heights = [count + 2.4 for count in counts]
    figure, grid = canvas((11, 0.33 * sum(heights) + 0.3), len(parts), len(HEADLINE), height_ratios=heights)
    order = {part: list(dict.fromkeys(table.loc[table["part"] == part, "method"])) for part in parts}
    for part, protocol, rows in blocks(table):
        row, column = parts.index(part), list(HEADLINE).index(protocol)
        _forest(grid[row, column], rows, order[part], f"{part.capitalize()}, {protocol}", column == 0)
    return to_png(figure)


def _forest(axes: Axes, rows: pd.DataFrame, order: Sequence[str], title: str, names: bool) -> None:
    metric = HEADLINE[rows["protocol"].iloc[0]]
    axes.set(xlim=(0, 1.0), ylim=(len(order) - 0.4, -0.6), xticks=[0, 0.25, 0.5, 0.75, 1], xlabel=METRIC_NAMES[metric])
    axes.set_xticklabels(["0", "", "0.5", "", "1"])
    axes.set_title(title)
    axes.grid(False, axis="y")
    axes.set_yticks(range(len(order)), order if names else [])
    if names:
        kinds = rows.set_index("method")["kind"]
        for label in axes.get_yticklabels():
            label.set_color(KIND_COLOURS[kinds[label.get_text()]])
    if metric == "auroc":
        axes.axvline(0.5, color=SOFT, linewidth=0.8, linestyle=":")
    for _, row in rows.iterrows():
        y, value, colour = order.index(row["method"]), row.get(metric), KIND_COLOURS[row["kind"]]
        if number(value) == "–":
            axes.text(0.02, y, row["note"] or "not defined", color=SOFT, style="italic", fontsize=9, va="center")
            continue
        low, high = row.get(f"{metric}_low"), row.get(f"{metric}_high")
        low, high = (value if number(bound) == "–" else bound for bound in (low, high))
        whisker = {"color": colour, "clip_on": False}
        axes.plot([low, high], [y, y], linewidth=2, alpha=0.45, solid_capstyle="butt", **whisker)
        axes.plot([low, high], [y, y], linewidth=0, marker="|", markersize=7, alpha=0.7, **whisker)
        axes.plot(value, y, "o", markersize=6.5, **whisker)
        axes.text(1.05, y, number(value), fontsize=9, va="center")


@rc_context(STYLE)
def cmc_figure(curves: Mapping[str, pd.DataFrame], methods: Sequence[Method]) -> bytes:
    """Draw the cumulative match characteristic of all methods, one panel a protocol.

    Args:
        curves: method -> table with a column `rank` and a column of shares for each protocol (missing: no queries).
        methods: Methods, in the order of their colours.

    A protocol whose curves all equal an earlier one's shares its panel.
    """
    panels: list[tuple[list[str], list[pd.Series]]] = []
    for protocol in HEADLINE:
        lines = [curves[method.name].set_index("rank")[protocol].dropna() for method in methods]
        twin = next((names for names, other in panels if all(map(pd.Series.equals, lines, other))), None)
        if twin:
            twin.append(protocol)
        else:
            panels.append(([protocol], lines))
    figure, grid = canvas((10, 4.1 * len(panels)), len(panels), 1)
    styles = line_styles(methods)
    for axes, (names, lines) in zip(grid[:, 0], panels, strict=True):
        ends = []
        last = max((line.index.max() for line in lines if len(line)), default=20)
        for method, line in zip(methods, lines, strict=True):
            if len(line):
                axes.plot(line.index, line, **styles[method.name])
                text = f"{method.name}  {number(line.iloc[0])} to {number(line.iloc[-1])}"
                ends.append((text, last, line.iloc[-1], styles[method.name]["color"], line.mean()))
        axes.set(xlim=(1, last), ylim=(0, 1.02), ylabel="share of queries answered by then")
        axes.set_title(", ".join(names).capitalize() + (" protocols" if names[1:] else " protocol"))
        axes.set_xticks([rank for rank in (1, 3, 5, 10, 15, 20) if rank <= last])
        if ends:
            _label_ends(axes, [end[:4] for end in sorted(ends, key=lambda end: end[4])], 0.055)
        else:
            nothing(axes, "no queries")
    grid[-1, 0].set_xlabel("rank")
    return to_png(figure)


@rc_context(STYLE)
def training_figure(histories: Mapping[str, pd.DataFrame], methods: Sequence[Method]) -> bytes:
    """Draw validation score and training loss of all networks by epoch, a dot where weights were kept.

    Each seed has a line, thin where there are several; a name and its number stand at their mean.

    Args:
        histories: method -> table with the columns of `HISTORY`; networks that were not trained are empty.
        methods: Methods, in the order of their colours.
    """
    figure, grid = canvas((10, 7.2), 2, 1)
    score, loss = grid[:, 0]
    styles = line_styles(methods)
    score_ends, loss_ends = [], []
    for name, history in histories.items():
        if history.empty:
            continue
        runs = [run for _, run in history.groupby("seed")]
        style = styles[name] | ({"linewidth": 0.9} if len(runs) > 1 else {})
        color, largest = style["color"], history["loss"].max() or 1.0
        for run in runs:
            loss.plot(run["epoch"], run["loss"] / largest, **style)
        validated = [seen for run in runs if len(seen := run[run["val_flank_map"].notna()])]  # not every epoch is
        if validated:
            best = [run.loc[run["val_flank_map"].idxmax()] for run in validated]
            for run, row in zip(validated, best, strict=True):
                score.plot(run["epoch"], run["val_flank_map"], **style)
                score.plot(row["epoch"], row["val_flank_map"], "o", color=color, markersize=7)
            value, (when, last) = np.mean([row["val_flank_map"] for row in best]), _end(validated, "val_flank_map")
            score_ends.append((f"{name}  {number(value)}", when, last, color))
        if history["loss"].notna().any():  # a network that is taken as it is has no loss
            when, last = _end(runs, "loss")
            loss_ends.append((name, when, last / largest, color))
    score.set_title("mAP of flanks (or faces) on validation photos")
    loss.set_title("Training loss, as a share of its largest")
    loss.set_xlabel("epoch")
    for axes, ends in ((score, score_ends), (loss, loss_ends)):
        axes.set_ylim(0, 1.03)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if ends:
            _label_ends(axes, ends, 0.065 * axes.get_ylim()[1])
        else:
            nothing(axes, "no network was trained")
    return to_png(figure)


def _end(runs: Sequence[pd.DataFrame], column: str) -> tuple[int, float]:
    """Return the last epoch of the longest run, and the mean over runs of the last value of a column."""
    return max(run["epoch"].iloc[-1] for run in runs), float(np.mean([run[column].iloc[-1] for run in runs]))


@rc_context(STYLE)
def umap_figure(tables: Mapping[str, pd.DataFrame], split: pd.DataFrame) -> bytes | None:
    """Draw how each network arranges validation photos while it learns: a strip of UMAP pictures a network.

    The labels with the most validation photos have colours; rings are training photos.

    Args:
        tables: network -> table with the columns epoch, crop_id, x and y.
        split: Rows of `data/split.csv`.

    Returns:
        PNG bytes; None if no network has a picture.
    """
    tables = {name: table.merge(split[["crop_id", "label", "subset"]]) for name, table in tables.items() if len(table)}
    if not tables:
        return None
    strips = {name: _evenly(sorted(set(table["epoch"])), STRIP) for name, table in tables.items()}
    columns = max(map(len, strips.values()))
    figure, grid = canvas((2.1 * max(columns, 3), 2.4 * len(tables) + 0.3), len(tables), columns)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, (name, table) in zip(grid, tables.items(), strict=True):
        asked = table[table["subset"] == "val"].drop_duplicates("crop_id")
        first = asked["label"].value_counts().sort_index().sort_values(ascending=False, kind="stable").index
        colours = dict(zip(first, LINE_COLOURS, strict=False))
        for axes, epoch in zip(row, strips[name], strict=False):
            picture = table[table["epoch"] == epoch]
            paint = picture["label"].map(colours).fillna("#c7c7c7")
            seen = (picture["subset"] == "val").to_numpy()
            x, y = picture["x"].to_numpy(), picture["y"].to_numpy()
            axes.scatter(x[~seen], y[~seen], 10, facecolors="none", edgecolors=paint[~seen], linewidths=0.6)
            axes.scatter(x[seen], y[seen], 16, c=paint[seen], linewidths=0)
            axes.set_title(f"{name}\n" * (axes is row[0]) + f"epoch {epoch}", fontsize=9)
    return to_png(figure)


def _evenly(values: Sequence[int], count: int) -> list[int]:
    """Return at most `count` of `values`, the first and the last among them."""
    places = np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int)
    return [values[place] for place in places]


@rc_context(STYLE)
def counts_figure(split: pd.DataFrame) -> bytes:
    """Draw how many photos each individual has, by subset, and how many individuals have how many encounters.

    Args:
        split: Rows of `data/split.csv`; photos of unknown individuals are left out.
    """
    told = split.loc[
        (split["subset"] != "none") & (split["identity"] != UNKNOWN), ["image_id", "identity", "subset", "encounter"]
    ].drop_duplicates(["image_id", "identity"])
    told = told.astype(dict.fromkeys(["identity", "subset", "encounter"], "category"))
    counts = told.groupby(["identity", "subset"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=[subset for subset in SUBSET_COLOURS if subset in counts])
    counts = counts.loc[counts.sum(axis=1).sort_index().sort_values(ascending=False, kind="stable").index]
    figure, grid = canvas((10, 3.8), 1, 2, width_ratios=[2, 1])
    bars, histogram = grid[0]
    bottom = np.zeros(len(counts))
    for subset in counts:
        style = {"color": SUBSET_COLOURS[subset], "label": subset}
        top = bottom + counts[subset].to_numpy()
        if len(counts) <= BARS:
            bars.bar(np.arange(len(counts)) + 1, counts[subset], 0.86, bottom, **style)
        else:  # bars finer than pixels: their outline
            ends = [np.append(height, height[-1:]) for height in (bottom, top)]
            places = np.arange(len(counts) + 1) + 0.5
            bars.fill_between(places, *ends, step="post", linewidth=0, **style).sticky_edges.y.append(0)
        bottom = top
    bars.set(xlim=(0.4, max(len(counts), 1) + 0.6), xlabel="individuals, most photographed first", ylabel="photos")
    bars.set_title(f"Photos of each of {len(counts)} individuals")
    bars.grid(False, axis="x")
    if len(counts):
        bars.legend(loc="upper right", ncols=4)
    else:
        nothing(bars, "nobody has a name")
    encounters = told.groupby("identity")["encounter"].nunique()
    most = int(encounters.max()) if len(encounters) else 1
    step = max(1, -(-most // 20))
    edges = np.arange(1, most + step + 1, step)
    heights, _ = np.histogram(encounters, np.append(edges, edges[-1] + step))
    histogram.bar(edges, heights, 0.86 * step, color=SOFT, align="edge" if step > 1 else "center")
    histogram.set(xlabel="encounters", ylabel="individuals", ylim=(0, max(histogram.get_ylim()[1], 1)))
    histogram.set_title("Encounters an individual")
    histogram.grid(False, axis="x")
    for axes in (bars, histogram):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return to_png(figure)
