"""Captures and traps of the R package secr (Efford), and of DENSITY: text with blanks and no header.

The layout is that of the vignette secr-datainput and of `read.capthist` and `read.traps` of secr 5: a line that starts
with `#` is a comment; no blank, comma or underscore in ids; projected metres; usage a string of 0 and 1, an occasion
each.
"""

from __future__ import annotations

from pelage.animals.export.captures import Captures, located
from pelage.animals.export.files import IDS, Export, ids_table, plain_ids

CAPTURES, TRAPS = "captures.txt", "traps.txt"


def secr(captures: Captures, session: str) -> Export:
    """Return captures (`fmt = "trapID"`) and traps with usage.

    Raises:
        PelageError: No station that caught an animal has coordinates.
    """
    captures, left = located(captures, "secr")
    animals, stations = captures.ids()
    session = plain_ids([session])[session]
    caught = [f"{session} {animals[who]} {time + 1} {stations[where]}" for who, where, time in captures.caught]
    traps = [
        f"{station} {x:.1f} {y:.1f} {''.join('01'[on] for on in works.astype(int))}"
        for station, (x, y), works in zip(stations, captures.places, captures.operating, strict=True)
    ]
    occasions = len(captures.occasions)
    about = [
        f"{CAPTURES}: session, individual, occasion, station. {TRAPS}: station, east, north in metres "
        f"({captures.crs}), and for each of the {occasions} occasions whether it operated. Occasions run from "
        f"{captures.occasions[0]} to {captures.occasions[-1]}; {IDS} tells the name behind each id.",
        "Read them in R. noccasions must be given, or occasions at the end without a capture would be lost:",
        "  library(secr)\n"
        f'  captures <- read.capthist("{CAPTURES}", "{TRAPS}", detector = "proximity", fmt = "trapID",\n'
        f"                            noccasions = {occasions}, binary.usage = TRUE)\n"
        "  fit <- secr.fit(captures, buffer = 4 * RPSV(captures, CC = TRUE))",
    ]
    files = {
        CAPTURES: "\n".join(["# Session ID Occasion Detector", *caught]) + "\n",
        TRAPS: "\n".join([f"# Detector X Y Usage, {occasions} occasions", *traps]) + "\n",
        IDS: ids_table(individual=(captures.individuals, animals), station=(captures.stations, stations),
                       occasion=(captures.occasions, range(1, occasions + 1))),
    }  # fmt: skip
    return Export(files, about, left)
