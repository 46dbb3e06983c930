"""How figures are drawn: one style, one canvas, and PNG bytes that never differ between two runs."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

INK, SOFT, FAINT = "#1f2328", "#6b7280", "#e5e7eb"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlepad": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "figure.dpi": 120,
}


def canvas(inches: tuple[float, float], rows: int, columns: int, **options: object) -> tuple[Figure, np.ndarray]:
    """Return a figure of `inches` (width, height) and its `(rows, columns)` axes, laid out without overlaps."""
    figure = Figure(inches, layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def nothing(axes: Axes, words: str) -> None:
    """Say in the middle of axes why they show nothing."""
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", color=SOFT, style="italic")


def to_png(figure: Figure) -> bytes:
    """Return a figure as PNG bytes with a palette: small, and without dates or versions."""
    buffer = BytesIO()
    figure.canvas.print_png(buffer, metadata={"Software": None})  # savefig would lay it out twice
    image = Image.open(buffer).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    buffer = BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def spread(positions: Sequence[float], gap: float, low: float = -np.inf, high: float = np.inf) -> np.ndarray:
    """Move `positions` apart to at least `gap`, in the same order, between `low` and `high` as far as they fit.

    Neighbours that are too close join a cluster that is centred on the mean of its members (pool adjacent violators).
    """
    clusters: list[list[int]] = []

    def bottom(cluster: list[int]) -> float:
        size = gap * (len(cluster) - 1)
        middle = float(np.mean([positions[index] for index in cluster]))
        return max(min(middle - size / 2, high - size), low)

    for index in np.argsort(positions, kind="stable"):
        clusters.append([index])
        while len(clusters) > 1 and bottom(clusters[-1]) < bottom(clusters[-2]) + gap * len(clusters[-2]):
            upper = clusters.pop()
            clusters[-1] += upper
    moved = np.empty(len(positions))
    for cluster in clusters:
        moved[cluster] = bottom(cluster) + gap * np.arange(len(cluster))
    return moved
