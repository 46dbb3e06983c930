"""Capture histories of MARK (White and Burnham), which RMark reads with `convert.inp`."""

from __future__ import annotations

import numpy as np

from pelage.animals.export.captures import Captures
from pelage.animals.export.files import IDS, Export, ids_table

HISTORIES = "histories.inp"


def mark(captures: Captures) -> Export:
    """Return a history a line: a comment with the individual's id, 0 and 1 an occasion, a blank, how many, `;`.

    Occasions at which no station operated are left out: nobody could be caught, and a closed model is the same without.
    """
    animals, _ = captures.ids()
    kept = np.flatnonzero(captures.operating.any(axis=0))
    seen = np.zeros((len(animals), len(captures.occasions)), int)
    seen[captures.caught[:, 0], captures.caught[:, 2]] = 1
    lines = [f"/* {animal} */ {''.join(map(str, row))} 1;" for animal, row in zip(animals, seen[:, kept], strict=True)]
    about = [
        f"{HISTORIES}: the histories of {len(animals)} individuals over {len(kept)} occasions, from "
        f"{captures.occasions[0]} to {captures.occasions[-1]}, all stations together; one group. {IDS} tells the name "
        "behind each id and the occasion behind each column.",
        "MARK: new project, closed captures, "
        f"encounter occasions {len(kept)}. In R, with RMark:\n  library(RMark)\n"
        f'  histories <- convert.inp("{HISTORIES}")\n'
        '  fit <- mark(process.data(histories, model = "Closed"), output = FALSE)',
    ]
    left = {"occasions at which no station operated": len(captures.occasions) - len(kept)}
    files = {
        HISTORIES: "\n".join([f"/* {len(kept)} occasions, 1 group */", *lines]) + "\n",
        IDS: ids_table(individual=(captures.individuals, animals),
                       occasion=(captures.occasions[kept], range(1, len(kept) + 1))),
    }  # fmt: skip
    return Export(files, about, left)
