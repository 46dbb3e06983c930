"""The three tables of the R package SPACECAP (Gopalaswamy et al.): captures, trap deployment, state space.

Exact headers; ids are integers from 1 without a gap, in `ids.csv` with the names behind them; projected metres.
"""

from __future__ import annotations

import numpy as np

from pelage.animals.export.captures import Captures, located
from pelage.animals.export.files import IDS, Export, csv_text, ids_table

CAPTURES, TRAPS, HABITAT = "captures.csv", "traps.csv", "habitat.csv"


def spacecap(captures: Captures, cells: np.ndarray, cell: float, habitat: str) -> Export:
    """Return the three tables.

    Args:
        captures: The captures.
        cells: `(X, 2)` middles of the square cells in which animals can live, in the metres of the stations.
        cell: Area of one in square kilometres.
        habitat: What they are, in words.

    Raises:
        PelageError: No station that caught an animal has coordinates.
    """
    captures, left = located(captures, "SPACECAP")
    occasions = len(captures.occasions)
    order = np.lexsort((captures.caught[:, 2], captures.caught[:, 0]))
    caught = [(where + 1, who + 1, time + 1) for who, where, time in captures.caught[order]]
    traps = [
        (number, f"{x:.1f}", f"{y:.1f}", *works.astype(int))
        for number, ((x, y), works) in enumerate(zip(captures.places, captures.operating, strict=True), 1)
    ]
    lived = [(f"{x:.1f}", f"{y:.1f}", 1) for x, y in cells]
    about = [
        f"{CAPTURES}, {TRAPS} and {HABITAT} are the three input files of SPACECAP: captures by station, animal and "
        f"occasion; the stations with the {occasions} occasions at which they operated; the middles of the cells where "
        f"animals can live ({habitat}). Metres: {captures.crs}. {IDS} tells the name behind each number.",
        "In R, SPACECAP() opens its window: choose the three files, and give as area of a cell (square kilometres):\n"
        f"  {cell:g}",
    ]
    files = {
        CAPTURES: csv_text(["LOC_ID", "ANIMAL_ID", "SO"], caught),
        TRAPS: csv_text(["LOC_ID", "X_COORD", "Y_COORD", *range(1, occasions + 1)], traps),
        HABITAT: csv_text(["X_COORD", "Y_COORD", "HABITAT"], lived),
        IDS: ids_table(individual=(captures.individuals, range(1, len(captures.individuals) + 1)),
                       station=(captures.stations, range(1, len(captures.stations) + 1)),
                       occasion=(captures.occasions, range(1, occasions + 1))),
    }  # fmt: skip
    return Export(files, about, left)
